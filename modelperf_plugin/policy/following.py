"""Plans in a host's decision: the order of models, the tries in words and numbers, and the models left out."""

from __future__ import annotations

from collections.abc import Sequence

from modelperf_plugin.policy.planning import Followed, Planner
from modelperf_plugin.policy.retries import Further, Order
from modelperf_plugin.values import Exclusion, PlannedTry


def follow(planner: Planner, plan: Order) -> Followed:
    """Return what following a plan means for the host.

    After a plan that uses all tries the others follow by rank, because an outage does not use up a try. A plan that
    uses fewer ends the list. Tries that no time is left for stay in the order, but are not planned.
    """
    known = planner.followed.get(plan)
    if known is None:
        order, left_out = _order(planner, plan)
        timely = planner.in_time(plan)
        tries = _planned_tries(planner, timely)
        known = planner.followed[plan] = Followed(order, left_out, tries, _explain(planner, plan, tries))
    return known


def _order(planner: Planner, plan: Order) -> tuple[tuple[str, ...], tuple[Exclusion, ...]]:
    """Return the models in the order to try them, and those that are left out.

    If the list ends, models that are not available stay as a last resort where a try of them would be worth it: that
    the plan is content without them is not the plan's choice.
    """
    model_ids = [arm.model_id for arm in planner.arms]
    order = [model_ids[position] for position in plan]
    others = [position for position in planner.ranked if position not in plan]
    ends = planner.ends(plan)
    if not (ends or planner.may_leave_out):
        return (*order, *[model_ids[position] for position in others]), ()
    left_out: list[Exclusion] = []
    furthers = planner.furthers(plan, others)
    for position, further, worthwhile in zip(others, furthers, planner.worthwhile(plan, furthers), strict=True):
        may_follow = not ends or (position >= planner.available and further.cost <= planner.setting.max_usd)
        if worthwhile and may_follow:
            order.append(model_ids[position])
        else:
            left_out.append(Exclusion(model_ids[position], _objection(planner, plan, position, further)))
    return tuple(order), tuple(left_out)


def _objection(planner: Planner, plan: Order, position: int, further: Further) -> str:
    """Return why a model is not tried after a plan."""
    most = planner.setting.max_usd
    if further.cost > most:
        return f"with a try of it the task costs ${further.cost:.3g} on average, more than max_cost_usd = {most:g}"
    cost = planner.arms[position].cost
    price = "" if cost is None else f" for ${cost:.3g}"
    failed = "the model before it has" if len(plan) == 1 else f"the {len(plan)} before it have"
    return f"not worth a further try: solves {further.chance:.2f} of what {failed} failed{price}"


def _planned_tries(planner: Planner, plan: Order) -> tuple[PlannedTry, ...]:
    arms = [planner.arms[position] for position in plan]
    return tuple(
        [
            PlannedTry(arm.model_id, reached, solved, arm.cost)
            for arm, (reached, solved) in zip(arms, planner.steps(plan), strict=True)
        ]
    )


def _explain(planner: Planner, plan: Order, tries: Sequence[PlannedTry]) -> str:
    """Return in one phrase why these tries are made, in this order."""
    solved = sum([each.chance_reached * each.chance_solved for each in tries])
    names = ", ".join([each.model_id for each in tries])
    costs = [each.expected_usd for each in tries]
    usd = sum([each.chance_reached * (each.expected_usd or 0.0) for each in tries])
    price = "" if None in costs else f" at ${usd:.3g}"
    head = planner.objective.explain_plan(len(tries))
    if planner.objective.weighs_costs and plan != planner.best():
        head = f"one of the orders that might be {head}"
    return f"{head}: {names} ({solved:.3f} solved{price} a task)"
