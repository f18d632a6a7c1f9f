"""Tasks that differ in difficulty: chances of success on one task, and of solving it with several tries.

The log-odds of a model on a task are θ + spread · u with u ~ N(0, 1), the same u for every model. Success rates are
means over all tasks, so they do not depend on the spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, exp, log, prod, sqrt
from statistics import NormalDist, fmean
from typing import Final

_NODES: Final = tuple(NormalDist().inv_cdf((node + 0.5) / 64) for node in range(64))
"""Equally likely difficulties that stand for the normal distribution."""
_PRECISION: Final = 1e-9


def chance(rate: float, spread: float, difficulty: float) -> float:
    """Return the chance of success on one task of a model whose rate over all tasks is ``rate``.

    ``difficulty`` is u: the higher, the easier.
    """
    return _expit(_location(rate, spread) + spread * difficulty) if spread else rate


def solved_chance(rates: Sequence[float], spread: float) -> float:
    """Return the chance that one of the models with these rates solves a task that all of them may try."""
    return _solved(tuple(sorted(rates)), spread)


def random_solved_chance(rates: Sequence[float], spread: float, attempts: int) -> float:
    """Return the chance that ``attempts`` models drawn from those with these rates solve a task."""
    return _random_solved(tuple(sorted(rates)), spread, min(attempts, len(rates)))


@lru_cache(4096)
def _solved(rates: tuple[float, ...], spread: float) -> float:
    return 1.0 - fmean(prod(failures) for failures in _failures(rates, spread))


@lru_cache(4096)
def _random_solved(rates: tuple[float, ...], spread: float, attempts: int) -> float:
    unsolved = fmean(_product_sum(failures, attempts) for failures in _failures(rates, spread))
    return 1.0 - unsolved / comb(len(rates), attempts)


def _failures(rates: Sequence[float], spread: float) -> list[tuple[float, ...]]:
    """Return for each difficulty the chance of every model to fail."""
    nodes = _NODES if spread else (0.0,)
    return [tuple([1.0 - chance(rate, spread, node) for rate in rates]) for node in nodes]


def _product_sum(values: Sequence[float], size: int) -> float:
    """Return the sum of the products of every ``size`` of the values."""
    sums = [1.0] + [0.0] * size
    for value in values:
        for position in range(size, 0, -1):
            sums[position] += value * sums[position - 1]
    return sums[size]


@lru_cache(4096)
def _location(rate: float, spread: float) -> float:
    """Return θ, found by Newton's method from within brackets."""
    low, high = -40.0, 40.0
    location = log(rate / (1.0 - rate)) * sqrt(1.0 + spread * spread / 3.0)
    while high - low > _PRECISION:
        chances = [_expit(location + spread * node) for node in _NODES]
        error = fmean(chances) - rate
        low, high = (low, location) if error > 0.0 else (location, high)
        step = error / max(fmean([each * (1.0 - each) for each in chances]), _PRECISION)
        if abs(step) < _PRECISION:
            return location
        location = location - step if low < location - step < high else (low + high) / 2
    return location


def _expit(logit: float) -> float:
    return 1.0 / (1.0 + exp(-logit)) if logit > 0.0 else 1.0 - 1.0 / (1.0 + exp(logit))
