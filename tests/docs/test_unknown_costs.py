"""The page on decisions says in one table what a model of unknown cost is to each rule; the rules do that."""

from __future__ import annotations

from typing import Any

import pytest

import modelperf_plugin as mp
from tests.docs.pages import DOCS, section, table_rows

PAGE = DOCS / "explanation" / "decisions.md"
TASK = "t"


def said_of(where: str) -> str:
    """Return what the table says in the row about ``where``."""
    (row,) = (row for row in table_rows(section(PAGE, "Unknown costs")) if where in row[0])
    return row[1]


def chosen(config: dict[str, Any], costs: dict[str, tuple[float, float]], **context: Any) -> mp.Decision:
    """Return the decision after 40 outcomes of each model, of which ``costs`` are the success rate and the cost."""
    fixed = {"exploration": {"strategy": "never"}, "demotion": {"strategy": "never"}, "drift": {"detect": False}}
    with mp.ModelPerf({**fixed, **config}, store=":memory:", seed=1) as perf:
        for model_id, (rate, cost) in costs.items():
            for number in range(40):
                perf.record(TASK, model_id, mp.Outcome(success=number < 40 * rate, cost_usd=cost))
        decision = perf.select(TASK, list(costs), context or None)
        assert decision is not None
        return decision


def test_it_is_allowed_whatever_the_task_may_cost() -> None:
    """``max_cost_usd`` leaves out what costs more, and nothing of which nobody knows what it costs."""
    assert said_of("max_cost_usd").startswith("Is allowed")
    decision = chosen({}, {"known": (0.5, 1.0), "unknown": (0.5, 0.0)}, max_cost_usd=0.5)
    assert list(decision) == ["unknown"]


@pytest.mark.parametrize(
    ("objective", "costs", "first", "says"),
    [
        ({"objective": "success"}, {"known": (0.8, 0.1), "unknown": (0.9, 0.0)}, "unknown", "ranked like any other"),
        (
            {"objective": "cheapest_within", "margin": 0.2},
            {"known": (0.9, 0.1), "unknown": (0.85, 0.0)},
            "known",
            "Never replaces another",
        ),
        (
            {"objective": "cheapest_within", "margin": 0.2},
            {"known": (0.85, 0.1), "unknown": (0.95, 0.0)},
            "unknown",
            "If it is the best, it is chosen",
        ),
        (
            {"objective": "value", "usd_per_success": 1.0},
            {"cheap": (0.5, 0.1), "expensive": (0.9, 1.0), "unknown": (0.8, 0.0)},
            "unknown",
            "Counts as the cheapest",
        ),
    ],
)
def test_each_objective_treats_it_as_the_table_says(
    objective: dict[str, Any], costs: dict[str, tuple[float, float]], first: str, says: str
) -> None:
    """Success looks at no cost, cheapest_within needs to know it unless the model is the best, value is optimistic."""
    assert says in said_of(f'objective = "{objective["objective"]}"')
    assert chosen({"cost": objective}, costs)[0] == first


def test_in_a_plan_it_counts_as_the_most_expensive_or_the_cheapest() -> None:
    """With several tries the cost of a plan is a number: cheapest_within expects the worst, value the best."""
    costs = {"cheap": (0.5, 0.1), "expensive": (0.9, 1.0), "unknown": (0.6, 0.0)}
    retries = {"retries": {"attempts": 2}}
    cautious = chosen({**retries, "cost": {"objective": "cheapest_within", "margin": 0.05}}, costs)
    optimistic = chosen({**retries, "cost": {"objective": "value", "usd_per_success": 10.0}}, costs)
    assert "most expensive" in said_of("a plan of several tries")
    assert "unknown" not in [step.model_id for step in cautious.plan]
    assert "unknown" in [step.model_id for step in optimistic.plan]


def test_a_budget_takes_three_successes_without_a_cost_as_free() -> None:
    """A host that never reports the costs of a model has it permitted when the money is used up."""
    assert "3 successes" in said_of("[budget]")
    budget = {"budget": {"usd": 1.0}, "exploration": {"strategy": "never"}}
    with mp.ModelPerf(budget, store=":memory:", seed=1) as perf:
        for _ in range(3):
            perf.record(TASK, "unknown", mp.Outcome(success=True))
        perf.record(TASK, "known", mp.Outcome(success=True, cost_usd=5.0))
        decision = perf.select(TASK, ["known", "unknown"])
    assert decision is not None
    assert list(decision) == ["unknown"]
