"""Plans for the candidates of one decision: the best one as far as is known, and those that exploration draws.

A cheaper model that was unlucky at first would hardly be drawn again. So a part of the decisions follows another plan
than those that exploration draws, made with the benefit of the doubt: cheaper models count as what they might be at
best. That part grows with what is known and is small as long as nothing is; see :meth:`Planner.benefit`. It ends by
itself, once the cheaper models would not be within the margin at best: then the plans are the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from math import hypot, sqrt
from typing import Final, NamedTuple

from modelperf_plugin.policy.cost import CostObjective, Estimate
from modelperf_plugin.policy.drawing import Basis, Component, Drawn, Memory, doubted, draw, draw_single
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.retries import Further, Order, Setting, evaluate, furthers, is_exact, walk
from modelperf_plugin.values import Exclusion, PlannedTry

_SCALE: Final = 0.4
"""Deviations of the difference between two models that their margin must exceed for an even share of the doubt."""
_OUTCOMES: Final = 2_000
"""Outcomes after which the doubt has half its weight."""
_MAX_EARLIER: Final = 2
"""Earlier plans that narrow a search: each costs some time as well."""


class Arm(NamedTuple):
    """One candidate as a planner sees it."""

    model_id: str
    logit: float
    """Log-odds of the mean chance on any task."""
    deviation: float
    """Standard deviation of that; 0 if it is known."""
    estimate: Estimate
    """Mean chance and expected cost of a try, as an objective sees it."""
    weight: float = 0.0
    """Outcomes that the belief is worth."""
    cost_deviation: float = 0.0
    """Standard deviation of the logarithm of the cost; 0 if it is known."""

    @property
    def cost(self) -> float | None:
        """Expected cost of a try in US dollars; None if unknown."""
        return self.estimate.cost


class Followed(NamedTuple):
    """A plan as the host gets it."""

    order: tuple[str, ...]
    """All models that may be tried, those of the plan first."""
    left_out: tuple[Exclusion, ...]
    tries: tuple[PlannedTry, ...]
    explanation: str


class Planner:
    """Plans over the candidates of one assessment, each worked out once."""

    def __init__(
        self, objective: CostObjective, setting: Setting, arms: Sequence[Arm], available: int,
        memory: Memory | None = None, key: Hashable = None,
    ) -> None:  # fmt: skip
        """Plan with the first ``available`` of the ``arms``; the others are only ever begun with.

        Drawn plans are kept in ``memory`` under ``key``, which names all that does not change gradually.
        """
        self.objective = objective
        self.setting = setting
        self.arms = tuple(arms)
        self.available = available
        self.logits = tuple([arm.logit for arm in arms])
        costs = [arm.estimate.cost for arm in arms]
        self.costs = _assumed(objective, costs)
        self._known = tuple([cost is not None for cost in costs])
        self.knows_costs = any(self._known[:available])
        self.followed: dict[Order, Followed] = {}
        """Plans that were followed before."""
        self._memory = memory
        self._key = key
        self._mean = _cautious(objective, self.arms[:available])
        self._best: dict[Order, Order] = {}
        self._drawn: _Drawn | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Planner):
            return NotImplemented
        return (self.objective, self.setting, self.arms) == (other.objective, other.setting, other.arms)

    def __hash__(self) -> int:
        return hash((self.setting, self.arms))

    def order(self) -> Order:
        """Return the arms of the best plan, and then the others."""
        plan = self.best()
        return (*plan, *[each for each in range(len(self.arms)) if each not in plan])

    def begun_with(self, order: Order) -> Planner:
        """Return the planner of the same arms in this :meth:`order`."""
        size = len(self.best())
        if order == tuple(range(len(order))):
            return self
        arms = [self.arms[each] for each in order]
        found = Planner(self.objective, self.setting, arms, self.available, self._memory, self._key)
        found._best[()] = tuple(range(size))
        return found

    def best(self, first: Order = ()) -> Order:
        """Return the best plan as far as is known, if it begins with ``first``."""
        found = self._best.get(first)
        if found is None:
            found = self._best[first] = self._solve(first)
        return found

    def _solve(self, first: Order) -> Order:
        if len(first) == self.setting.attempts:
            return first
        exact = is_exact(self.setting, self.available, self.setting.attempts)
        if first and exact and self.objective.ends_list and self.best()[: len(first)] == first:
            return self.best()  # what it is worth does not depend on how good the others are
        earlier = self._earlier_plans(first) if self.objective.weighs_costs else ()
        return self._greedy.solve(self._greedy.logits, first, earlier=earlier)

    @cached_property
    def _greedy(self) -> Basis:
        logits = (*self._mean, *self.logits[self.available :])
        return Basis(self.objective, self.setting, self.available, logits, (), self.costs, self._known, 0.0, 0.0, ())

    def components(self, optimism: float, credit: float, outcomes: int, pending: Sequence[int]) -> list[Component]:
        """Return the plans that exploration draws, with their shares, which sum to 1.

        ``pending`` counts for each available arm the decisions that still wait for their outcome: they make its belief
        narrower, as outcomes would. It may be empty.
        """
        deviations = self._deviations(pending)
        doubts: Sequence[Component] = ()
        if self.setting.attempts > 1 and self.knows_costs:
            _, _, drawn, doubts = self._remembered(deviations, optimism, credit)
        else:
            estimates = [arm.estimate for arm in self.arms[: self.available]]
            singles = draw_single(self._basis(self.logits, deviations, optimism, credit), estimates)
            drawn = [(share, self.best(order)) for share, order in singles]
            if self.knows_costs:
                doubts = doubted(self._basis(self._mean, deviations, optimism, credit))
        weight = self.benefit(doubts[0][1][0], outcomes) if doubts and optimism else 0.0
        if not weight:
            return drawn
        return [
            *[(weight * share, order) for share, order in doubts],
            *[((1.0 - weight) * share, order) for share, order in drawn],
        ]

    def benefit(self, first: int, outcomes: int) -> float:
        """Return the share of decisions with the benefit of the doubt, whose plan begins with ``first``.

        It is r/(1 + r) with r = (m/(.4·d))⁴ · n/(n + 2000): m is how much worse the cheaper model may be than the best
        one, d the deviation of the difference between them, and n the number of outcomes.
        """
        best = max(range(self.available), key=lambda each: self.arms[each].logit)
        if first == best:
            return 0.0
        deviation = hypot(*[_on_chances(self.arms[each]) for each in (first, best)])
        margin = self.objective.tolerance(self.costs[best], self.costs[first])
        if deviation <= 0.0 or margin <= 0.0:
            return 0.0
        ratio = (min(1e6, margin / deviation) / _SCALE) ** 4 * outcomes / (outcomes + _OUTCOMES)
        return ratio / (1.0 + ratio)

    def steps(self, order: Order) -> list[tuple[float, float]]:
        """Return for each try the chance that it is reached, and that it then solves the task."""
        return walk(self.setting, self.logits, order)

    def ends(self, order: Order) -> bool:
        """Return whether the list ends after a plan: there are tries and models left, but no reason to make them."""
        return len(order) < min(self.setting.attempts, self.available)

    @property
    def may_leave_out(self) -> bool:
        """Whether the objective has a price for a solved task, so that a further try may not be worth its own."""
        return self.setting.attempts > 1 and self.objective.ends_list

    def worthwhile(self, plan: Order, furthers: Sequence[Further]) -> list[bool]:
        """Return for each further try after a plan whether it is worth its price."""
        if not self.may_leave_out:
            return [True] * len(furthers)
        utility = self.objective.utility(1.0)
        before = evaluate(self.setting, self.logits, self.costs, plan)
        least = utility(before.solved, before.cost)
        return [utility(each.solved, each.cost) > least for each in furthers]

    def furthers(self, plan: Order, positions: Sequence[int]) -> list[Further]:
        """Return what one more try after a plan gets, for each of ``positions``."""
        return furthers(self.setting, self.logits, self.costs, plan, positions)

    def _deviations(self, pending: Sequence[int]) -> tuple[float, ...]:
        deviations = [arm.deviation for arm in self.arms[: self.available]]
        for each, waiting in enumerate(pending):
            if waiting:
                deviations[each] /= sqrt(1.0 + waiting / self.arms[each].weight)
        return tuple(deviations)

    def _basis(self, logits: tuple[float, ...], deviations: tuple[float, ...], optimism: float, credit: float) -> Basis:
        count = self.available
        return Basis(
            self.objective, self.setting, count, logits[:count], deviations, self.costs[:count], self._known[:count],
            optimism, credit * optimism, tuple([arm.cost_deviation for arm in self.arms[:count]]),
        )  # fmt: skip

    @cached_property
    def _by_name(self) -> tuple[list[int], Hashable]:
        """The available arms by name, and the key of their plans."""
        names = [arm.model_id for arm in self.arms[: self.available]]
        order = sorted(range(self.available), key=names.__getitem__)
        return order, (self._key, tuple([names[each] for each in order]))

    @cached_property
    def _named(self) -> Basis:
        """What plans are drawn from if none is pending, by name."""
        return self._basis(self._mean, self._deviations(()), 0.0, 0.0).reordered(self._by_name[0])

    def _earlier_plans(self, first: Order) -> list[Order]:
        """Return plans that begin with ``first`` and were good for beliefs that these arms had earlier."""
        order, key = self._by_name
        drawn = None if self._memory is None else self._memory.get(key)
        if drawn is None:
            return []
        if not first:
            return [tuple([order[each] for each in drawn.usual])]
        plans = [plan for _, plan in drawn.components if order[plan[0]] == first[0]]
        return [tuple([order[each] for each in plan]) for plan in plans[:_MAX_EARLIER]]

    def _remembered(self, deviations: tuple[float, ...], optimism: float, credit: float) -> _Drawn:
        """Return the plans drawn from these beliefs or from some near to them."""
        order, key = self._by_name
        last, belief = self._drawn, (deviations, optimism, credit)
        drawn = None if self._memory is None else self._memory.get(key)
        if last is not None and last.by_name is drawn and last.belief == belief:
            return last
        basis = self._named._replace(
            deviations=tuple([deviations[each] for each in order]), optimism=optimism, credit=credit * optimism
        )
        if drawn is None or not basis.is_near(drawn.basis):
            drawn = draw(basis, drawn)
            if self._memory is not None:
                self._memory.put(key, drawn, len(order))
        if last is not None and last.by_name is drawn:
            last = self._drawn = last._replace(belief=belief)
        else:
            plans, doubts = (
                [(share, tuple([order[each] for each in plan])) for share, plan in parts]
                for parts in (drawn.components, drawn.doubted)
            )
            last = self._drawn = _Drawn(belief, drawn, plans, doubts)
        return last


class _Drawn(NamedTuple):
    """Drawn plans with the positions of a planner."""

    belief: tuple[tuple[float, ...], float, float]
    """The deviations, optimism and credit that they serve."""
    by_name: Drawn
    plans: list[Component]
    doubts: list[Component]


def _cautious(objective: CostObjective, arms: Sequence[Arm]) -> tuple[float, ...]:
    """Return the log-odds of the arms, lower for those that are not the best if the objective asks for certainty."""
    if not objective.caution or not arms:
        return tuple([arm.logit for arm in arms])
    best = max(arms, key=lambda arm: arm.logit)
    return tuple(
        [
            arm.logit - (objective.caution * hypot(arm.deviation, best.deviation) if arm is not best else 0.0)
            for arm in arms
        ]
    )


def _assumed(objective: CostObjective, costs: Sequence[float | None]) -> tuple[float, ...]:
    known = [cost for cost in costs if cost is not None]
    assumed = (max if objective.avoids_unknown_costs else min)(known, default=0.0)
    return tuple([assumed if cost is None else cost for cost in costs])


def _on_chances(arm: Arm) -> float:
    chance = expit(arm.logit)
    return chance * (1.0 - chance) * arm.deviation
