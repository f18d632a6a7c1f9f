"""What every order of a few models solves and costs in hindsight, and which of them an objective prefers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import permutations
from math import exp
from statistics import NormalDist, fmean
from typing import Final, NamedTuple

_NODES: Final = 60
"""Equally likely difficulties that stand for a normal distribution."""


class Try(NamedTuple):
    """What one model did on one instance."""

    success: bool
    usd: float


Instance = Mapping[str, Try]
"""The outcome of every model on one instance."""


class Walked(NamedTuple):
    """What an order of tries gets."""

    solved: float
    """Share of the tasks."""
    usd: float
    """US dollars a task."""


Preference = Callable[[Iterable[Walked]], Walked]
"""Picks what an objective prefers."""


def orders(models: Sequence[str], attempts: int) -> list[tuple[str, ...]]:
    """Return every order of one to ``attempts`` of the models."""
    return [order for length in range(1, attempts + 1) for order in permutations(models, length)]


def by_success(models: Iterable[str], instances: Sequence[Instance]) -> list[str]:
    """Return the models, the best over all instances first."""
    return sorted(models, key=lambda model_id: (-fmean(each[model_id].success for each in instances), model_id))


def walk(order: Sequence[str], instances: Sequence[Instance]) -> Walked:
    """Return what trying the models in this order gets, ending at the first success."""
    solved, usd = 0, 0.0
    for instance in instances:
        for model_id in order:
            usd += instance[model_id].usd
            if instance[model_id].success:
                solved += 1
                break
    return Walked(solved / len(instances), usd / len(instances))


def within(margin: float) -> Preference:
    """Return a preference for the cheapest of those that solve at most ``margin`` less than the best."""

    def preferred(walked: Iterable[Walked]) -> Walked:
        known = list(walked)
        enough = max(each.solved for each in known) - margin - 1e-12
        return min((each for each in known if each.solved >= enough), key=lambda each: each.usd)

    return preferred


def worth(usd_per_success: float) -> Preference:
    """Return a preference for the highest value of the solved tasks less their cost."""
    return lambda walked: max(walked, key=lambda each: usd_per_success * each.solved - each.usd)


def predicted(order: Sequence[str], rates: Mapping[str, float], usd: Mapping[str, float], spread: float) -> Walked:
    """Return what an order is expected to get where tasks differ in difficulty by ``spread`` logits.

    ``rates`` and ``usd`` are those of a first try.
    """
    reached, cost = [1.0 / _NODES] * _NODES, 0.0
    for model_id in order:
        cost += sum(reached) * usd[model_id]
        reached = [q * (1.0 - p) for q, p in zip(reached, _profile(rates[model_id], spread), strict=True)]
    return Walked(1.0 - sum(reached), cost)


@cache
def _profile(rate: float, spread: float) -> tuple[float, ...]:
    """Return the chance at every difficulty of a model whose mean chance is ``rate``, found by bisection."""
    low, high = -40.0, 40.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if fmean(_chances(middle, spread)) < rate else (low, middle)
    return tuple(_chances(low, spread))


def _chances(logit: float, spread: float) -> list[float]:
    return [1.0 / (1.0 + exp(-logit - spread * each)) for each in _difficulties()]


@cache
def _difficulties() -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(normal.inv_cdf((node + 0.5) / _NODES) for node in range(_NODES))
