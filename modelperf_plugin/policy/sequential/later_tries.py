"""The lowest and the highest plausible chance of a model on a task that others have failed.

Such a task is harder than most. How much harder follows from the spread of difficulty and from the success rates of the
models that failed (see :mod:`modelperf_plugin.policy.difficulty`), and both are estimates. The chance is lower with a
larger spread, and if better models failed. So the lowest plausible
chance assumes 1.5 times the learned spread and the upper ends of the rates, the highest the opposite. A test
against the model uses the lowest, a test in its favour the highest. So its error rate holds as long as the truth lies
between the two.

1.5 is about e^.4, one standard deviation of the spread before anything is learned. On recorded outcomes, tests of every
model at exactly its own success rate keep their α of .05 with this factor even if the learned spread is .7 of the right
one. With a factor of 1 up to 25 % of these models are demoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Final, NamedTuple

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.difficulty import Difficulty, Harder

SPREAD_FACTOR: Final = 1.5
"""The right spread is within this factor of the learned one."""
Z_FAILED: Final = 1.2815515655446004
"""The success rates of the models that failed exceed each end with a probability of .9 and .1."""


class LaterTry(NamedTuple):
    """The two chances of a later try."""

    lowest: Harder
    highest: Harder

    def chances(self, rate: float) -> tuple[float, float]:
        """Return the lowest and the highest plausible chance of a model with this success rate."""
        logit = log(rate / (1.0 - rate))
        return self.lowest.chance(logit), self.highest.chance(logit)


def later_try(difficulty: Difficulty, tried: Sequence[str], beliefs: Mapping[str, Belief]) -> LaterTry:
    """Return the chances after failures of ``tried``; ``beliefs`` has their success rates.

    If a model failed twice, the second failure may or may not say more about the task. The highest counts it once,
    the lowest twice.
    """
    lows, highs = {}, {}
    for model_id in tried:
        alpha, beta, *_ = beliefs[model_id]
        middle, half = log(alpha / beta), Z_FAILED * sqrt(1.0 / alpha + 1.0 / beta)
        lows[model_id], highs[model_id] = middle - half, middle + half
    wide = Difficulty.of(difficulty.spread * SPREAD_FACTOR)
    narrow = Difficulty.of(difficulty.spread / SPREAD_FACTOR)
    return LaterTry(wide.after([highs[model_id] for model_id in tried]), narrow.after(lows.values()))
