"""Watching models over time: silent changes, demotion by evidence, reinstatement."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreBusyError, StoreFailedError
from modelperf_plugin.policy.sequential import FallWatch
from modelperf_plugin.store import WatchState

MODELS = ["steady", "other"]
TASKS = ["plan", "build", "fix"]


def feed(
    perf: mp.ModelPerf, rates: dict[str, float], count: int, seed: int = 0, tasks: list[str] | None = None
) -> None:
    """Record ``count`` outcomes of each model at its rate, over all task types in turn."""
    numbers = random.Random(seed)
    for number in range(count):
        task_type = (tasks or TASKS)[number % len(tasks or TASKS)]
        for model_id, rate in rates.items():
            perf.record(task_type, model_id, mp.Outcome(success=numbers.random() < rate))


def process(perf: mp.ModelPerf) -> None:
    """Process all outcomes."""
    while perf._monitor.process_new_outcomes():
        pass


def catch_up(perf: mp.ModelPerf) -> None:
    """Process all outcomes and reload demotions and changes."""
    process(perf)
    perf._monitor._reload()


def belief(perf: mp.ModelPerf, task_type: str, model_id: str) -> float:
    """Return the score of a model."""
    decision = perf.explain(task_type, [*MODELS, model_id])
    assert decision is not None
    score = decision.ranking.of(model_id).score
    assert score is not None
    return score


@pytest.mark.parametrize("seed", range(3))
def test_a_silent_fall_is_detected_and_old_evidence_dropped(tmp_path: Path, seed: int) -> None:
    """A fall from .9 to .3 over three task types is one row of ``changes``, and the score follows soon."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=path) as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 300, seed)
        feed(perf, {"steady": 0.8, "other": 0.3}, 60, seed + 100)
        catch_up(perf)
        (change,) = perf.store.changes.all()
        assert (change.model_id, change.direction) == ("other", "down")
        assert abs(change.since_event_id - 600) < 60
        assert change.likelihood_ratio is not None
        assert change.likelihood_ratio >= 20_000
        assert belief(perf, "plan", "other") < 0.6 < belief(perf, "plan", "steady")
        with mp.ModelPerf({}, store=path) as elsewhere:
            assert belief(elsewhere, "plan", "other") < 0.6
    with mp.ModelPerf({}, store=path) as again:
        assert belief(again, "plan", "other") < 0.6
        assert len(again.store.changes.all()) == 1


def test_a_steady_model_hardly_ever_changes() -> None:
    """False alarms come on average no more than once in 20,000 outcomes: hardly one in 8 × 1,200 at steady rates."""
    noticed = 0
    for seed in range(8):
        with mp.ModelPerf({}, store=":memory:") as perf:
            feed(perf, {"steady": 0.8, "other": 0.6}, 600, seed)
            catch_up(perf)
            noticed += len(perf.store.changes.all())
    assert noticed <= 2


def test_detection_can_be_switched_off() -> None:
    """With ``[drift] detect = false`` no change is detected."""
    with mp.ModelPerf({"drift": {"detect": False}}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 200)
        feed(perf, {"steady": 0.8, "other": 0.1}, 100)
        catch_up(perf)
        assert perf.store.changes.all() == []


def test_outages_are_not_informative_about_a_model() -> None:
    """Any number of outages leads neither to a change nor to a demotion."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 100)
        for _ in range(300):
            perf.record("plan", "other", mp.Outcome(success=False, error_kind="rate_limit"))
            perf.record("plan", "other", mp.Outcome(success=False, error_kind="cancelled"))
        catch_up(perf)
        assert perf.store.changes.all() == []
        assert perf.store.demotions.all() == []


def test_an_announced_change_forgets_what_came_before(tmp_path: Path) -> None:
    """After ``announce`` the old outcomes of the model no longer count; those of other models do."""
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        feed(perf, {"steady": 0.8, "other": 0.1}, 200, tasks=["plan"])
        perf.store.demotions.end("plan", "other", 0, "operator")
        before = belief(perf, "plan", "other")
        newest = perf.store.events.last_id()
        assert perf.store.changes.add("other", "announced", (newest, newest), (0, 0), None, {})
        catch_up(perf)
        assert before < 0.2 < belief(perf, "plan", "other")
        assert perf.store.tallies.of("plan")["other"].samples == 200


def test_a_bad_model_is_demoted_by_evidence(tmp_path: Path) -> None:
    """Worse than the best by the margin: demoted within 60 outcomes, with reason, threshold, e-value and time."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path, seed=1) as perf:
        feed(perf, {"steady": 0.9}, 200, tasks=["plan"])
        feed(perf, {"steady": 0.9, "other": 0.2}, 60, tasks=["plan"])
        catch_up(perf)
        (demotion,) = perf.store.demotions.all(in_force=True)
        assert (demotion.task_type, demotion.model_id) == ("plan", "other")
        assert demotion.e_value >= 20
        assert 0.5 < demotion.threshold < 0.75
        decision = perf.explain("plan", MODELS)
        assert decision is not None
        assert list(decision) == MODELS
        row = decision.ranking.of("other")
        assert (row.status, row.reason) == ("demoted", f"demoted: {demotion.reason}")
        assert decision.propensities == pytest.approx({"steady": 0.98, "other": 0.02})
        pinned = perf.explain("plan", MODELS, {"pin": "other"})
        assert pinned is not None
        assert pinned[0] == "other"
        alone = perf.explain("plan", ["other"])
        assert alone is not None
        assert "every candidate is demoted" in alone.reason
    with mp.ModelPerf({}, store=path) as again:
        decision = again.explain("plan", MODELS)
        assert decision is not None
        assert decision.ranking.of("other").status == "demoted"
        other_task = again.explain("build", MODELS)
        assert other_task is not None
        assert other_task.ranking.of("other").status != "demoted"


def test_probes_have_their_share_and_status() -> None:
    """A demoted model is chosen only as a probe, with the status ``probe`` and the exact propensity."""
    with mp.ModelPerf({"demotion": {"probe_share": 0.2}}, store=":memory:", seed=3) as perf:
        feed(perf, {"steady": 0.9}, 200, tasks=["plan"])
        feed(perf, {"steady": 0.9, "other": 0.1}, 60, tasks=["plan"])
        catch_up(perf)
        made = [perf.select("plan", MODELS) for _ in range(400)]
        probes = [decision for decision in made if decision is not None and decision[0] == "other"]
        assert 40 < len(probes) < 130
        for decision in probes:
            assert decision.ranking.of("other").status == "probe"
            assert decision.propensity == pytest.approx(0.2)
            assert decision.explored
            assert decision.reason.startswith("demoted, but probed")


def test_a_recovered_model_is_reinstated() -> None:
    """New outcomes above the threshold end the demotion; the old ones do not count against the model."""
    config = {"demotion": {"threshold": 0.6}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:") as perf:
        feed(perf, {"other": 0.1}, 100, tasks=["plan"])
        catch_up(perf)
        assert perf.store.demotions.all(in_force=True)
        feed(perf, {"other": 0.95}, 60, seed=5, tasks=["plan"])
        catch_up(perf)
        (demotion,) = perf.store.demotions.all()
        assert demotion.ended_by == "evidence"
        decision = perf.explain("plan", ["other"])
        assert decision is not None
        assert decision.ranking.of("other").status != "demoted"


@pytest.mark.parametrize("seed", range(4))
def test_a_model_above_the_threshold_is_not_demoted(seed: int) -> None:
    """A true rate of .80 against a threshold of .75 leads to no demotion in 1,000 outcomes."""
    with mp.ModelPerf({"demotion": {"threshold": 0.75}}, store=":memory:") as perf:
        feed(perf, {"other": 0.8}, 1000, seed, tasks=["plan"])
        catch_up(perf)
        assert perf.store.demotions.all() == []


def test_a_restart_resumes_where_the_last_process_stopped(tmp_path: Path) -> None:
    """The states of the watches are the same whether or not the process restarted halfway."""

    def run(path: Path, *, restart: bool) -> object:
        perf = mp.ModelPerf({}, store=path)
        feed(perf, {"steady": 0.8, "other": 0.6}, 40, seed=1)
        if restart:
            perf.close()
            perf = mp.ModelPerf({}, store=path)
            assert perf.explain("plan", MODELS) is not None
        feed(perf, {"steady": 0.8, "other": 0.6}, 40, seed=2)
        perf.close()
        with mp.ModelPerf({}, store=path) as again:
            position, kept = again.store.watch_states.load()
            return position, sorted(
                (each.kind, each.task_type, each.model_id, each.state[0]) for each in kept if each.kind == "fall"
            )

    assert run(tmp_path / "a.db", restart=True) == run(tmp_path / "b.db", restart=False)


def test_a_read_only_engine_writes_nothing(tmp_path: Path) -> None:
    """An engine that only explains does not run the watches."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        feed(perf, {"steady": 0.8}, 20)
        perf.store.watch_states.save(1, [])
    with mp.ModelPerf({}, store=path) as reader:
        before = reader.store.watch_states.load()
        reader.explain("plan", MODELS)
    with mp.ModelPerf({}, store=path) as reader:
        assert reader.store.watch_states.load() == before


def test_two_engines_on_one_file_store_a_change_once(tmp_path: Path) -> None:
    """Both process all outcomes; a change that one has stored the other does not store again."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as one, mp.ModelPerf({}, store=path) as two:
        for number in range(300):
            feed(one if number % 2 else two, {"steady": 0.8, "other": 0.9}, 1, seed=number)
        for number in range(60):
            feed(one if number % 2 else two, {"steady": 0.8, "other": 0.2}, 1, seed=1000 + number)
        catch_up(one)
        catch_up(two)
        assert [change.model_id for change in one.store.changes.all()] == ["other"]


CLOCK = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Monotonic:
    """The monotonic clock of the engine, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    """Return the monotonic clock, which stands still until a test moves it."""
    return Monotonic(monkeypatch)


def status(perf: mp.ModelPerf, model_id: str, task_type: str = "plan") -> str:
    """Return the status of one model among all."""
    decision = perf.explain(task_type, MODELS)
    assert decision is not None
    return decision.ranking.of(model_id).status


def fail(perf: mp.ModelPerf, count: int, *, success: bool = False) -> None:
    """Record ``count`` failures (or successes) of the model that these tests watch."""
    for _ in range(count):
        perf.record("plan", "other", mp.Outcome(success=success))


def states(perf: mp.ModelPerf) -> tuple[int | None, list[WatchState]]:
    """Return all states as they would be saved, without what depends on how the pool was fitted."""
    process(perf)
    perf._monitor._save()
    position, kept = perf.store.watch_states.load()
    return position, sorted(each for each in kept if each.kind not in {"change", "pool"})


BAR = {"demotion": {"threshold": 0.6}, "drift": {"detect": False}}


def test_a_change_and_a_demotion_carry_the_time_of_the_outcomes() -> None:
    """``since`` and ``noticed`` are the times at which outcomes ended, by the clock of the host."""
    config = {"demotion": {"threshold": 0.6}}
    with mp.ModelPerf(config, store=":memory:", clock=lambda: CLOCK) as perf:
        feed(perf, {"steady": 0.8, "other": 0.95}, 200)
        feed(perf, {"steady": 0.8, "other": 0.1}, 80, seed=3)
        catch_up(perf)
        (change, *_) = perf.store.changes.all()
        assert change.as_dict()["since"] == change.as_dict()["noticed"] == CLOCK.isoformat()
        assert perf.store.demotions.all()[0].as_dict()["since"] == CLOCK.isoformat()


def test_false_alarms_at_a_steady_rate_are_as_rare_as_promised() -> None:
    """On average no more than one in 20,000 outcomes: in 12 runs of 3,000 at .8 up to 4, where 1.8 are expected.

    Not none: over 60 seeds the runs at .8 have one in 20, whatever seeds are taken.
    """
    noticed = 0
    for seed in range(12):
        with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
            feed(perf, {"steady": 0.8}, 3000, seed)
            catch_up(perf)
            noticed += len(perf.store.changes.all())
    assert noticed <= 4


def test_a_rise_is_detected_too() -> None:
    """From .2 to .9: one change, upwards."""
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8, "other": 0.2}, 300)
        feed(perf, {"steady": 0.8, "other": 0.9}, 60, seed=9)
        catch_up(perf)
        assert [(each.model_id, each.direction) for each in perf.store.changes.all()] == [("other", "up")]
        assert belief(perf, "plan", "other") > 0.5


def test_a_change_is_never_dated_before_the_first_outcome_of_a_model() -> None:
    """A watch begins with the model's first outcome, and a second change is detected as well."""
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8}, 500)
        perf.record("plan", "other", mp.Outcome(success=True))
        process(perf)
        watch = perf._monitor._watches.changes["other"]
        assert (watch.up_since, watch.down_since) == (500, 501)


def test_a_change_right_after_another_is_detected() -> None:
    """A change directly after an alarm is dated after it, so that it is not taken for the same change."""
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
        fail(perf, 300, success=True)
        fail(perf, 40)
        fail(perf, 200, success=True)
        catch_up(perf)
        newest_first = perf.store.changes.all()
        assert [each.direction for each in newest_first[::-1]][:2] == ["down", "up"]
        for later, earlier in pairwise(newest_first):
            assert later.since_event_id >= earlier.noticed_event_id


def test_a_change_right_after_an_announced_one_is_detected() -> None:
    """An announcement does not prevent the detection of a change from the next outcome on."""
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
        feed(perf, {"steady": 0.9, "other": 0.9}, 200)
        newest = perf.store.events.last_id()
        perf.store.changes.add("other", "announced", (newest, newest), (0, 0), None, {})
        catch_up(perf)
        assert perf.store.changes.add("other", "down", (newest, newest + 9), (0, 0), 20_000.0, {})


def test_a_change_that_could_not_be_written_is_stored_at_the_next_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm is not lost if the store fails at that moment, or others are writing; only a failure is reported."""
    errors: list[Exception] = []
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:", on_background_error=errors.append) as perf:
        fail(perf, 200, success=True)
        note = perf.store.changes.add
        refused: list[object] = []

        def refuse_twice(*arguments: object) -> bool:
            if len(refused) < 2:
                refused.append(arguments)
                raise [StoreBusyError("busy"), StoreFailedError("full")][len(refused) - 1]
            return note(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(perf.store.changes, "add", refuse_twice)
        fail(perf, 40)
        catch_up(perf)
        assert [str(error) for error in errors] == ["full"]
        (change,) = perf.store.changes.all()
        assert (change.direction, change.since_event_id) == ("down", 200)


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "network", "unavailable", "cancelled", "caller_error"])
def test_uninformative_outcomes_neither_demote_nor_reinstate(kind: str) -> None:
    """Outages and the caller's errors leave every state as it was."""
    with mp.ModelPerf(BAR, store=":memory:") as perf:
        fail(perf, 5)
        _, before = states(perf)
        for _ in range(100):
            perf.record("plan", "other", mp.Outcome.from_mapping({"success": False, "error_kind": kind}))
        _, after = states(perf)
        assert after == before
        assert perf.store.demotions.all() == []


@pytest.mark.parametrize("seed", range(3))
def test_a_model_at_a_safe_distance_is_not_demoted(seed: int) -> None:
    """A true rate of .80 with a threshold of .75 leads to no demotion in 2,000 outcomes."""
    config = {"demotion": {"threshold": 0.75}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:") as perf:
        feed(perf, {"other": 0.8}, 2000, seed, tasks=["plan"])
        catch_up(perf)
        assert perf.store.demotions.all() == []


def test_a_demotion_has_its_threshold_and_e_value() -> None:
    """By ``threshold`` within 60 outcomes, whatever the other models do, with reason and e-value."""
    with mp.ModelPerf(BAR, store=":memory:") as perf:
        feed(perf, {"other": 0.2}, 60, tasks=["plan"])
        catch_up(perf)
        (demotion,) = perf.store.demotions.all(in_force=True)
        assert demotion.threshold == 0.6
        assert demotion.e_value >= 20
        assert demotion.reason.startswith("success rate below 0.6 after ")
        assert (demotion.ended_ms, demotion.ended_by) == (None, None)


def test_the_demoted_share_the_probes_equally() -> None:
    """Two demoted models have half of ``probe_share`` each, exactly; fallbacks put them last."""
    models = ["good", "bad", "worse"]
    config = {"demotion": {"threshold": 0.6, "probe_share": 0.25}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:", seed=5) as perf:
        feed(perf, {"good": 1.0, "bad": 0.0, "worse": 0.0}, 60, tasks=["plan"])
        catch_up(perf)
        decisions = [perf.select("plan", models) for _ in range(200)]
        probed = set()
        for decision in decisions:
            assert decision is not None
            assert (decision.propensities["bad"], decision.propensities["worse"]) == (0.125, 0.125)
            fallbacks = [decision.ranking.of(model_id).status == "demoted" for model_id in decision[1:]]
            assert fallbacks == sorted(fallbacks)
            if decision.ranking.of(decision[0]).status == "probe":
                assert decision.propensity == 0.125
                probed.add(decision[0])
        assert probed == {"bad", "worse"}


def test_if_all_are_demoted_the_best_is_used() -> None:
    """There is always a decision; its reason calls it a last resort, and no model is probed."""
    with mp.ModelPerf(BAR, store=":memory:") as perf:
        feed(perf, {"steady": 0.3, "other": 0.0}, 100, tasks=["plan"])
        catch_up(perf)
        assert len(perf.store.demotions.all(in_force=True)) == 2
        decision = perf.select("plan", MODELS)
        assert decision is not None
        assert (decision[0], decision.propensity) == ("steady", 1.0)
        assert decision.reason.startswith("every candidate is demoted")


def test_demotions_of_another_engine_count_within_a_second(tmp_path: Path, monotonic: Monotonic) -> None:
    """A demotion and its end reach an engine that only chooses, without a restart."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as one, mp.ModelPerf(BAR, store=path) as two:
        assert status(two, "other") != "demoted"
        fail(one, 40)
        assert one.store.demotions.all(in_force=True)
        monotonic.now += 1.0
        assert status(one, "other") == status(two, "other") == "demoted"
        two.store.demotions.end("plan", "other", 0, "operator")
        assert status(one, "other") == "demoted"
        monotonic.now += 1.0
        assert status(one, "other") != "demoted"


def test_an_engine_that_only_records_reinstates_too(tmp_path: Path, monotonic: Monotonic) -> None:
    """In a process that never chooses, good outcomes end a demotion as well."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as one:
        fail(one, 40)
        assert one.store.demotions.all(in_force=True)
    monotonic.now += 1.0
    with mp.ModelPerf(BAR, store=path) as recorder:
        fail(recorder, 40, success=True)
        process(recorder)
        (demotion,) = recorder.store.demotions.all()
        assert demotion.ended_by == "evidence"


def test_a_reset_starts_over_in_an_engine_that_has_not_seen_the_demotion(tmp_path: Path, monotonic: Monotonic) -> None:
    """Demoted and reset before another engine reloads: its old evidence must not demote again."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as one, mp.ModelPerf(BAR, store=path) as two:
        fail(one, 1)
        while not one.store.demotions.all():
            process(two)  # one outcome behind
            fail(one, 1)
            process(one)
        one.store.demotions.end("plan", "other", 0, "operator")
        fail(two, 2)
        process(two)
        assert two.store.demotions.all(in_force=True) == []
        assert two._monitor._watches.falls.get(("plan", "other"), FallWatch()).outcomes <= 2


def test_a_reset_starts_over_in_an_engine_that_starts_later(tmp_path: Path) -> None:
    """Reset while no process runs, after one died without saving: the replay must not demote again."""
    path = tmp_path / "x.db"
    died = mp.ModelPerf(BAR, store=path)
    died.record("plan", "steady", mp.Outcome(success=True))
    process(died)
    died._monitor._save()
    fail(died, 40)
    process(died)
    assert died.store.demotions.all(in_force=True)
    died.tracker.close()  # without saving the states
    with mp.ModelPerf(BAR, store=path) as operator:
        operator.store.demotions.end("plan", "other", 0, "operator")
    with mp.ModelPerf(BAR, store=path) as again:
        process(again)
        assert again.store.demotions.all(in_force=True) == []
        fail(again, 2)
        process(again)
        assert again._monitor._watches.falls["plan", "other"].outcomes == 2


def test_saved_evidence_from_before_a_reset_is_dropped(tmp_path: Path) -> None:
    """States that were saved before a demotion was ended count neither for nor against the model."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as perf:
        fail(perf, 45)
    with mp.ModelPerf(BAR, store=path) as operator:
        assert operator.store.demotions.end("plan", "other", 0, "operator")
    with mp.ModelPerf(BAR, store=path) as again:
        assert again.store.watch_states.load_pair("plan", "other")[1]
        again._monitor._contained(("plan", "other"))
        assert again._monitor._watches.falls == {}
        assert again._monitor._watches.probations == {}


def test_a_probation_survives_a_restart(tmp_path: Path, monotonic: Monotonic) -> None:
    """The outcomes since a demotion are neither forgotten nor counted twice."""
    whole, halves = tmp_path / "whole.db", tmp_path / "halves.db"
    for path in (whole, halves):
        with mp.ModelPerf(BAR, store=path) as perf:
            fail(perf, 46)
            process(perf)
            fail(perf, 4, success=True)
            if path == whole:
                fail(perf, 2)
                expected = states(perf)
    with mp.ModelPerf(BAR, store=halves) as again:
        again._monitor._contained(("plan", "other"))
        assert again._monitor._watches.probations["plan", "other"].successes >= 3
        fail(again, 2)
        assert states(again) == expected


def test_what_a_process_does_not_touch_stays_as_it_was_saved(tmp_path: Path) -> None:
    """A process that watches other pairs neither loses nor rewrites the state of a demoted one."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as perf:
        fail(perf, 48)
        fail(perf, 4, success=True)
    with mp.ModelPerf(BAR, store=path) as perf:
        before = perf.store.watch_states.load_pair("plan", "other")[1]
        assert [each.kind for each in before] == ["probation"]
        feed(perf, {"steady": 0.9}, 20, tasks=["build"])
    with mp.ModelPerf(BAR, store=path) as perf:
        assert perf.store.watch_states.load_pair("plan", "other")[1] == before


def test_states_are_the_same_with_and_without_a_restart_after_a_change(tmp_path: Path) -> None:
    """A restart keeps the watch over a model that has changed before."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=path) as perf:
        fail(perf, 200, success=True)
        fail(perf, 60)
        catch_up(perf)
        assert perf.store.changes.all()
        before = perf._monitor._watches.changes["other"]
    with mp.ModelPerf({}, store=path) as again:
        assert again._monitor._watches.changes["other"] == before


def test_states_of_another_version_are_ignored(tmp_path: Path) -> None:
    """A state that this version cannot read does not prevent a start: that watch starts over."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(BAR, store=path) as perf:
        fail(perf, 3)
        process(perf)
        odd = [WatchState("fall", "plan", "other", (1.0,)), WatchState("fall", "plan", "x", (1.0, *[0.5] * 5))]
        perf.store.watch_states.save(3, odd)
        perf.tracker.close()
    with mp.ModelPerf(BAR, store=path) as again:
        for model_id in ("other", "x"):
            again._monitor._contained(("plan", model_id))
        assert list(again._monitor._watches.falls) == [("plan", "x")]


def test_a_demoted_model_is_reinstated_once_there_is_no_threshold() -> None:
    """If the best model gets so bad that no rate is below it by the margin, the demoted one is reinstated."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, {"steady": 0.95, "other": 0.3}, 120, tasks=["plan"])
        catch_up(perf)
        assert status(perf, "other") == "demoted"
        for _ in range(120):
            perf.record("plan", "steady", mp.Outcome(success=False))
        feed(perf, {"other": 0.3}, 40, seed=4, tasks=["plan"])
        catch_up(perf)
        assert perf.store.demotions.all()[0].ended_by == "evidence"


def test_models_without_outcomes_set_no_threshold() -> None:
    """Offering a model without outcomes on a task type demotes no other model there."""
    with mp.ModelPerf({"drift": {"detect": False}}, store=":memory:") as perf:
        feed(perf, {"star": 0.99, "other": 0.5}, 200, tasks=["build"])
        for _ in range(60):
            perf.explain("plan", ["star", "other"])
            perf.record("plan", "other", mp.Outcome(success=False))
        catch_up(perf)
        assert [each for each in perf.store.demotions.all() if each.task_type == "plan"] == []
        assert set(perf._monitor._expected._lower) == {"other"}


def test_a_restart_resumes_the_saved_fit(tmp_path: Path) -> None:
    """A new process starts from the saved fit, and has nearly the same beliefs."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        feed(perf, {"steady": 0.8, "other": 0.3, "third": 0.6}, 300)
        before = {model_id: belief(perf, "plan", model_id) for model_id in ("steady", "other", "third")}
        parts = perf._learner.fit_rows()
    with mp.ModelPerf({}, store=path) as perf:
        assert {part[0] for part in perf._learner.fit_rows()} == {part[0] for part in parts}
        after = {model_id: belief(perf, "plan", model_id) for model_id in before}
    assert after == pytest.approx(before, abs=0.02)


def test_on_a_large_table_a_step_from_the_saved_fit_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a pass takes long, the first choice of a new process takes one step, and has nearly the same beliefs."""
    monkeypatch.setattr("modelperf_plugin.engine.learner.FIRST_CELLS", 1)
    monkeypatch.setattr("modelperf_plugin.engine.table_fit.STEP_PAIRS", 3)
    test_a_restart_resumes_the_saved_fit(tmp_path)


@pytest.mark.parametrize(
    "parts",
    [
        [("", "", ())],
        [("", "", (0.0, 1.0, 0.0, 1.0))],
        [("", "", (float("nan"), 1.0, 1.0, 1.0))],
        [("", "", (0.0, 1.0, 1.0, 1.0)), ("", "steady", (1.0,))],
        [("", "", (0.0, 1.0, 1.0, 1.0)), ("", "steady", (-1.0, 1.0))],
        [("plan", "", (1.0,))],
    ],
)
def test_an_invalid_saved_fit_is_ignored(tmp_path: Path, parts: list[tuple[str, str, tuple[float, ...]]]) -> None:
    """A fit saved by another version does not prevent a start; the process learns from scratch."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        feed(perf, {"steady": 0.8, "other": 0.3}, 30)
        newest = perf.store.events.last_id()
    with mp.ModelPerf({}, store=path) as perf:
        perf.record("plan", "steady", mp.Outcome(success=True))
        perf.store.watch_states.save(newest + 1, [WatchState("pool", *part) for part in parts])
    with mp.ModelPerf({}, store=path) as perf:
        assert belief(perf, "plan", "steady") > belief(perf, "plan", "other")
