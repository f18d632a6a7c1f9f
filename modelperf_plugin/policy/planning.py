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
from modelperf_plugin.policy.retries import Further, Order, Setting, by_rank, evaluate, furthers, is_exact, walk
from modelperf_plugin.policy.timing import Timing
from modelperf_plugin.values import Exclusion, PlannedTry
from modelperf_plugin.values.recent import Recent

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
    """Plans over the candidates of one assessment, each worked out once.

    Plans are made of positions in :attr:`arms`, where the available arms are by name: so plans drawn earlier mean the
    same models, however these rank now.
    """

    def __init__(
        self, objective: CostObjective, setting: Setting, arms: Sequence[Arm], available: int,
        memory: Memory | None = None, key: Hashable = None,
    ) -> None:  # fmt: skip
        """Plan with the first ``available`` of the ranked ``arms``; the others are only ever begun with.

        Drawn plans are kept in ``memory`` under ``key``, which names all that does not change gradually.
        """
        self.objective = objective
        self.setting = setting
        self.available = available
        self.arms = (*sorted(arms[:available]), *arms[available:])
        positions = {arm[0]: position for position, arm in enumerate(self.arms)}
        self.ranked: Order = tuple([positions[arm[0]] for arm in arms])
        """The positions of all arms, best first."""
        self.logits = tuple([arm[1] for arm in self.arms])
        costs = [arm.cost for arm in self.arms]
        self.costs = _assumed(objective, costs)
        if any(arm.estimate.switch for arm in self.arms):
            self.costs = tuple([cost + arm.estimate.switch for cost, arm in zip(self.costs, self.arms, strict=True)])
        self._known = tuple([cost is not None for cost in costs])
        self.knows_costs = any(self._known[:available])
        self.followed: dict[Order, Followed] = {}
        """Plans that were followed before."""
        self.timing: Timing | None = None
        """How long tries take, if that matters."""
        self._memory: Memory = Recent(0) if memory is None else memory
        self._key = (key, tuple(positions)[:available])
        self._best: dict[Order, Order] = {}
        self._mixed: tuple[Drawn, list[Component]] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Planner):
            return NotImplemented
        return (self.objective, self.setting, self.arms) == (other.objective, other.setting, other.arms)

    def __hash__(self) -> int:
        return hash((self.setting, self.arms))

    def rank_by_plan(self) -> None:
        """Rank the arms of the best plan before all others, in its order."""
        plan = self.best()
        self.ranked = (*plan, *[each for each in self.ranked if each not in plan])

    def best(self, first: Order = ()) -> Order:
        """Return the best plan as far as is known, if it begins with ``first``."""
        found = self._best.get(first)
        if found is None:
            found = self._best[first] = self._solve(first)
        return found

    def _solve(self, first: Order) -> Order:
        if len(first) == self.setting.attempts:
            return first
        if not self.objective.weighs_costs:
            return by_rank(self.setting, self.logits, self.costs, self.ranked[: self.available], first)
        if not first and not self.objective.ends_list and self._drawn is not None:
            return self._drawn.usual  # it only leads the ranking: hosts follow the plans that are drawn
        exact = is_exact(self.setting, self.available, self.setting.attempts)
        if first and exact and self.objective.ends_list and self.best()[: len(first)] == first:
            return self.best()  # what it is worth does not depend on how good the others are
        return self._greedy.solve(self._greedy.logits, first, earlier=self._earlier_plans(first))

    def _earlier_plans(self, first: Order) -> list[Order]:
        """Return plans that begin with ``first`` and were good for beliefs that these arms had earlier."""
        drawn = self._memory.get(self._key)
        if drawn is None:
            return []
        if not first:
            return [drawn.usual]
        return [plan for _, plan in drawn.components if plan[:1] == first][:_MAX_EARLIER]

    def components(self, optimism: float, credit: float, outcomes: int, pending: Sequence[int]) -> list[Component]:
        """Return the plans that exploration draws, with their shares, which sum to 1.

        ``pending`` counts for each arm, in the order of :attr:`ranked`, the decisions that still wait for their
        outcome: they make its belief narrower, as outcomes would. It may be empty.
        """
        deviations = self._deviations(pending)
        if self.setting.attempts > 1 and self.knows_costs:
            drawn = self._draw(deviations, optimism, credit * optimism)
            if self._mixed is None or self._mixed[0] is not drawn:
                self._mixed = drawn, self._mix(drawn.components, drawn.doubted, outcomes, optimism)
            return self._mixed[1]
        basis = self._basis._replace(deviations=deviations, optimism=optimism, credit=credit * optimism)
        estimates = [arm.estimate for arm in self.arms[: self.available]]
        singles = draw_single(basis._replace(logits=self.logits[: self.available]), estimates)
        plans = [(share, self.best(order)) for share, order in singles]
        return self._mix(plans, doubted(basis), outcomes, optimism) if self.knows_costs else plans

    def _mix(
        self, drawn: Sequence[Component], doubts: Sequence[Component], outcomes: int, optimism: float
    ) -> list[Component]:
        """Return drawn plans and those with the benefit of the doubt, with their shares of all."""
        weight = self.benefit(doubts[0][1][0], outcomes) if optimism else 0.0
        if not weight:
            return [*drawn]
        return [
            *[(weight * share, order) for share, order in doubts],
            *[((1.0 - weight) * share, order) for share, order in drawn],
        ]

    def benefit(self, first: int, outcomes: int) -> float:
        """Return the share of decisions with the benefit of the doubt, whose plan begins with ``first``.

        It is r/(1 + r) with r = (m/(.4·d))⁴ · n/(n + 2000): m is how much worse the cheaper model may be than the best
        one, d the deviation of the difference between them, and n the number of outcomes.
        """
        best = self._basis.best
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

    def in_time(self, order: Order) -> Order:
        """Return the tries of a plan that fit into the time that the task has; at least one."""
        timing = self.timing
        if timing is None or timing.max_seconds is None:
            return order
        return order[: max(1, timing.fitting([timing.median(self.arms[each].model_id) for each in order]))]

    def ends(self, order: Order) -> bool:
        """Return whether the list ends after a plan: there are tries and models left, but no reason to make them."""
        return len(order) < min(self.setting.attempts, self.available)

    @property
    def may_leave_out(self) -> bool:
        """Whether the objective has a price for a solved task, so that a further try may not be worth its own."""
        return self.setting.attempts > 1 and self.objective.ends_list

    def worthwhile(self, plan: Order, furthers: Sequence[Further]) -> list[bool]:
        """Return for each further try after a plan whether it solves more than it may cost in solved tasks."""
        before, tolerance = evaluate(self.setting, self.logits, self.costs, plan), self.objective.tolerance
        return [each.solved - before.solved > tolerance(each.cost, before.cost) for each in furthers]

    def furthers(self, plan: Order, positions: Sequence[int]) -> list[Further]:
        """Return what one more try after a plan gets, for each of ``positions``."""
        return furthers(self.setting, self.logits, self.costs, plan, positions)

    def _deviations(self, pending: Sequence[int]) -> tuple[float, ...]:
        deviations = [arm[2] for arm in self.arms[: self.available]]
        for each, waiting in zip(self.ranked, pending, strict=False):
            if waiting:
                deviations[each] /= sqrt(1.0 + waiting / self.arms[each].weight)
        return tuple(deviations)

    @cached_property
    def _basis(self) -> Basis:
        """What plans are drawn from, without exploration."""
        count = self.available
        mean = _cautious(self.objective, self.arms[:count])
        return Basis(
            self.objective, self.setting, count, mean, self._deviations(()), self.costs[:count], self._known[:count],
            0.0, 0.0, tuple([arm.cost_deviation for arm in self.arms[:count]]),
        )  # fmt: skip

    @cached_property
    def _greedy(self) -> Basis:
        """The same with the arms that are not available, to begin with."""
        logits = (*self._basis.logits, *self.logits[self.available :])
        return self._basis._replace(logits=logits, costs=self.costs, known=self._known)

    @cached_property
    def _drawn(self) -> Drawn | None:
        """The plans that were drawn last from these beliefs, or from some near to them."""
        drawn = self._memory.get(self._key)
        return drawn if drawn is not None and self._basis.is_near(drawn.basis) else None

    def _draw(self, deviations: tuple[float, ...], optimism: float, credit: float) -> Drawn:
        """Return plans drawn from these beliefs, or those drawn from some near to them."""
        drawn = self._drawn
        if drawn is None or not drawn.basis.explores_like(deviations, optimism, credit):
            basis = self._basis._replace(deviations=deviations, optimism=optimism, credit=credit)
            drawn = self._drawn = draw(basis, self._memory.get(self._key))
            self._memory.put(self._key, drawn, self.available)
        return drawn


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
