"""Fixed orders of tries in hindsight, where the outcome of every model is known: solved tasks and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final, NamedTuple

from modelperf_plugin.analysis.simulation.outcomes_file import Instance
from modelperf_plugin.policy.cost.base import CostObjective, Estimate
from modelperf_plugin.values import Outcome

MAX_SETS: Final = 2_000
"""Maximum number of sets of one size to extend; beyond it, the most promising ones."""

Prices = Mapping[str, float]
"""Mean cost of a task in US dollars by model, used where a cost is unknown."""


class Walk(NamedTuple):
    """Totals of an order of tries over all instances."""

    order: tuple[str, ...]
    failed: tuple[int, ...]
    """Positions of the instances that none of them solved."""
    usd: float
    """US dollars in all; 0 if costs are unknown."""
    tries: int = 0
    """Tries in all."""


def prices_of(instances: Sequence[Instance]) -> Prices | None:
    """Return the mean known cost of every model; None if a model has none."""
    known: dict[str, list[float]] = {model_id: [] for each in instances for model_id in each.outcomes}
    for each in instances:
        for model_id, outcome in each.outcomes.items():
            if outcome.cost_usd:
                known[model_id].append(outcome.cost_usd)
    return {model_id: fmean(costs) for model_id, costs in known.items()} if all(known.values()) else None


def price(prices: Prices | None, model_id: str, outcome: Outcome) -> float:
    """Return the cost of a try: an unknown one is the mean of its model; 0 without ``prices``."""
    return 0.0 if prices is None else outcome.cost_usd or prices[model_id]


class KnownOutcomes:
    """The outcomes of all models on the same instances."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.prices = prices_of(instances)
        self.models = sorted(instances[0].outcomes)
        self._everything = tuple(range(len(instances)))
        self._failed = {
            model_id: [not each.outcomes[model_id].success for each in instances] for model_id in self.models
        }
        self._usd = {
            model_id: [price(self.prices, model_id, each.outcomes[model_id]) for each in instances]
            for model_id in self.models
        }

    def walk(self, order: Iterable[str]) -> Walk:
        """Return the totals of trying the models in this order, each instance until its first success."""
        walk = Walk((), self._everything, 0.0)
        for model_id in order:
            walk = self._continued(walk, model_id)
        return walk

    def by_success(self) -> list[str]:
        """Return the models, the one with the most successes first."""
        return sorted(self.models, key=lambda model_id: sum(self._failed[model_id]))

    def by_price(self) -> list[str]:
        """Return the models, the cheapest first."""
        prices = self.prices or {}
        return sorted(self.models, key=lambda model_id: prices.get(model_id, 0.0))

    def best(self, objective: CostObjective, attempts: int) -> Walk:
        """Return the order of at most ``attempts`` models that ``objective`` prefers; the cheapest of equals.

        Exact up to :data:`MAX_SETS` sets of one size.
        """
        walks = list(self._cheapest_orders(attempts))
        count = len(self._everything)
        solved = [1.0 - len(each.failed) / count for each in walks]
        costs = [None if self.prices is None else each.usd / count for each in walks]
        keys = objective([Estimate(mean, 0.0, usd) for mean, usd in zip(solved, costs, strict=True)], solved)
        return max(zip(keys, walks, strict=True), key=lambda pair: (pair[0], -pair[1].usd, -len(pair[1].order)))[1]

    def _cheapest_orders(self, attempts: int) -> Iterator[Walk]:
        """Yield the cheapest order of each set of models.

        What a set leaves unsolved does not depend on the order, so the cheapest order of a larger set continues the
        cheapest order of a smaller one.
        """
        level = [Walk((), self._everything, 0.0)]
        for _ in range(min(attempts, len(self.models))):
            found: dict[frozenset[str], Walk] = {}
            for walk in _most_promising(level):
                for model_id in self.models:
                    if model_id not in walk.order:
                        longer = self._continued(walk, model_id)
                        known = found.setdefault(frozenset(longer.order), longer)
                        if longer.usd < known.usd:
                            found[frozenset(longer.order)] = longer
            level = list(found.values())
            yield from level

    def _continued(self, walk: Walk, model_id: str) -> Walk:
        failed, usd = self._failed[model_id], self._usd[model_id]
        return Walk(
            (*walk.order, model_id),
            tuple([position for position in walk.failed if failed[position]]),
            walk.usd + sum([usd[position] for position in walk.failed]),
            walk.tries + len(walk.failed),
        )


def _most_promising(walks: list[Walk]) -> list[Walk]:
    """Return at most ``MAX_SETS`` walks: those that solve most, and the cheapest."""
    if len(walks) <= MAX_SETS:
        return walks
    half = MAX_SETS // 2
    best = sorted(walks, key=lambda walk: (len(walk.failed), walk.usd))
    return [*best[:half], *sorted(best[half:], key=lambda walk: walk.usd)[:half]]
