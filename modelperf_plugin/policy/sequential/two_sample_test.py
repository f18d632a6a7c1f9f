"""Which of two sides is better? An e-process for A/B tests, valid after every outcome and for any split.

For every outcome x of side g, where the policy had chosen side B with the *known* probability ρ, the e-value against
"both have the same rate" is multiplied by

    f_g(x) / f_0(x),    f_A, f_B: Bernoulli with the rate of that side, f_0: Bernoulli with (1 − ρ) p_A + ρ p_B.

p_A and p_B are the rates *before* this outcome, shrunk by k pseudo-outcomes to the rate of both sides together:
p_g = (s_g + k p̄)/(n_g + k) with p̄ = (s + ½)/(n + 1). E is the average of three such processes, k = 5, 20, 60.

If the outcome does not depend on the side, the factor is 1 on average, whatever the rate, the split and the past:
Σ_x f(x)/f_0(x) · ((1 − ρ) f_A(x) + ρ f_B(x)) = Σ_x f(x) = 1. So E reaches 20 with a probability of at most 1/20,
ever. The rate may even drift, as long as it is the same on both sides. What must hold is that the side was drawn
with probability ρ. That does not hold at the beginning if failures take longer than successes, and longer on one side
than on the other: the first outcomes of the slower side are all successes. So the first outcomes, about twice as many
as are under way at the same time, should only update the rates.

A score x between 0 and 1 counts as x of a success and 1 − x of a failure, and its factor is the linear interpolation
x f(1)/f_0(1) + (1 − x) f(0)/f_0(0). If both sides have the same mean m, the average of the factor is that for 0 and 1,
m + (1 − m) = 1, however differently the scores are spread.

Source: R. Turner, A. Ly and P. Grünwald, "Generic E-variables for exact sequential k-sample tests", 2021; with the
known probability of the side in place of blocks of fixed size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log
from typing import Final, Literal, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.intervals import wilson_interval

Side = Literal["A", "B"]

PSEUDO_OUTCOMES: Final = (5.0, 20.0, 60.0)
"""k, the shrinkage of the difference between the sides."""
LEVEL: Final = 20.0
"""The e-value that decides: equal sides reach it in at most one test of this many."""
MAX_FORECAST_OUTCOMES: Final = 1_000_000
MAX_LOG_E_VALUE: Final = 700.0
_SIDES: Final[dict[Side | None, float]] = {"A": -1.0, None: 0.0, "B": 1.0}
_BY_NUMBER: Final = {number: side for side, number in _SIDES.items()}


class TwoSampleTest(NamedTuple):
    """The state of the test after some outcomes.

    >>> state = TwoSampleTest()
    >>> for _ in range(20):
    ...     state = state.updated("A", grade=False, share_b=0.5).updated("B", grade=True, share_b=0.5)
    >>> verdict(state).text
    'B is better: 1.000 against 0.000 (e-value 3.18e+07, 20 needed)'
    """

    outcomes_a: int = 0
    successes_a: float = 0
    """The sum of the scores; a whole number as long as there are only successes and failures."""
    outcomes_b: int = 0
    successes_b: float = 0
    logs: tuple[float, ...] = (0.0,) * len(PSEUDO_OUTCOMES)
    """ln E for each k."""
    peak: float = 0.0
    """Maximum of ln E so far: a verdict is never revoked."""
    leader: Side | None = None
    """The side with the higher rate at the peak."""

    def updated(self, side: Side, grade: float, share_b: float, *, counts: bool = True) -> TwoSampleTest:
        """Return the state after another outcome, O(1): its score, or 1 for a success and 0 for a failure.

        ``share_b`` is the probability of side B for this outcome, given that one of the two sides got it. If it does
        not count, the outcome only updates the rates, not E.
        """
        share = share_b if side == "B" else 1.0 - share_b
        if not 0.0 < share <= 1.0:
            raise InvalidValueError("share_b", f"a probability that lets side {side} have outcomes", share_b)
        outcomes_a, successes_a, outcomes_b, successes_b = self[:4]
        pooled = (successes_a + successes_b + 0.5) / (outcomes_a + outcomes_b + 1)
        logs = []
        for k, log_e in zip(PSEUDO_OUTCOMES, self.logs, strict=True):
            rate_a = (successes_a + k * pooled) / (outcomes_a + k)
            rate_b = (successes_b + k * pooled) / (outcomes_b + k)
            rate = rate_b if side == "B" else rate_a
            rate_0 = rate_a + share_b * (rate_b - rate_a)
            if 0.0 < grade < 1.0:
                factor = log(grade * rate / rate_0 + (1.0 - grade) * (1.0 - rate) / (1.0 - rate_0))
            else:
                factor = log(rate / rate_0) if grade else log((1.0 - rate) / (1.0 - rate_0))
            logs.append(log_e + factor if counts else log_e)
        if side == "B":
            outcomes_b, successes_b = outcomes_b + 1, successes_b + grade
        else:
            outcomes_a, successes_a = outcomes_a + 1, successes_a + grade
        peak, leader, now = self.peak, self.leader, _log_mean(logs)
        if now > peak:
            ahead = successes_b * outcomes_a - successes_a * outcomes_b
            peak, leader = now, "B" if ahead > 0 else "A" if ahead < 0 else leader
        return TwoSampleTest(outcomes_a, successes_a, outcomes_b, successes_b, tuple(logs), peak, leader)

    @property
    def outcomes(self) -> int:
        """Outcomes of both sides."""
        return self.outcomes_a + self.outcomes_b

    @property
    def log_e_value(self) -> float:
        """Ln E."""
        return _log_mean(self.logs)

    @property
    def e_value(self) -> float:
        """The current E against equal rates; 1 without any outcome."""
        return exp(min(self.log_e_value, MAX_LOG_E_VALUE))

    def winner(self, level: float, minimum: int = 0) -> Side | None:
        """Return the side that was ahead when E reached ``level``, but not before ``minimum`` outcomes of both."""
        return self.leader if self.peak >= log(level) and self.outcomes >= minimum else None

    def as_list(self) -> list[float]:
        """Return the state as finite numbers, for storage."""
        counts = (self.outcomes_a, _whole(self.successes_a), self.outcomes_b, _whole(self.successes_b))
        return [*counts, *self.logs, self.peak, _SIDES[self.leader]]

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Restore the state that :meth:`as_list` returned."""
        if len(stored) != len(PSEUDO_OUTCOMES) + 6:
            raise InvalidValueError("stored", f"the {len(PSEUDO_OUTCOMES) + 6} numbers of an A/B test", stored)
        outcomes_a, successes_a, outcomes_b, successes_b, *logs, peak, leader = stored
        counts = (int(outcomes_a), _whole(successes_a), int(outcomes_b), _whole(successes_b))
        return cls(*counts, tuple(logs), peak, _BY_NUMBER.get(leader))


class Rate(NamedTuple):
    """The success rate of one side, or its mean score."""

    successes: float
    """The sum of the scores, if there are any."""
    outcomes: int
    rate: float | None
    low: float
    """Lower end of Wilson's 95 % interval, which is not valid sequentially, and too wide for scores."""
    high: float


class Verdict(NamedTuple):
    """The result of the test so far."""

    winner: Side | None
    """None if there is none yet, or none within the maximum."""
    decided: bool
    """Whether the test is over, with a winner or at the maximum; never revoked."""
    e_value: float
    a: Rate
    b: Rate
    more: int | None
    """Forecast of the outcomes still needed at the current rates and split; None if there is none."""
    text: str


def verdict(
    state: TwoSampleTest, level: float = LEVEL, minimum: int = 0, maximum: int | None = None,
    names: tuple[str, str] = ("A", "B"),
) -> Verdict:  # fmt: skip
    """Return the result of the test so far.

    There is a winner once E has reached ``level``, but not before ``minimum`` outcomes of both sides together: the side
    that was ahead at the peak of E. After ``maximum`` outcomes the test ends without a winner. ``names`` are those of
    the sides in the text.
    """
    a = _rate(state.successes_a, state.outcomes_a)
    b = _rate(state.successes_b, state.outcomes_b)
    short = max(0, minimum - state.outcomes)
    winner = state.winner(level, minimum)
    over = winner is None and maximum is not None and state.outcomes >= maximum
    more: int | None = None
    if winner is not None:
        text = _winning(winner, a, b, exp(min(state.peak, MAX_LOG_E_VALUE)), level, names)
    elif over:
        text = f"no winner within {state.outcomes:,} outcomes (maximum {maximum:,})"
    else:
        needed = 0 if state.peak >= log(level) else outcomes_needed(state, level)
        more = None if needed is None else short + needed
        text = _waiting(more, a, b, None if maximum is None else maximum - state.outcomes, names)
    return Verdict(winner, winner is not None or over, state.e_value, a, b, more, text)


def outcomes_needed(state: TwoSampleTest, level: float = LEVEL) -> int | None:
    """Return about how many more outcomes take E to ``level`` at the current rates and split.

    ln E then grows on average by Σ_g share_g · KL(rate_g, rate of both) per outcome, the information that an outcome
    gives about its side, and faster for scores. None if there is no difference, or it would take more than a million.
    """
    outcomes = state.outcomes
    if not state.outcomes_a or not state.outcomes_b:
        return None
    pooled = (state.successes_a + state.successes_b) / outcomes
    growth = (
        state.outcomes_a * _divergence(state.successes_a / state.outcomes_a, pooled)
        + state.outcomes_b * _divergence(state.successes_b / state.outcomes_b, pooled)
    ) / outcomes
    missing = log(level) - state.log_e_value
    if growth <= 0.0 or missing > MAX_FORECAST_OUTCOMES * growth:
        return None
    return max(1, round(missing / growth))


def _divergence(rate: float, other: float) -> float:
    """Return the Kullback-Leibler divergence of Bernoulli(``rate``) from Bernoulli(``other``), in nats."""
    if rate == other:
        return 0.0
    success = rate * log(rate / other) if rate > 0.0 else 0.0
    return success + ((1.0 - rate) * log((1.0 - rate) / (1.0 - other)) if rate < 1.0 else 0.0)


def _log_mean(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of e^x, without overflow."""
    largest = max(logs)
    return largest + log(sum([exp(each - largest) for each in logs]) / len(logs))


def _whole(total: float) -> float:
    """Return a sum of scores, as an integer if it is a whole number."""
    return int(total) if total == int(total) else total


def _rate(successes: float, outcomes: int) -> Rate:
    if not outcomes:
        return Rate(0, 0, None, 0.0, 1.0)
    return Rate(successes, outcomes, successes / outcomes, *wilson_interval(successes, outcomes))


def _winning(winner: Side, a: Rate, b: Rate, e_value: float, level: float, names: tuple[str, str]) -> str:
    (better, name), (other, _) = [(b, names[1]), (a, names[0])] if winner == "B" else [(a, names[0]), (b, names[1])]
    means = f"{mean_score_of(a, b)}{_format(better)} against {_format(other)}"
    return f"{name} is better: {means} (e-value {e_value:.3g}, {level:g} needed)"


def mean_score_of(a: Rate, b: Rate) -> str:
    """Return what to write before the rates if they are means of scores."""
    return "mean score " if a.successes % 1 or b.successes % 1 else ""


def _waiting(more: int | None, a: Rate, b: Rate, left: int | None, names: tuple[str, str]) -> str:
    for name, side in zip(names, (a, b), strict=True):
        if not side.outcomes:
            return f"inconclusive, {name} has no outcomes yet"
    if more is None:
        return f"inconclusive, no difference to detect at the current rates ({_format(a)} and {_format(b)})"
    if more > (inf if left is None else left):
        return f"inconclusive, about {more:,} more outcomes needed, but only {left:,} left to the maximum"
    return f"inconclusive, about {more:,} more outcomes needed"


def _format(side: Rate) -> str:
    return "none" if side.rate is None else f"{side.rate:.3f}"
