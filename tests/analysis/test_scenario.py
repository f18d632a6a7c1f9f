"""Scenarios: the shipped ones match the table of policies, and errors in a file are located."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from modelperf_plugin.analysis.simulation.scenario import Scenario, read_scenario, shipped
from modelperf_plugin.analysis.simulation.simulate import simulate
from modelperf_plugin.config import load
from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from tests.benchmarks._scenarios import SCENARIOS, TableColumn


def rates_lost(scenario: Scenario, run: int) -> float:
    """Return the regret of a random choice in one run."""
    tasks = scenario.tasks(Random(run))
    return sum(max(each.rates.values()) - fmean(each.rates.values()) for each in tasks)


def test_every_scenario_of_the_benchmark_is_shipped() -> None:
    """The worlds of the table of policies and the shipped files are the same ones."""
    assert sorted(each.shipped for each in SCENARIOS) == shipped()


@pytest.mark.parametrize("column", SCENARIOS, ids=lambda column: column.shipped)
def test_shipped_scenarios_are_as_hard_as_the_table_says(column: TableColumn) -> None:
    """The regret of a random choice is that of the table of policies, within a quarter over forty runs."""
    runs = 10 if column.shipped in {"all-at-once", "drifting"} else 40
    assert fmean(rates_lost(column.scenario, run) for run in range(runs)) == pytest.approx(
        column.table.random, rel=0.25
    )


def test_feedback_is_late_where_the_table_says_so() -> None:
    """In two of the scenarios an outcome is known after twenty further choices."""
    late = {each.shipped: each.scenario.feedback_delay for each in SCENARIOS if each.scenario.feedback_delay}
    assert late == {"late-feedback": 20, "all-at-once": 20}


def test_the_same_seed_gives_the_same_simulation() -> None:
    """All figures are repeatable, and a policy that learns loses less than a random one."""
    scenario = Scenario.model_validate({"name": "short", "decisions": 300, "models": 4})
    policies = {"default": load({}).config, "never": load({"exploration": {"strategy": "never"}}).config}
    found = simulate(scenario, policies, runs=2, seed=1)
    assert found == simulate(scenario, policies, runs=2, seed=1)
    assert found != simulate(scenario, policies, runs=2, seed=2)
    assert [each.name for each in found.policies] == ["default", "never"]
    assert 0.0 <= found.policies[0].regret < found.random_regret


def test_task_types_and_models_may_be_numbers_or_names() -> None:
    """A file gives the number of its models and task types, the names of its task types, or tables."""
    numbers = Scenario.model_validate({"models": 2, "task_types": 2})
    assert (list(numbers.models), list(numbers.task_types)) == (["model-0", "model-1"], ["type-0", "type-1"])
    names = Scenario.model_validate({"models": {"a": {}}, "task_types": ["plan", "code"]})
    assert (list(names.models), list(names.task_types)) == (["a"], ["plan", "code"])
    tables = Scenario.model_validate({"task_types": {"plan": {"output_tokens": 100}}})
    assert (len(tables.models), tables.task_types["plan"].output_tokens) == (8, 100)


def test_a_simulation_pays_for_tokens() -> None:
    """Prices are those of the tokens drawn, and outages cost nothing."""
    scenario = Scenario.model_validate(
        {
            "decisions": 400,
            "rates": {"kind": "fixed"},
            "models": {"a": {"rate": 0.9, "input_usd": 1.0, "output_usd": 10.0}},
            "task_types": {"plan": {"input_tokens": 1000, "output_tokens": 500}},
            "outage_share": 0.5,
        }
    )
    (result,) = simulate(scenario, {"default": load({}).config}, runs=1).policies
    assert result.cost_usd == pytest.approx(scenario.expected_cost_usd("plan", "a") / 2, rel=0.2)


def test_events_change_the_models_they_name() -> None:
    """A model leaves, another arrives, a third is set; a new one is above the best one."""
    scenario = Scenario.model_validate(
        {
            "decisions": 100,
            "rates": {"kind": "fixed"},
            "models": {"a": {"rate": 0.9}, "b": {"rate": 0.5}, "c": {"rate": 0.2}},
            "events": [
                {"at": 0.5, "model": "best", "do": "leave"},
                {"at": 0.5, "model": "b", "do": "arrive"},
                {"at": 0.5, "model": "worst", "do": "set", "value": 0.7},
                {"at": 0.5, "do": "new", "value": 0.5},
            ],
        }
    )
    tasks = list(scenario.tasks(Random(0)))
    assert tasks[49].rates == pytest.approx({"a": 0.9, "c": 0.2})
    assert {name: round(rate, 3) for name, rate in tasks[50].rates.items()} == {
        "b": 0.5,
        "c": 0.7,
        "model-3": 0.937,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("decisions = 0", "decisions: Input should be greater than or equal to 1"),
        ("decision = 5", "decision: Extra inputs are not permitted"),
        ("[rates]\nkind = 'fixed'", "rates.kind is fixed, so models must be named"),
        ("events = [{at = 0.5, do = 'leave', model = 'x'}]", "an event names the model 'x'"),
        ("decisions = ", "is not TOML"),
    ],
)
def test_errors_in_a_file_are_located(text: str, words: str) -> None:
    """The message names the file, the key and the rule."""
    Path("world.toml").write_text(text)
    with pytest.raises(OutcomesFileError, match=r"world\.toml") as caught:
        read_scenario("world.toml")
    assert words in str(caught.value)


def test_an_unknown_scenario_is_refused_with_the_shipped_names() -> None:
    """Neither a file nor shipped: the message lists the shipped ones."""
    with pytest.raises(InvalidValueError, match="near-tie"):
        read_scenario("nothing-such")
