"""Which candidates are due to be probed for a lower price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelperf_plugin.policy.candidates import AVAILABLE, TOO_EXPENSIVE, Candidate, Knowledge, Policy
from modelperf_plugin.policy.cost import ExpectedCost
from modelperf_plugin.policy.cost.probing import due, is_due_above
from modelperf_plugin.values import Context, Exclusion


def may_probe(policy: Policy, knowledge: Knowledge, context: Context) -> bool:
    """Return whether models may be probed for a lower price: on the first try of a task that is explored."""
    may = policy.exploration.price_probes > 0.0 and not knowledge.tried and context.pin is None
    return may and (context.current_model is None or not policy.cost.switch_usd)


def due_above(
    excluded: Sequence[Exclusion], costs: Mapping[str, ExpectedCost | None], knowledge: Knowledge, context: Context
) -> dict[str, str]:
    """Return why models are too expensive that are due to be probed, unless something else speaks against them."""
    limit, found = context.max_cost_usd, {}
    for model_id, reason in excluded:
        cost = costs.get(model_id)
        if limit is None or cost is None or cost.usd <= limit or cost.source == "configured":
            continue
        if model_id in context.exclude or model_id in knowledge.demotions or model_id in knowledge.unavailable:
            continue
        if is_due_above(limit, knowledge.waiting.get(model_id, 0), knowledge.recent_costs.get(model_id)):
            found[model_id] = reason
    return found


def due_probes(
    policy: Policy, placed: Sequence[Candidate], available: int, outcomes: int, knowledge: Knowledge
) -> tuple[int, ...]:
    """Return the rows that are due to be probed for a lower price."""
    found: list[int] = []
    if available > 1 and placed[0].group == AVAILABLE and policy.cost.weighs_costs:
        model_ids = [each.tally.model_id for each in placed[:available]]
        estimates = [each.estimate for each in placed[:available] if each.estimate is not None]
        found = due(
            policy.cost, model_ids, estimates, outcomes, policy.exploration.price_probes, knowledge.waiting,
            knowledge.recent_costs,
        )  # fmt: skip
    if placed and placed[-1].group == TOO_EXPENSIVE:
        found += [position for position, each in enumerate(placed) if each.group == TOO_EXPENSIVE]
    return tuple(found)
