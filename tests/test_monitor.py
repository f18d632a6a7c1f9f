"""Watching models over time: silent changes, demotion by evidence, reinstatement."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import modelperf_plugin as mp

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


def catch_up(perf: mp.ModelPerf) -> None:
    """Look at all that was recorded, and heed what was noted."""
    perf._monitor.look()
    perf._monitor._reload()


def belief(perf: mp.ModelPerf, task_type: str, model_id: str) -> float:
    """Return the score of a model."""
    decision = perf.explain(task_type, [*MODELS, model_id])
    assert decision is not None
    score = decision.ranking.of(model_id).score
    assert score is not None
    return score


@pytest.mark.parametrize("seed", range(3))
def test_a_silent_fall_is_noticed_and_old_evidence_forgotten(tmp_path: Path, seed: int) -> None:
    """A model that falls from .9 to .3 over three task types is one row of ``changes``, and is believed bad soon."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=path) as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 300, seed)
        feed(perf, {"steady": 0.8, "other": 0.3}, 60, seed + 100)
        catch_up(perf)
        (change,) = perf.store.monitoring.changes()
        assert (change.model_id, change.direction) == ("other", "down")
        assert abs(change.since_event_id - 600) < 60
        assert change.evidence is not None
        assert change.evidence >= 20_000
        assert belief(perf, "plan", "other") < 0.6 < belief(perf, "plan", "steady")
        with mp.ModelPerf({}, store=path) as elsewhere:
            assert belief(elsewhere, "plan", "other") < 0.6
    with mp.ModelPerf({}, store=path) as again:
        assert belief(again, "plan", "other") < 0.6
        assert len(again.store.monitoring.changes()) == 1


def test_a_steady_model_hardly_ever_changes() -> None:
    """A false alarm comes once in 20,000 outcomes at the most, on average: hardly one in 8 × 1,200 at steady rates."""
    noticed = 0
    for seed in range(8):
        with mp.ModelPerf({}, store=":memory:") as perf:
            feed(perf, {"steady": 0.8, "other": 0.6}, 600, seed)
            catch_up(perf)
            noticed += len(perf.store.monitoring.changes())
    assert noticed <= 2


def test_detection_can_be_switched_off() -> None:
    """With ``[drift] detect = false`` nothing is looked for."""
    with mp.ModelPerf({"drift": {"detect": False}}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 200)
        feed(perf, {"steady": 0.8, "other": 0.1}, 100)
        catch_up(perf)
        assert perf.store.monitoring.changes() == []


def test_outages_say_nothing_about_a_model() -> None:
    """However many outages there are, neither a change nor a demotion comes of them."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, {"steady": 0.8, "other": 0.9}, 100)
        for _ in range(300):
            perf.record("plan", "other", mp.Outcome(success=False, error_kind="rate_limit"))
            perf.record("plan", "other", mp.Outcome(success=False, error_kind="cancelled"))
        catch_up(perf)
        assert perf.store.monitoring.changes() == []
        assert perf.store.monitoring.demotions() == []


def test_an_announced_change_forgets_what_came_before(tmp_path: Path) -> None:
    """After ``announce`` the old outcomes are kept but count no more; what others show still does."""
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        feed(perf, {"steady": 0.8, "other": 0.1}, 200, tasks=["plan"])
        perf.store.monitoring.end_demotion("plan", "other", 0, "operator")
        before = belief(perf, "plan", "other")
        newest = perf.store.monitoring.last_event_id()
        assert perf.store.monitoring.add_change("other", "announced", (newest, newest + 1), (0, 0), None, {})
        catch_up(perf)
        assert before < 0.2 < belief(perf, "plan", "other")
        assert perf.store.evidence("plan")["other"].samples == 200


def test_a_bad_model_is_demoted_by_evidence(tmp_path: Path) -> None:
    """Surely worse than the best by the margin: demoted within 60 outcomes, with reason, bar, evidence and time."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path, seed=1) as perf:
        feed(perf, {"steady": 0.9}, 200, tasks=["plan"])
        feed(perf, {"steady": 0.9, "other": 0.2}, 60, tasks=["plan"])
        catch_up(perf)
        (demotion,) = perf.store.monitoring.demotions(in_force=True)
        assert (demotion.task_type, demotion.model_id) == ("plan", "other")
        assert demotion.evidence >= 20
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


def test_probes_have_their_share_and_say_so() -> None:
    """A demoted model is chosen on its share alone; then its status is ``probe`` and its propensity exact."""
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
            assert decision.reason.startswith("tried again")


def test_a_model_that_is_good_again_is_reinstated() -> None:
    """Fresh outcomes above the bar end the demotion, by evidence; the old ones do not count against it."""
    config = {"demotion": {"threshold": 0.6}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:") as perf:
        feed(perf, {"other": 0.1}, 100, tasks=["plan"])
        catch_up(perf)
        assert perf.store.monitoring.demotions(in_force=True)
        feed(perf, {"other": 0.95}, 60, seed=5, tasks=["plan"])
        catch_up(perf)
        (demotion,) = perf.store.monitoring.demotions()
        assert demotion.ended_by == "evidence"
        decision = perf.explain("plan", ["other"])
        assert decision is not None
        assert decision.ranking.of("other").status != "demoted"


@pytest.mark.parametrize("seed", range(4))
def test_a_model_above_the_bar_is_not_demoted(seed: int) -> None:
    """A true rate of .80 against a threshold of .75 leads to no demotion in 1,000 outcomes."""
    with mp.ModelPerf({"demotion": {"threshold": 0.75}}, store=":memory:") as perf:
        feed(perf, {"other": 0.8}, 1000, seed, tasks=["plan"])
        catch_up(perf)
        assert perf.store.monitoring.demotions() == []


def test_a_restart_goes_on_where_the_last_process_stopped(tmp_path: Path) -> None:
    """The states of the watches are the same whether or not the process restarted halfway."""

    def states(path: Path, *, restart: bool) -> object:
        perf = mp.ModelPerf({}, store=path)
        feed(perf, {"steady": 0.8, "other": 0.6}, 40, seed=1)
        if restart:
            perf.close()
            perf = mp.ModelPerf({}, store=path)
            assert perf.explain("plan", MODELS) is not None
        feed(perf, {"steady": 0.8, "other": 0.6}, 40, seed=2)
        perf.close()
        with mp.ModelPerf({}, store=path) as again:
            position, kept = again.store.monitoring.watches()
            return position, sorted(
                (each.kind, each.task_type, each.model_id, each.state[0]) for each in kept if each.kind == "fall"
            )

    assert states(tmp_path / "a.db", restart=True) == states(tmp_path / "b.db", restart=False)


def test_who_only_reads_writes_nothing(tmp_path: Path) -> None:
    """Explaining and closing leaves the watching to those who record."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        feed(perf, {"steady": 0.8}, 20)
        perf.store.monitoring.save_watches(1, [])
    with mp.ModelPerf({}, store=path) as reader:
        before = reader.store.monitoring.watches()
        reader.explain("plan", MODELS)
    with mp.ModelPerf({}, store=path) as reader:
        assert reader.store.monitoring.watches() == before


def test_two_engines_on_one_file_note_a_change_once(tmp_path: Path) -> None:
    """Both watch all outcomes; what one has noted the other does not note again."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as one, mp.ModelPerf({}, store=path) as two:
        for number in range(300):
            feed(one if number % 2 else two, {"steady": 0.8, "other": 0.9}, 1, seed=number)
        for number in range(60):
            feed(one if number % 2 else two, {"steady": 0.8, "other": 0.2}, 1, seed=1000 + number)
        catch_up(one)
        catch_up(two)
        assert [change.model_id for change in one.store.monitoring.changes()] == ["other"]
