"""What it takes to answer a question that a log cannot: further decisions, or an evaluation share."""

from __future__ import annotations

from math import ceil
from statistics import NormalDist
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.estimators import Floats

EVALUATION_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
_NEWEST_SHARE, _MIN_NEWEST = 0.25, 50
"""The next decisions are taken to be like this share of the log, the newest ones; at least so many."""
_MARGIN: Final = 2.0
"""Few decisions that count have heavier tails than the normal distribution, and chance may bring fewer of them."""
_MAX_DECISIONS: Final = 1_000_000
"""If more are needed, only an evaluation share is named."""
MIN_SPREAD: Final = 0.05
"""The variance of a success is taken to be at least this."""
_Z: Final = NormalDist().inv_cdf(0.975)


def decisions_for(variance: float, half_width: float) -> float:
    """Return how many decisions it takes for an interval of ± ``half_width``, if one has this variance."""
    return _Z**2 * variance / half_width**2


def variance_of(chances: Floats, target: Floats, spread: Floats | float) -> float:
    """Return the mean of Σ_a p²/π · s, where s is the ``spread``, the variance of a reward."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(target > 0.0, np.square(target.astype(np.float64)) / chances * spread, 0.0)
    return float(terms.sum(axis=1).mean())


def with_share(log: DecisionLog, share: float) -> Floats:
    """Return the probabilities of the log's choices, had a share of the decisions been drawn at random."""
    random = log.offered / log.offered.sum(axis=1, keepdims=True)
    chances: Floats = share * random + (1.0 - share) * log.propensities
    return chances


def what_would_tell(log: DecisionLog, target: Floats, half_width: float, spread: float, *, least: int = 0) -> str:
    """Return how many decisions would give an interval of ± ``half_width`` for the policy with these probabilities.

    ``spread`` is the variance of a reward; ``least`` is how many decisions must make the target's choice. Names the
    lowest evaluation share of :data:`EVALUATION_SHARES` that takes no more decisions than there are in the log. What
    the log says so far is not counted: it is about another time, when other models may have been offered.
    """
    newest = np.arange(len(log)) >= len(log) - max(_MIN_NEWEST, int(_NEWEST_SHARE * len(log)))
    part, wanted = log.only(newest), target[newest] * log.offered[newest]
    share, number = EVALUATION_SHARES[-1], float("inf")
    for share in EVALUATION_SHARES:
        number = _needed(with_share(part, share), wanted, half_width, spread, least)
        if number <= len(log):
            break
    alike = _needed(part.propensities.astype(np.float64), wanted, half_width, spread, least)
    texts = []
    if alike <= _MAX_DECISIONS:
        texts.append(f"{_rounded(alike):,} more decisions like the newest")
    if number < alike:
        texts.append(f"{_rounded(number):,}{'' if texts else ' decisions'} with evaluation_share = {share:g}")
    return f"about {' or '.join(texts)} would tell" if texts else ""


def _needed(chances: Floats, wanted: Floats, half_width: float, spread: float, least: int) -> float:
    number = _MARGIN * decisions_for(variance_of(chances, wanted, spread), half_width)
    expected = float((wanted * chances).sum(axis=1).mean())
    return max(number, _MARGIN * least / expected if expected else float("inf"))


def _rounded(number: float) -> int:
    """Return two significant digits, rounded up."""
    unit = int(10 ** max(0, len(str(ceil(number))) - 2))
    return ceil(number / unit) * unit
