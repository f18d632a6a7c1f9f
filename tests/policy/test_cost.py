"""Cost objectives: success against dollars, by table and as rules that hold for any candidates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.policy import (
    Adaptive,
    AnyCostObjective,
    CheapestWithin,
    Knowledge,
    NeverDemote,
    NeverExplore,
    Policy,
    Posterior,
    Success,
    Value,
    assess,
    choose,
)
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective, Estimate, ExpectedCost, expected_cost
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.values import NANO_USD, NO_CONTEXT, Context, Tally
from tests.policy.draws import chances_of
from tests.policy.tables import check_refused

OBJECTIVES: list[CostObjective] = [Success(), CheapestWithin(), Value(usd_per_success=1.0)]


def tally(model_id: str, successes: int, failures: int, cost_usd: float = 0.0) -> Tally:
    """Return a tally of which every outcome had the same cost."""
    samples = successes + failures
    nano = round(cost_usd * NANO_USD)
    return Tally("t", model_id, successes, failures, total_cost_nano_usd=nano * samples, priced=samples * (nano > 0))


def first(objective: CostObjective, **estimates: tuple[float, float | None]) -> str:
    """Return the preferred candidate without optimism, from mean and cost by name, all known exactly."""
    rows = {name: Estimate(mean, 0.0, cost) for name, (mean, cost) in estimates.items()}
    sort_keys = objective(list(rows.values()), [row.mean for row in rows.values()])
    return max(zip(sort_keys, rows, strict=True))[1]


@pytest.mark.parametrize(
    ("objective", "best"),
    [
        (Success(), "dear"),
        (CheapestWithin(margin=0.03), "fair"),
        (CheapestWithin(margin=0.0), "dear"),
        (CheapestWithin(margin=0.10), "cheap"),
        (CheapestWithin(margin=0.5), "poor"),
        (Value(usd_per_success=100.0), "dear"),
        (Value(usd_per_success=10.0), "fair"),
        (Value(usd_per_success=1.0), "cheap"),
        (Value(usd_per_success=0.01), "poor"),
    ],
    ids=str,
)
def test_objectives_by_table(objective: CostObjective, best: str) -> None:
    """Success takes the best, cheapest_within what is cheaper by no more than the margin, value the best bargain."""
    assert first(objective, dear=(0.80, 0.50), fair=(0.78, 0.20), cheap=(0.72, 0.01), poor=(0.40, 0.001)) == best


def test_what_costs_unknown_dollars_takes_nobodys_place() -> None:
    """Under cheapest_within a model of unknown cost is chosen only if it is the best: then its cost is learned."""
    objective = CheapestWithin(margin=0.05)
    assert first(objective, best=(0.8, 0.5), unknown=(0.79, None)) == "best"
    assert first(objective, best=(0.8, 0.5), unknown=(0.79, None), cheap=(0.76, 0.1)) == "cheap"
    assert first(objective, best=(0.8, None), cheap=(0.79, 0.1)) == "best"


def test_value_takes_a_model_of_unknown_cost_to_be_cheap() -> None:
    """So that it is tried: after that its cost is known."""
    objective = Value(usd_per_success=1.0)
    assert first(objective, known=(0.8, 0.2), unknown=(0.75, None)) == "known"
    assert first(objective, known=(0.8, 0.2), unknown=(0.85, None)) == "unknown"
    assert first(objective, known=(0.8, 0.2), cheap=(0.6, 0.01), unknown=(0.75, None)) == "unknown"


@pytest.mark.parametrize(("confidence", "chosen"), [(0.5, "cheap"), (0.75, "cheap"), (0.95, "best"), (0.99, "best")])
def test_confidence_asks_for_evidence(confidence: float, chosen: str) -> None:
    """Equal rates, margin .05: as long as the beliefs are wide, a high confidence keeps the best one."""
    deviation = 0.04
    estimates = [Estimate(0.801, deviation**2, 1.0), Estimate(0.8, deviation**2, 0.1)]
    sort_keys = CheapestWithin(margin=0.05, confidence=confidence)(estimates, [estimate.mean for estimate in estimates])
    assert ("best", "cheap")[sort_keys.index(max(sort_keys))] == chosen


@pytest.mark.parametrize(
    ("own", "model_costs", "expected"),
    [
        (tally("m", 3, 1, 0.5), {}, ExpectedCost(0.5, "own", 4)),
        (tally("m", 3, 1, 0.5), {"m": ExpectedCost(0.5, "model", 4)}, ExpectedCost(0.5, "own", 4)),
        (tally("m", 3, 2, 0.5), {"m": ExpectedCost(0.1, "model", 90)}, ExpectedCost(0.3, "own", 90)),
        (tally("m", 3, 1), {"m": ExpectedCost(0.1, "model", 90)}, ExpectedCost(0.1, "model", 90)),
        (tally("m", 0, 0), {"m": ExpectedCost(0.1, "configured")}, ExpectedCost(0.1, "configured")),
        (tally("m", 3, 1), {"other": ExpectedCost(0.1, "model", 90)}, None),
    ],
)
def test_costs_are_the_models_own(own: Tally, model_costs: Any, expected: ExpectedCost | None) -> None:
    """The mean on this task type, and 5 outcomes at the model's mean; else that mean, the configured one, nothing."""
    assert expected_cost(own, model_costs) == expected


def test_an_estimated_cost_is_said_to_be_one() -> None:
    """The reason of a decision, and that of an exclusion by the budget, say when a cost comes from other task types."""
    evidence = {"a": tally("a", 8, 2, 0.5), "b": tally("b", 8, 2)}
    known = Knowledge(evidence, None, {}, {}, {"b": ExpectedCost(0.1, "model", 10)})
    rules = policy(CheapestWithin(), NeverExplore())
    choice = choose(assess(rules, "t", ["a", "b"], known, NO_CONTEXT), NO_CONTEXT, 0.0)
    assert choice.order == ("b", "a")
    assert choice.reason.startswith(
        "the cheapest within 0.03 of the best ($0.1 a task, estimated from other task types); posterior mean"
    )
    assessment = assess(policy(Success(), NeverExplore()), "t", ["a", "b"], known, Context(max_cost_usd=0.05))
    assert [row.reason for row in assessment.excluded] == [
        "costs $0.5 a task on average, more than max_cost_usd = 0.05",
        "costs $0.1 a task on average (on other task types: unknown on this one), more than max_cost_usd = 0.05",
    ]


def policy(cost: CostObjective, exploration: ExplorationStrategy) -> Policy:
    """Return a posterior policy without demotion."""
    return Policy(ranking=Posterior(), demotion=NeverDemote(), cost=cost, exploration=exploration, policy_id="p")


estimates = st.lists(
    st.builds(
        Estimate,
        st.floats(0.01, 0.99),
        st.floats(0, 0.08),
        st.none() | st.floats(0, 10),
        st.just(0.0) | st.floats(0, 10),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: each.objective)
@given(rows=estimates, random=st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(objective: CostObjective, rows: list[Estimate], random: Any) -> None:
    """The sort key of a candidate does not depend on its position."""
    worth = objective(rows, [row.mean for row in rows])
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = objective([rows[position] for position in order], [rows[position].mean for position in order])
    assert shuffled == [worth[position] for position in order]


@given(estimates, st.floats(0, 0.5), st.floats(0.5, 0.99))
def test_cheapest_within_never_gives_up_more_than_the_margin(
    rows: list[Estimate], margin: float, confidence: float
) -> None:
    """The preferred model is within the margin of the best and not more expensive, what a change costs included."""
    worth = CheapestWithin(margin=margin, confidence=confidence)(rows, [row.mean for row in rows])
    chosen = rows[worth.index(max(worth))]
    best = max(rows, key=lambda row: row.mean)
    assert chosen.mean >= best.mean - margin - 1e-12
    if chosen.cost is not None and best.cost is not None:
        dearest = max((row.cost or 0.0) + row.switch for row in rows if row.mean == best.mean)
        assert chosen.cost + chosen.switch <= dearest


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: each.objective)
def test_propensities_are_the_frequencies_of_the_draws(objective: CostObjective) -> None:
    """With adaptive exploration each candidate is chosen with its propensity, exactly."""
    evidence = {
        "dear": tally("dear", 30, 10, 1.0),
        "fair": tally("fair", 15, 6, 0.4),
        "cheap": tally("cheap", 6, 3, 0.05),
        "new": tally("new", 0, 0),
    }
    beliefs = {name: Belief(each.successes + 2.0, each.failures + 1.0) for name, each in evidence.items()}
    assessment = assess(policy(objective, Adaptive()), "t", [*evidence], Knowledge(evidence, beliefs), NO_CONTEXT)
    chances = chances_of(assessment)
    probabilities = choose(assessment, NO_CONTEXT, 0.0).probabilities
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-12)
    for name, probability in zip(assessment.ranking.model_ids, probabilities, strict=True):
        assert chances[name] == pytest.approx(probability, abs=1e-9)


def test_exploration_learns_of_dear_models_that_might_be_better() -> None:
    """cheapest_within still tries an expensive model that is little known, but not a clearly worse one."""
    evidence = {
        "cheap": tally("cheap", 70, 30, 0.01),
        "dear": tally("dear", 2, 1, 1.0),
        "bad": tally("bad", 20, 80, 1.0),
    }
    beliefs = {name: Belief(each.successes + 1.0, each.failures + 1.0) for name, each in evidence.items()}
    rules = policy(CheapestWithin(), Adaptive(floor=0.0))
    assessment = assess(rules, "t", [*evidence], Knowledge(evidence, beliefs), NO_CONTEXT)
    shares = dict(zip(assessment.ranking.model_ids, choose(assessment, NO_CONTEXT, 0.0).probabilities, strict=True))
    assert shares["cheap"] > 0.3
    assert shares["dear"] > 0.1
    assert shares["bad"] == 0.0


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"objective": "cheapest_within", "margin": -0.1}, "margin"),
        ({"objective": "cheapest_within", "margin": 1}, "margin"),
        ({"objective": "cheapest_within", "confidence": 0.4}, "confidence"),
        ({"objective": "cheapest_within", "confidence": 1}, "confidence"),
        ({"objective": "value"}, "usd_per_success"),
        ({"objective": "value", "usd_per_success": 0}, "usd_per_success"),
        ({"objective": "value", "usd_per_success": float("inf")}, "usd_per_success"),
        ({"objective": "success", "margin": 0.1}, "margin"),
        ({"objective": "cheapest"}, "cheapest"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(table: dict[str, Any], names: str) -> None:
    """Out of range, missing, unknown or another objective's key: one error, which names it."""
    check_refused(AnyCostObjective, table, names)
