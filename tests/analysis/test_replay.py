"""Replay: the outcomes that the policy learns, its references, and the figures of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import sqrt
from pathlib import Path
from random import Random
from statistics import stdev
from typing import Any

import pytest

from modelperf_plugin.analysis.simulation import play as play_module
from modelperf_plugin.analysis.simulation import replay as replay_module
from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData, read_outcomes
from modelperf_plugin.analysis.simulation.play import MIGRATION_GUIDE_RULE, fresh_engine
from modelperf_plugin.analysis.simulation.replay import replay
from modelperf_plugin.config import load
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import Decision, Outcome

SHARED = Path(__file__).resolve().parents[3] / "shared" / "outcomes"
GREEDY = {
    "ranking": {"strategy": "posterior"},
    "demotion": {"strategy": "never"},
    "exploration": {"strategy": "never"},
}

needs_outcomes = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recorded outcomes are not there: {SHARED}")


def instance(number: int, task_type: str, /, **outcomes: Outcome | int) -> Instance:
    """Return an instance; 1 and 0 stand for a plain success and failure."""
    known = {
        model_id: outcome if isinstance(outcome, Outcome) else Outcome(success=bool(outcome))
        for model_id, outcome in outcomes.items()
    }
    return Instance(f"i{number}", task_type, known)


def data_of(instances: Sequence[Instance]) -> OutcomeData:
    return OutcomeData(source="made up", instances=tuple(instances))


def by_rates(count: int, **rates: float) -> OutcomeData:
    """Return ``count`` instances of one task type, on which each model succeeds at its rate."""
    rng = Random(5)
    return data_of(
        [
            instance(number, "t", **{model_id: int(rng.random() < rate) for model_id, rate in rates.items()})
            for number in range(count)
        ]
    )


class Spy(ModelPerf):
    """An engine that remembers its calls."""

    seen: list[tuple[str, Any]]

    def select(self, *args: Any, **kwargs: Any) -> Decision | None:
        decision = super().select(*args, **kwargs)
        self.seen.append(("select", decision))
        return decision

    def record(self, *args: Any, **kwargs: Any) -> bool:
        self.seen.append(("record", args))
        return super().record(*args, **kwargs)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return the calls of the engines of a replay."""
    monkeypatch.setattr(Spy, "seen", [], raising=False)
    monkeypatch.setattr(play_module, "ModelPerf", Spy)
    return Spy.seen


def test_the_policy_learns_the_outcomes_of_its_choices_only(seen: list[tuple[str, Any]]) -> None:
    """Every decision is followed by one outcome: that of the chosen model on this instance, and no other."""
    data = data_of([instance(n, "t", a=Outcome(success=True, tokens_used=n), b=0) for n in range(1, 21)])
    report = replay(data, GREEDY, repeats=1, order="recorded")
    assert [call for call, _ in seen] == ["select", "record"] * (2 * report.instances)
    for number, ((_, decision), (_, arguments)) in enumerate(pairwise(seen[:40]), start=1):
        if number % 2:
            row = data.instances[number // 2]
            assert arguments == (row.task_type, decision.model_id, row.outcomes[decision.model_id], decision)


def test_a_minute_passes_with_every_decision(seen: list[tuple[str, Any]]) -> None:
    """Decisions are a minute apart, and outcomes are stamped by that clock, whenever they were recorded."""
    long_ago = Outcome(success=True, timestamp=datetime(1999, 1, 1, tzinfo=UTC))
    replay(data_of([instance(n, "t", a=long_ago, b=long_ago) for n in range(5)]), GREEDY, repeats=1)
    moments = [decision.created_at for call, decision in seen if call == "select"][:5]
    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(minutes=1)}
    assert all(arguments[2].timestamp is None for call, arguments in seen if call == "record")


def test_every_model_is_offered_every_time(seen: list[tuple[str, Any]]) -> None:
    """The candidates are the models of the core, in every decision."""
    replay(by_rates(10, a=0.5, b=0.5, c=0.5), GREEDY, repeats=2)
    assert {frozenset(decision) for call, decision in seen if call == "select"} == {frozenset("abc")}


def test_the_references_are_exact() -> None:
    """Random choice, best single model, best per task type and cheapest model are counted, not drawn."""
    win, loss, high = Outcome(success=True, cost_usd=0.01), Outcome(success=False, cost_usd=0.03), 0.1
    data = data_of(
        [
            instance(1, "x", a=win, b=loss, c=Outcome(success=False, cost_usd=high)),
            instance(2, "x", a=win, b=win, c=Outcome(success=False, cost_usd=high)),
            instance(3, "y", a=loss, b=loss, c=Outcome(success=True, cost_usd=high)),
            instance(4, "y", a=win, b=loss, c=Outcome(success=True, cost_usd=high)),
        ]
    )
    report = replay(data, GREEDY, repeats=1)
    assert report.random.success_rate == pytest.approx(6 / 12)
    assert report.random.cost_per_success_usd == pytest.approx((4 * 0.01 + 4 * 0.03 + 4 * 0.1) / 6)
    assert (report.best_single.model_id, report.best_single.success_rate) == ("a", 3 / 4)
    assert report.best_single.cost_per_success_usd == pytest.approx(0.06 / 3)
    assert report.best_per_task_type.success_rate == 1.0
    assert report.best_per_task_type.cost_per_success_usd == pytest.approx((2 * 0.01 + 2 * 0.1) / 4)
    assert report.cheapest is not None
    assert (report.cheapest.model_id, report.cheapest.success_rate) == ("a", 3 / 4)
    assert [(row.task_type, row.best_model, row.best_success_rate) for row in report.task_types] == [
        ("x", "a", 1.0),
        ("y", "c", 1.0),
    ]
    assert [row.random_success_rate for row in report.task_types] == [pytest.approx(0.5)] * 2


def test_the_policy_learns() -> None:
    """Where one model is plainly better, most decisions go to it and the end is better than the beginning."""
    report = replay(by_rates(400, good=0.9, bad=0.2, worse=0.1), {"exploration": {"strategy": "epsilon_greedy"}})
    assert next(iter(report.shares)) == "good"
    assert report.shares["good"] > 0.7
    assert report.learning_curve[-1] > report.random.success_rate + 0.2
    assert 0.0 < report.explored_share < 0.2
    assert report.regret == pytest.approx(report.best_single.success_rate - report.policy.success_rate)


def test_the_errors_are_those_of_the_mean_over_the_repeats() -> None:
    """The standard error is the spread of the repeats over the root of their number; one repeat has none."""
    data = by_rates(40, a=0.6, b=0.4)
    report = replay(data, GREEDY, repeats=4, seed=3)
    counted: list[list[bool]] = [[], [], [], []]
    original = replay_module._report

    def keep(*args: Any, **kwargs: Any) -> Any:
        counted[:] = [[step.outcome.success for step in run] for run in args[2]]
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "_report", keep)
        replay(data, GREEDY, repeats=4, seed=3)
    rates = [sum(run) / 40 for run in counted]
    assert report.policy.success_rate == pytest.approx(sum(rates) / 4)
    assert report.policy.standard_error == pytest.approx(stdev(rates) / sqrt(4))
    assert replay(data, GREEDY, repeats=1).policy.standard_error is None


def test_the_same_seed_gives_the_same_report() -> None:
    """A report is a function of data, policy and seed, exploration included."""
    data = by_rates(60, a=0.6, b=0.5, c=0.4)
    policy = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 0.3}}
    assert replay(data, policy, seed=1) == replay(data, policy, seed=1)
    assert replay(data, policy, seed=1) != replay(data, policy, seed=2)


def test_the_migration_guide_rule_meets_the_same_instances_in_the_same_order() -> None:
    """As the policy under test the migration guide's rule has the same result as beside any other policy."""
    data = by_rates(50, a=0.7, b=0.5, c=0.3)
    report = replay(data, MIGRATION_GUIDE_RULE)
    assert report.policy == report.document_rule == replay(data, GREEDY).document_rule


def test_the_curve_is_the_run_in_ten_parts() -> None:
    """The parts of the learning curve are equally long to within one instance; few instances give fewer."""
    assert len(replay(by_rates(25, a=0.5, b=0.5), GREEDY).learning_curve) == 10
    assert len(replay(by_rates(3, a=0.5, b=0.5), GREEDY).learning_curve) == 3
    report = replay(by_rates(50, a=0.5, b=0.5), GREEDY)
    assert sum(report.learning_curve) / 10 == pytest.approx(report.policy.success_rate)


def test_unknown_costs_are_counted() -> None:
    """Outcomes without a cost are counted and taken at the mean of the others; without any there is no cost."""
    win, free = Outcome(success=True, cost_usd=0.02), Outcome(success=True)
    report = replay(data_of([instance(1, "t", a=win, b=free), instance(2, "t", a=free, b=free)]), GREEDY)
    assert (report.unpriced, report.outcomes) == (3, 4)
    assert report.random.cost_per_success_usd == pytest.approx(0.02)
    assert report.cheapest is not None
    assert report.cheapest.model_id == "a"
    silent = replay(by_rates(10, a=0.5, b=0.5), GREEDY)
    assert (silent.unpriced, silent.cheapest, silent.policy.cost_per_success_usd) == (20, None, None)


def test_the_recorded_order_is_by_time(seen: list[tuple[str, Any]]) -> None:
    """In the recorded order the instance whose first outcome is the earliest comes first."""

    def at(day: int) -> Outcome:
        return Outcome(success=True, timestamp=datetime(2025, 1, day, tzinfo=UTC))

    rows = [
        instance(1, "late", a=at(9), b=at(8)),
        instance(2, "early", a=at(30), b=at(1)),
        instance(3, "mid", a=at(5), b=at(6)),
    ]
    replay(data_of(rows), GREEDY, order="recorded", repeats=1)
    assert [decision.task_type for call, decision in seen if call == "select"][:3] == ["early", "mid", "late"]


def test_without_times_the_recorded_order_is_that_of_the_file(seen: list[tuple[str, Any]]) -> None:
    """If the time of one instance is unknown, all stay where they are in the file."""
    timed = Outcome(success=True, timestamp=datetime(2025, 1, 1, tzinfo=UTC))
    rows = [instance(1, "first", a=1, b=1), instance(2, "second", a=timed, b=timed)]
    replay(data_of(rows), GREEDY, order="recorded", repeats=1)
    assert [decision.task_type for call, decision in seen if call == "select"][:2] == ["first", "second"]


def test_shuffled_repeats_differ_in_their_order(seen: list[tuple[str, Any]]) -> None:
    """Each repeat has its own order, which the migration guide's rule shares."""
    replay(data_of([instance(n, f"t{n}", a=1, b=1) for n in range(30)]), GREEDY, repeats=2)
    order = [decision.task_type for call, decision in seen if call == "select"]
    runs = [order[start : start + 30] for start in range(0, 120, 30)]
    assert runs[0] == runs[1] != runs[2] == runs[3]
    assert sorted(runs[0]) == sorted(runs[2])


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_policy_that_is_not_applied_is_replayed_as_if_it_were(mode: str) -> None:
    """A replay ignores the mode, which only concerns hosts."""
    data = by_rates(30, a=0.7, b=0.5)
    assert replay(data, GREEDY | {"mode": mode}) == replay(data, GREEDY)


def test_a_policy_may_come_as_a_file_or_a_value(tmp_path: Path) -> None:
    """A path, a mapping and a Config that say the same give the same report."""
    data = by_rates(30, a=0.7, b=0.5)
    file = tmp_path / "policy.toml"
    file.write_text("".join(f'[{name}]\nstrategy = "{keys["strategy"]}"\n' for name, keys in GREEDY.items()))
    expected = replay(data, GREEDY)
    assert replay(data, file) == replay(data, load(GREEDY).config) == expected != replay(data, MIGRATION_GUIDE_RULE)


def test_left_out_models_and_instances_are_reported() -> None:
    """The report names models that were not offered and counts incomplete instances."""
    rows = [instance(1, "t", a=1, b=0, c=1), instance(2, "t", a=1, b=0), instance(3, "t", a=1)]
    report = replay(data_of(rows), GREEDY)
    assert (report.models, report.left_out_models, report.left_out_instances) == (("a", "b"), ("c",), 1)
    chosen = replay(data_of(rows), GREEDY, models=["a", "c"])
    assert (chosen.models, chosen.instances, chosen.left_out_instances) == (("a", "c"), 1, 2)


def test_shares_name_every_model_that_was_offered() -> None:
    """The shares sum to 1, and a model that was never chosen has 0."""
    report = replay(by_rates(80, a=0.9, b=0.1), GREEDY)
    assert set(report.shares) == {"a", "b"}
    assert sum(report.shares.values()) == pytest.approx(1.0)
    assert sum(row.most_chosen_share for row in report.task_types) == pytest.approx(report.shares["a"])


def test_progress_counts_up_to_the_end() -> None:
    """The callback is called after every decision, including those of the migration guide's rule."""
    calls: list[tuple[int, int]] = []
    replay(by_rates(7, a=0.5, b=0.5), GREEDY, repeats=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 42) for done in range(1, 43)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repeats": 0}, "repeats must be a whole number of 1 or more, but got 0"),
        ({"order": "backwards"}, "order must be shuffled or recorded, but got 'backwards'"),
        ({"models": ["a", "z"]}, r"models must be among those of made up \(a, b\), but got 'z'"),
        ({"models": ["a"]}, "made up must be outcomes of at least two models for the same instance"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """An argument that is not usable is named with the rule and the value."""
    with pytest.raises(InvalidValueError, match=message):
        replay(by_rates(5, a=0.5, b=0.5), GREEDY, **arguments)


def test_a_report_is_plain_json() -> None:
    """The report survives JSON unchanged."""
    values = replay(by_rates(12, a=0.5, b=0.5), GREEDY, repeats=2).as_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values


@needs_outcomes
def test_recorded_outcomes_give_the_published_bounds() -> None:
    """On the METR runs the bounds in hindsight are those that their README states."""
    report = replay(read_outcomes(SHARED / "metr_runs_2025_01.csv.gz"), GREEDY, repeats=1)
    assert report.best_single.success_rate == pytest.approx(0.559, abs=0.001)
    assert report.best_per_task_type.success_rate == pytest.approx(0.666, abs=0.001)
    assert (report.unpriced, report.cheapest) == (7 * 587, None)


@pytest.mark.slow
@needs_outcomes
@pytest.mark.parametrize("name", ["metr_runs_2025_01", "llmdrift_2023", "swebench_pro", "swebench_bash_only"])
def test_the_default_policy_beats_chance_and_the_migration_guide_rule(name: str) -> None:
    """On outcomes of real models the default policy is better than both, over five orders."""
    report = replay(read_outcomes(SHARED / f"{name}.csv.gz"), {})
    assert report.policy.success_rate > report.random.success_rate
    assert report.policy.success_rate > report.document_rule.success_rate


def test_a_replay_logs_no_decisions() -> None:
    """Its decisions are discarded with its store, so writing them would only take time."""
    with fresh_engine(load({"log": {"share": 1.0}}).config, 0) as (engine, _):
        assert engine.config.log.share == 0.0
