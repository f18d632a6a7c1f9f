"""Watching models whose outcomes are later tries: on tasks that other models have failed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.policy.sequential import ChangeWatch, FallWatch, Probation
from modelperf_plugin.store import Entry
from modelperf_plugin.values import Tried
from tests.policy.retrying import ability, solves

MODELS = ["first", "second", "third"]
EASY, HARD = 0.95, 0.32
SPREAD = 3.0


def add(perf: mp.ModelPerf, model_id: str, *, success: bool, tried: Tried = ()) -> None:
    """Record an outcome on a task that ``tried`` have failed."""
    now_ms = time.time_ns() // 1_000_000
    perf.store.outcomes.record(Entry("plan", model_id, mp.Outcome(success=success), now_ms, tried))


def feed(perf: mp.ModelPerf, rates: dict[str, float], count: int, seed: int = 0, *, shuffled: bool = False) -> None:
    """Record the tries of ``count`` tasks: each model in turn, or in random order, until one solves the task."""
    rng = random.Random(seed)
    abilities = {model_id: ability(rate, SPREAD) for model_id, rate in rates.items()}
    for _ in range(count):
        difficulty = SPREAD * rng.gauss(0.0, 1.0)
        failed: list[str] = []
        for model_id in rng.sample(list(rates), len(rates)) if shuffled else rates:
            success = solves(abilities[model_id] + difficulty, rng)
            add(perf, model_id, success=success, tried=tuple(sorted(failed)))
            if success:
                break
            failed.append(model_id)
        if perf.store.events.last_id() % 10 == 0:
            process(perf)


def process(perf: mp.ModelPerf) -> None:
    """Learn from all outcomes, and process them."""
    perf._learner.refit_if_due()
    while perf._monitor.process_new_outcomes():
        pass
    perf._monitor._reload()


@pytest.mark.parametrize("seed", range(3))
def test_a_model_is_not_demoted_because_it_comes_second(seed: int) -> None:
    """Three equal models, always tried in the same order: no demotion, no change."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, dict.fromkeys(MODELS, 0.635), 400, seed)
        process(perf)
        assert perf.store.demotions.all() == []
        assert perf.store.changes.all() == []
        states = {model_id: perf._monitor._watches.falls["plan", model_id] for model_id in MODELS}
        assert states["third"].outcomes < states["second"].outcomes < states["first"].outcomes


@pytest.mark.slow
def test_identical_models_keep_their_alpha_in_the_loop_of_a_host() -> None:
    """On tasks that are easy or hard for all alike, with every list walked: a demotion in at most 1 of 20 runs."""
    demoted = 0
    for seed in range(20):
        rng = random.Random(seed)
        with mp.ModelPerf({}, store=":memory:", seed=seed) as perf:
            for _ in range(300):
                rate = rng.choice((EASY, HARD))
                for model_id in (decision := perf.select("plan", MODELS)) or []:
                    success = rng.random() < rate
                    perf.record("plan", model_id, mp.Outcome(success=success), decision)
                    if success:
                        break
            process(perf)
            demoted += bool(perf.store.demotions.all())
    assert demoted <= 1


def test_a_fall_of_a_model_that_comes_second_is_found() -> None:
    """From .7 to .1, seen on failed tasks only: a change to the worse, dated after the fall."""
    with mp.ModelPerf({"demotion": {"strategy": "never"}}, store=":memory:") as perf:
        feed(perf, {"first": 0.6, "second": 0.7}, 300)
        fallen = perf.store.events.last_id()
        feed(perf, {"first": 0.6, "second": 0.1}, 500, seed=1)
        process(perf)
        changes = [(each.model_id, each.direction) for each in perf.store.changes.all()]
        assert changes == [("second", "down")]
        assert perf.store.changes.all()[0].since_event_id > fallen - 100


def test_a_model_below_the_bar_is_demoted_by_later_tries() -> None:
    """A model that is only ever tried second is demoted if it is too bad for that."""
    config = {"demotion": {"threshold": 0.6}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:") as perf:
        feed(perf, {"first": 0.7, "second": 0.1}, 600)
        process(perf)
        assert [each.model_id for each in perf.store.demotions.all()] == ["second"]


def test_fallbacks_reinstate_a_model() -> None:
    """Without probes a demoted model that has recovered returns by its later tries."""
    config = {"demotion": {"threshold": 0.5, "probe_share": 0.0}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=":memory:") as perf:
        for _ in range(40):
            add(perf, "second", success=False)
        process(perf)
        assert [each.ended_by for each in perf.store.demotions.all()] == [None]
        feed(perf, {"first": 0.6, "second": 0.9}, 300)
        process(perf)
        assert [each.ended_by for each in perf.store.demotions.all()] == ["evidence"]


def test_what_a_model_does_after_its_own_failure_says_nothing() -> None:
    """A model that fails a task twice may make the same mistake twice; its watches stay as they were."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, {"first": 0.6, "second": 0.7}, 50)
        process(perf)
        watches = perf._monitor._watches
        before = watches.changes["second"], watches.falls["plan", "second"]
        for _ in range(30):
            add(perf, "second", success=False, tried=("first", "second"))
        process(perf)
        assert (watches.changes["second"], watches.falls["plan", "second"]) == before


def test_a_later_try_after_an_unknown_model_says_nothing() -> None:
    """Of a model without outcomes on the task type it is not known what its failure means."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        feed(perf, {"first": 0.6, "second": 0.7}, 50)
        process(perf)
        before = perf._monitor._watches.falls["plan", "second"]
        add(perf, "second", success=False, tried=("elsewhere",))
        process(perf)
        assert perf._monitor._watches.falls["plan", "second"] == before


def test_a_failure_after_strong_models_counts_for_less() -> None:
    """The same outcome moves all watches less if others have failed the task."""
    moved = []
    for tried in ((), ("first",), ("first", "third")):
        with mp.ModelPerf({"demotion": {"threshold": 0.6}}, store=":memory:") as perf:
            feed(perf, dict.fromkeys(MODELS, 0.7), 60, shuffled=True)
            process(perf)
            watches = perf._monitor._watches
            fall, change = watches.falls["plan", "second"], watches.changes["second"]
            add(perf, "second", success=False, tried=tried)
            process(perf)
            after = watches.falls["plan", "second"], watches.changes["second"]
            moved.append((after[0].e_value / fall.e_value, after[1].down - change.down))
    assert moved == sorted(moved, reverse=True)
    assert moved[0][0] > moved[1][0] > 1.0


def test_another_verdict_on_a_later_try_corrects_a_later_try() -> None:
    """A failure after another one that is a success by now: the watch is as if it had been one from the beginning."""
    watched = []
    for verdicts in ((False, True), (True,)):
        with mp.ModelPerf({"demotion": {"threshold": 0.6}, "drift": {"detect": False}}, store=":memory:") as perf:
            feed(perf, dict.fromkeys(MODELS, 0.7), 60, shuffled=True)
            process(perf)
            for success in verdicts:
                outcome = mp.Outcome(success=success, outcome_id="x")
                perf.store.outcomes.record(Entry("plan", "second", outcome, time.time_ns() // 1_000_000, ("first",)))
                process(perf)
            watched.append(perf._monitor._watches.falls["plan", "second"])
    corrected, expected = watched
    assert corrected.outcomes == expected.outcomes
    assert corrected.masses == pytest.approx(expected.masses, rel=0.1)


def test_states_with_later_tries_survive_a_restart(tmp_path: Path) -> None:
    """The counts of a demoted model are fractions then; the next process continues with them."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({"demotion": {"threshold": 0.6}, "drift": {"detect": False}}, store=path) as perf:
        for _ in range(40):
            add(perf, "second", success=False)
        process(perf)
        for success in (True, False, True):
            add(perf, "first", success=False)
            add(perf, "second", success=success, tried=("first",))
        process(perf)
        probation = perf._monitor._watches.probations["plan", "second"]
        assert probation.successes % 1 > 0
        perf._monitor._save()
    with mp.ModelPerf({"demotion": {"threshold": 0.6}, "drift": {"detect": False}}, store=path) as again:
        add(again, "second", success=True)
        process(again)
        assert again._monitor._watches.probations["plan", "second"] == probation.updated(grade=True)


def test_states_of_earlier_versions_are_read() -> None:
    """What was saved before later tries were told apart has the same form."""
    assert Probation.from_list([3, 4]) == Probation(3, 4)
    assert FallWatch.from_list([7, 0.1, 0.2, 0.3, 0.4, 0.5]) == FallWatch(7, (0.1, 0.2, 0.3, 0.4, 0.5))
    assert ChangeWatch.from_list([0.5, 3, 0.0, 9]) == ChangeWatch(0.5, 3, 0.0, 9)
