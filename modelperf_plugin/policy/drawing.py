"""The plans that exploration draws, and how long they are remembered.

With several tries, exploration draws beliefs instead of adding a bonus: 24 fixed points of a quasi-random sequence say
how far each model's log-odds are from their mean, so that every model has the same 24 equally likely values of the
normal distribution, and the combinations are spread evenly. A model that is better at a point is cheaper there as well,
by as much as its cost is uncertain: one expensive task must not make a model too expensive to be tried. Each point has
its best plan. The share of a model is that of the points whose plan begins with it, which is exact.

Working out 24 plans takes milliseconds. So they are remembered until what they were drawn from has moved: the log-odds
of any model by more than a part of its deviation, or a deviation, a cost or the spread by more than a little. A choice
that follows remembered plans has their shares, so its propensities are as exact. Until then the best plan as far as is
known leads the ranking as well, unless the objective ends lists: then it is followed, and always that of now.

With one try the plan is one model: the one that the objective prefers if the chances of all were as good as one degree
of optimism. That degree is one of 24 points, the same for all models.

Sources: M. Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018 (the sequence);
W. Thompson, "On the likelihood that one unknown probability exceeds another in view of the evidence of two samples",
1933.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from math import exp
from statistics import NormalDist
from typing import Final, NamedTuple

from modelperf_plugin.policy.cost import CostObjective, Estimate
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.retries import Order, Setting, best_plan, strongest
from modelperf_plugin.values.recent import Recent

POINTS: Final = 24
_INVERSE: Final = NormalDist().inv_cdf
_DEGREES: Final = tuple(1.2 * _INVERSE(0.5 + 0.5 * (index + 0.5) / POINTS) for index in range(POINTS))
"""The middles of 24 equally likely parts of 1.2·|N(0, 1)|: expensive models are not tried for long."""

MAX_MOVE: Final = 0.4
"""Deviations that the log-odds of a model may move before plans are drawn again."""
_MAX_DEVIATION_RATIO: Final = 1.25
_MAX_COST_RATIO: Final = 1.15
_MAX_SPREAD_MOVE: Final = 0.25
_MAX_CREDIT_MOVE: Final = 0.25

Component = tuple[float, Order]
"""A share of the decisions, and the plan that they follow."""


class Basis(NamedTuple):
    """What plans are drawn from; one entry for each model."""

    objective: CostObjective
    setting: Setting
    available: int
    """Plans are made of this many of the models, the first ones; the others are only ever begun with."""
    logits: tuple[float, ...]
    deviations: tuple[float, ...]
    costs: tuple[float, ...]
    """In US dollars, assumed where unknown."""
    known: tuple[bool, ...]
    """Whether the cost is known."""
    optimism: float
    credit: float
    """Deviations that a cheaper model may be better, for the benefit of the doubt."""
    cost_deviations: tuple[float, ...]
    """Those of the logarithms of the costs; 0 where the cost is unknown or does not change."""

    @property
    def best(self) -> int:
        """The model that most likely solves a task."""
        return max(range(self.available), key=self.logits.__getitem__)

    def solve(
        self, logits: Sequence[float], first: Order = (), usual: Order = (), earlier: Iterable[Order] = ()
    ) -> Order:
        """Return the best plan for these log-odds that begins with ``first``.

        ``usual`` is a good one for similar log-odds, and ``earlier`` ones were good for earlier beliefs: they make that
        faster. They begin with ``first`` as well.
        """
        objective, setting, costs = self.objective, self.setting, self.costs
        positions = range(self.available)
        if objective.avoids_unknown_costs and not all(self.known):
            top = strongest(setting, logits, positions, first)
            if not self.known[top[0]]:
                return top  # trying it reveals its cost
        return best_plan(setting, logits, costs, positions, objective.utility, first, usual, earlier)

    def drawn_costs(self, point: Sequence[float]) -> tuple[float, ...]:
        """Return the costs at a point: a model that is better than its mean there is cheaper as well."""
        unit = -self.optimism
        return tuple(
            [
                cost * exp(unit * z * deviation) if deviation else cost
                for cost, deviation, z in zip(self.costs, self.cost_deviations, point, strict=True)
            ]
        )

    def is_near(self, other: Basis) -> bool:
        """Return whether the best plan for ``other``, of the same models and the same configuration, still serves."""
        if self.known != other.known or not self.setting.is_near(other.setting, _MAX_SPREAD_MOVE):
            return False
        for logit, logit_before, deviation_before, cost, cost_before in zip(
            self.logits, other.logits, other.deviations, self.costs, other.costs, strict=True
        ):
            if abs(logit - logit_before) > MAX_MOVE * deviation_before:
                return False
            if cost != cost_before and not _about_equal(cost, cost_before, _MAX_COST_RATIO):
                return False
        if self.cost_deviations == other.cost_deviations:
            return True
        return all(map(_is_near_deviation, self.cost_deviations, other.cost_deviations))

    def explores_like(self, deviations: Sequence[float], optimism: float, credit: float) -> bool:
        """Return whether plans drawn from these beliefs also serve this much exploration."""
        if self.optimism != optimism or abs(self.credit - credit) > _MAX_CREDIT_MOVE:
            return False
        for deviation, before in zip(deviations, self.deviations, strict=True):
            if deviation != before and not _about_equal(deviation, before, _MAX_DEVIATION_RATIO):
                return False
        return True


class Drawn(NamedTuple):
    """Plans for several tries."""

    basis: Basis
    components: tuple[Component, ...]
    """Their shares sum to 1."""
    doubted: tuple[Component, ...]
    """The same for cheaper models with the benefit of the doubt."""
    usual: Order
    """The best plan as far as is known."""
    by_point: tuple[Order, ...]
    """The plan of each point."""


Memory = Recent[Hashable, Drawn]
"""The plans that were drawn last, by all that does not change gradually: task type, policy, models, tries."""


def draw(basis: Basis, before: Drawn | None = None) -> Drawn:
    """Draw plans for several tries; those drawn ``before`` for the same models make that faster."""
    usual = basis.solve(basis.logits, earlier=() if before is None else [before.usual])
    plans = [usual] * POINTS
    if basis.optimism > 0.0:
        widths = [basis.optimism * deviation for deviation in basis.deviations]
        earlier = plans if before is None else before.by_point
        for index, point in enumerate(_points(len(widths))):
            logits = [mean + width * z for mean, width, z in zip(basis.logits, widths, point, strict=True)]
            plans[index] = basis._replace(costs=basis.drawn_costs(point)).solve(logits, (), usual, [earlier[index]])
    parts = [(count / POINTS, order) for order, count in Counter(plans).items()]
    doubts = doubted(basis, [usual] if before is None else [usual, before.doubted[0][1]])
    return Drawn(basis, tuple(_split_evenly(parts, basis)), doubts, usual, tuple(plans))


def draw_single(basis: Basis, estimates: Sequence[Estimate]) -> list[Component]:
    """Draw plans for one try: the models that the objective prefers at each degree of optimism."""
    shares = [0.0] * len(estimates)
    means, widths = basis.logits, [basis.optimism * deviation for deviation in basis.deviations]
    for degree in _DEGREES:
        sort_keys = basis.objective(
            estimates, [expit(mean + degree * width) for mean, width in zip(means, widths, strict=True)]
        )
        most = max(sort_keys)
        preferred = [position for position, sort_key in enumerate(sort_keys) if sort_key == most]
        for position in preferred:
            shares[position] += 1.0 / POINTS / len(preferred)
    return [(share, (position,)) for position, share in enumerate(shares) if share]


def doubted(basis: Basis, earlier: Iterable[Order] = ()) -> tuple[Component, ...]:
    """Return the plan with the benefit of the doubt for models cheaper than the best.

    Plans that were good for ``earlier`` or similar beliefs make that faster.
    """
    means, costs, best = basis.logits, basis.costs, basis.best
    order = basis.solve(
        [
            mean + basis.credit * deviation if cost < costs[best] else min(mean, means[best])
            for mean, deviation, cost in zip(means, basis.deviations, costs, strict=True)
        ],
        earlier=earlier,
    )
    return tuple(_split_evenly([(1.0, order)], basis))


def _is_near_deviation(deviation: float, before: float) -> bool:
    return _about_equal(deviation, before, _MAX_DEVIATION_RATIO)


def _about_equal(value: float, before: float, ratio: float) -> bool:
    return before <= ratio * value <= ratio * ratio * before


def _alike(basis: Basis) -> dict[int, list[int]]:
    """Return for each model that has others like it all of these."""
    groups: dict[Hashable, list[int]] = {}
    features = (basis.logits, basis.deviations, basis.costs, basis.known, basis.cost_deviations)
    for position, each in enumerate(zip(*features, strict=True)):
        groups.setdefault(each, []).append(position)
    return {position: group for group in groups.values() if len(group) > 1 for position in group}


def _split_evenly(components: Iterable[Component], basis: Basis) -> list[Component]:
    """Return the plans with each share split among those that begin with a model like the first.

    24 points do not fall evenly on models of which the same is known.
    """
    alike = _alike(basis)
    parts: list[Component] = []
    for share, order in components:
        first = order[0]
        group = alike.get(first, (first,))
        for other in group:
            swapped = {first: other, other: first}
            parts.append((share / len(group), tuple([swapped.get(each, each) for each in order])))
    return parts


@lru_cache(maxsize=64)
def _points(count: int) -> tuple[tuple[float, ...], ...]:
    """Return the points of the sequence for so many models, as values of the normal distribution."""
    ratio = 2.0
    for _ in range(50):
        ratio = (1.0 + ratio) ** (1.0 / (count + 1))
    columns = []
    for dimension in range(1, count + 1):
        step = ratio**-dimension
        values = [(0.5 + number * step) % 1.0 for number in range(1, POINTS + 1)]
        rank = {number: place for place, number in enumerate(sorted(range(POINTS), key=values.__getitem__))}
        columns.append([_INVERSE((rank[number] + 0.5) / POINTS) for number in range(POINTS)])
    return tuple(zip(*columns, strict=True))
