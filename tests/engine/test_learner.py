"""Learning beside the calls of a host: a bounded number of steps in each, whatever the size of the store."""

from __future__ import annotations

import gc
import random
import shutil
import time
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.config import Config, load
from modelperf_plugin.engine import learner as learning
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.table_fit import STEP_PAIRS, TableFit
from modelperf_plugin.policy.cost import ExpectedCost
from modelperf_plugin.policy.pooling import Pool
from modelperf_plugin.policy.pooling.pool import Cell
from modelperf_plugin.store import Store
from modelperf_plugin.values import NANO_USD, Tally

MODELS = [f"m{number}" for number in range(5)]
TASK_TYPES = 300


@pytest.fixture
def large(large_once: Path, tmp_path: Path) -> Path:
    """Return a store with 1,500 pairs, in which some models are better on all task types."""
    return Path(shutil.copy(large_once, tmp_path))


@pytest.fixture(scope="module")
def large_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the original of that store."""
    path = tmp_path_factory.mktemp("large") / "x.db"
    numbers = random.Random(4)
    with mp.ModelPerformanceTracker(path) as tracker:
        tracker.record_many(
            (f"type-{task:04}", model_id, mp.Outcome(success=numbers.random() < 0.3 + 0.12 * place, cost_usd=place))
            for task in range(TASK_TYPES)
            for place, model_id in enumerate(MODELS)
            for _ in range(4)
        )
    return path


class Visits:
    """Counts the cells that the pool of any engine visits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cells = 0
        visit = Pool.visit

        def counting(pool: Pool, task_type: str, row: Mapping[str, Cell], *, in_pass: bool = False) -> None:
            self.cells += len(row)
            visit(pool, task_type, row, in_pass=in_pass)

        monkeypatch.setattr(Pool, "visit", counting)

    def since(self) -> int:
        """Return how many cells were visited since the last call."""
        cells, self.cells = self.cells, 0
        return cells


def test_no_call_visits_more_than_a_slice(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first choice visits a few pages, any other call a slice, the new rows and its own; in time all rows."""
    visits = Visits(monkeypatch)
    numbers = random.Random(1)
    with mp.ModelPerf({}, store=large, seed=1) as perf:
        perf.select("type-0007", MODELS)
        assert 0 < visits.since() <= learning.FIRST_CELLS + 2 * STEP_PAIRS
        total = 0
        for _ in range(200):
            task_type = f"type-{numbers.randrange(TASK_TYPES):04}"
            decision = perf.select(task_type, MODELS)
            chosen = visits.since()
            assert decision is not None
            perf.record(task_type, decision[0], mp.Outcome(success=numbers.random() < 0.7), decision)
            recorded = visits.since()
            assert chosen <= learning.SLICE_CELLS + STEP_PAIRS + 10 * len(MODELS)
            assert recorded <= learning.SLICE_CELLS + STEP_PAIRS + 40 * len(MODELS)
            total += chosen + recorded
        assert total > 1.5 * TASK_TYPES * len(MODELS)


def test_no_call_reads_the_whole_table(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a choice nor a record nor the end of a host asks for all tallies, baselines, priors or states."""
    with mp.ModelPerf({}, store=large) as perf:

        def refuse(*_: object) -> None:
            raise AssertionError("the whole table was read")

        tallies = perf.store.tallies
        baselines = type(tallies).baselines
        monkeypatch.setattr(type(tallies), "all", refuse)
        monkeypatch.setattr(type(tallies), "baselines", lambda *span: baselines(*span) if span[1:] else refuse())
        monkeypatch.setattr(type(perf.store.watch_states), "load", refuse)
        monkeypatch.setattr(type(perf.store.merged), "priors", refuse)
        for number in range(60):
            decision = perf.select(f"type-{number:04}", MODELS)
            assert decision is not None
            perf.record(f"type-{number:04}", decision[0], mp.Outcome(success=True), decision)
        perf.record_many([(f"new-{number}", "m1", mp.Outcome(success=True)) for number in range(500)])


def test_slices_bring_the_beliefs_of_a_fit_of_everything(large: Path) -> None:
    """After some passes a model without outcomes on a task type is ranked as on all others."""
    with mp.ModelPerf({}, store=large) as perf:
        for _ in range(400):
            perf.explain("type-0001", MODELS)
        decision = perf.explain("a new one", MODELS)
        assert decision is not None
        scores = [decision.ranking.of(model_id).score or 0.0 for model_id in MODELS]
        assert scores == pytest.approx([0.3, 0.42, 0.54, 0.66, 0.78], abs=0.06)


def test_a_fresh_host_answers_from_the_fit_of_the_last_one(large: Path) -> None:
    """The first choice of a new process on a task type without outcomes is as good as that of one that has learned."""
    with mp.ModelPerf({}, store=large) as perf:
        for number in range(400):
            decision = perf.select(f"type-{number % TASK_TYPES:04}", MODELS)
        assert decision is not None
        perf.record("type-0000", "m0", mp.Outcome(success=False), decision)
        before = perf.explain("a new one", MODELS)
    with mp.ModelPerf({}, store=large) as perf:
        after = perf.explain("a new one", MODELS)
    assert before is not None
    assert after is not None
    for model_id in MODELS:
        assert after.ranking.of(model_id).score == pytest.approx(before.ranking.of(model_id).score, abs=0.05)


def test_the_same_calls_give_the_same_choices(large: Path, tmp_path: Path) -> None:
    """Slices are counted in cells and outcomes, so a seeded run can be repeated."""

    def run(path: Path) -> list[str]:
        path.write_bytes(large.read_bytes())
        numbers = random.Random(3)
        chosen = []
        with mp.ModelPerf({}, store=path, seed=5) as perf:
            for _ in range(150):
                task_type = f"type-{numbers.randrange(TASK_TYPES):04}"
                decision = perf.select(task_type, MODELS)
                assert decision is not None
                perf.record(task_type, decision[0], mp.Outcome(success=numbers.random() < 0.6), decision)
                chosen.append(decision[0])
        return chosen

    assert run(tmp_path / "a.db") == run(tmp_path / "b.db")


def test_many_new_outcomes_at_once_cost_a_bounded_share(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an import in the host's own process the next calls process a little each, and its end not all of it."""
    with mp.ModelPerf({}, store=large) as perf:
        perf.record_many([(f"more-{number}", "m1", mp.Outcome(success=True)) for number in range(4000)])
        visits = Visits(monkeypatch)
        perf.record("more-1", "m1", mp.Outcome(success=True))
        assert visits.since() <= learning.SLICE_CELLS + STEP_PAIRS
        started = time.monotonic()
        perf.close()
        assert time.monotonic() - started < 20


def test_task_types_that_are_only_asked_about_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices of new task types leave nothing behind once as many wait for their outcome as ever do."""
    monkeypatch.setattr("modelperf_plugin.engine.pending.MAX_DECISIONS", 100)
    monkeypatch.setattr("modelperf_plugin.engine.tries.MAX_DECISIONS", 100)
    with mp.ModelPerf({"log": {"share": 0}}, store=":memory:") as perf:
        tracemalloc.start()
        try:
            sizes = []
            for number in range(2000):
                if number % 1000 == 500:
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
                perf.select(f"new-{number}", MODELS)
        finally:
            tracemalloc.stop()
        assert sizes[1] - sizes[0] < 60_000


def by_hand(store: Store) -> dict[str, float]:
    """Return the mean cost of a task with each model."""
    sums: dict[str, tuple[float, int]] = {}
    for tally in store.tallies.all():
        cost, outcomes = sums.get(tally.model_id, (0.0, 0))
        sums[tally.model_id] = (cost + tally.total_cost_nano_usd / NANO_USD, outcomes + tally.priced)
    return {model_id: cost / outcomes for model_id, (cost, outcomes) in sums.items() if outcomes}


def test_mean_costs_follow_the_rows() -> None:
    """The cost of a model is the mean over all task types, as configured only without any reported one."""
    config = load({"models": {"a": {"cost_usd": 9.0}, "z": {"cost_usd": 0.5}}}).config
    with mp.ModelPerformanceTracker(":memory:") as tracker:
        learner = Learner(tracker.store.tallies, tracker.store.merged, lambda: config)
        learner.know("t0", {}, ["a"])
        assert learner.model_costs == {"a": ExpectedCost(9.0, "configured"), "z": ExpectedCost(0.5, "configured")}
        for number in range(40):
            task_type = f"t{number % 3}"
            tracker.record_outcome(task_type, "ab"[number % 2], mp.Outcome(success=True, cost_usd=number / 10))
            for each in ("t0", "t1", "t2"):
                learner.know(each, tracker.store.tallies.of(each), ["a"])
            learner.refit_if_due()
        for _ in range(3):
            learner.reset()
            learner.know("t0", tracker.store.tallies.of("t0"), ["a"])
        expected = by_hand(tracker.store)
        assert {model_id: learner.model_costs[model_id].usd for model_id in "ab"} == pytest.approx(expected)
        assert learner.model_costs["z"] == ExpectedCost(0.5, "configured")


def test_a_pass_reads_fewer_pairs_at_once_if_their_history_is_long() -> None:
    """What a step costs is what it reads, rows of the daily roll-up included."""
    today = 20_000
    with mp.ModelPerformanceTracker(":memory:") as tracker:
        tracker.record_many(
            (f"t{task}", "m", mp.Outcome(success=True, timestamp=datetime.fromtimestamp((today - day) * 86_400, UTC)))
            for task in range(30)
            for day in range(200)
        )
        read: list[int] = []
        fit = TableFit(tracker.store.tallies, tracker.store.merged, Config, lambda: today, lambda *_: read.append(1))
        fit.advance(1, 1)
        first = len(read)
        fit.advance(1, 1)
        assert len(read) - first < first / 5


def test_a_choice_after_an_interrupt_begins_from_the_sums_that_were_left() -> None:
    """Whatever a signal has cut off, the next call has usable beliefs, near those before."""
    store: dict[str, Mapping[str, Tally]] = {}
    with mp.ModelPerf({}, store=":memory:") as perf:
        for number in range(60):
            perf.record(f"t{number % 4}", "good", mp.Outcome(success=number % 10 > 0))
            perf.record(f"t{number % 4}", "bad", mp.Outcome(success=number % 10 == 0))
        store["t"] = perf.store.tallies.of("t")
        before = perf.explain("t", ["good", "bad"])
        perf._learner._doubtful = True  # as an interrupt leaves it
        after = perf.explain("t", ["good", "bad"])
    assert before is not None
    assert after is not None
    assert list(after) == ["good", "bad"]
    assert after.ranking.of("good").score == pytest.approx(before.ranking.of("good").score, abs=0.05)
