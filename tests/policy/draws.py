"""The distribution of a choice, computed instead of drawn."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from modelperf_plugin.policy import Assessment, choose
from modelperf_plugin.values import NO_CONTEXT

_CELLS = 512
_PRECISION = 1e-12


def chances_of(assessment: Assessment) -> dict[str, float]:
    """Return the measure of the random numbers in [0, 1) with which each candidate is chosen.

    A choice is a step function of its random number, so bisection locates every step between two grid points that
    differ. A candidate confined to less than a grid cell may be missed; its chance then differs from its propensity.
    """
    chances: dict[str, float] = defaultdict(float)
    edges = [position / _CELLS for position in range(_CELLS)] + [1.0 - 2.0**-53]
    cells = [(low, _first(assessment, low), high, _first(assessment, high)) for low, high in pairwise(edges)]
    while cells:
        low, at_low, high, at_high = cells.pop()
        if at_low == at_high or high - low < _PRECISION:
            chances[at_low] += high - low
        else:
            middle = (low + high) / 2
            between = _first(assessment, middle)
            cells += [(low, at_low, middle, between), (middle, between, high, at_high)]
    return chances


def _first(assessment: Assessment, number: float) -> str:
    return choose(assessment, NO_CONTEXT, number).order[0]
