"""The decision writer: choices only append to a buffer, and a failing store does not disturb the host."""

from __future__ import annotations

import gc
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.config import LogConfig
from modelperf_plugin.engine import decision_writer
from modelperf_plugin.engine.decision_writer import (
    BATCH_ENTRIES,
    CLEANING_SECONDS,
    MAX_AGE_SECONDS,
    MAX_BACKLOG,
    MAX_WAITING_ENTRIES,
    DecisionWriter,
    is_in_share,
)
from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, LoggedDecision, Store, open_store
from modelperf_plugin.values import Outcome
from tests.store.contract.test_decisions import NOON, NOON_MS, decided

MODELS = ["gpt-4o", "claude-opus"]
GOOD = Outcome(success=True)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    """A decision writer, with its clock, its settings and the errors that it reports."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.log = LogConfig()
        self.errors: list[Exception] = []
        self.writer = DecisionWriter(store.decisions, lambda: self.log, on_error=self.errors.append, clock=self.clock)

    def kept(self) -> list[str]:
        """Return the ids of the decisions in the store, oldest first."""
        return [decision.decision_id for decision in self.store.decisions.newest(limit=100_000)][::-1]

    def fail(self, error: Exception | None, method: str = "write") -> None:
        """Let a method of the log fail with ``error`` from now on, or work again."""

        def failing(*_: Any) -> None:
            assert error is not None
            raise error

        if error is None:
            vars(self.store.decisions).pop(method, None)
        else:
            vars(self.store.decisions)[method] = failing


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a decision writer over a store in memory, with a clock that stands still."""
    store = open_store(":memory:")
    yield Bench(store)
    store.close()


def until(condition: Callable[[], object]) -> bool:
    """Wait until ``condition()`` holds; return False if that takes far too long."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_choice_only_appends(bench: Bench) -> None:
    """Decisions wait in memory, whatever their number; a recording call leaves them to the thread."""
    for _ in range(3 * BATCH_ENTRIES):
        bench.writer.on_decision(decided())
        bench.writer.flush_if_due()
    assert bench.kept() == []


def test_a_host_that_only_chooses_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices that are faster than the thread write some decisions themselves, so none is lost and few wait."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    ids = [f"d{number:04}" for number in range(3 * MAX_BACKLOG)]
    for decision_id in ids:
        bench.writer.on_decision(decided(decision_id))
        assert len(bench.writer._decisions) <= MAX_BACKLOG
    bench.writer.close()
    assert sorted(bench.kept()) == ids


def test_threads_that_only_choose_take_turns(bench: Bench) -> None:
    """A choice waits while another thread writes decisions, and writes others: more threads do not write the same."""
    write, written = bench.store.decisions.write, []
    first_began, second_began = threading.Event(), threading.Event()

    def noted(decisions: Sequence[DecisionRecord], outcomes: Sequence[DecisionOutcome]) -> list[DecisionOutcome]:
        (second_began if first_began.is_set() else first_began).set()
        written.extend([decision.decision_id for decision in decisions])
        second_began.wait(0.2)
        return write(decisions, outcomes)

    for number in range(MAX_BACKLOG):
        bench.writer.on_decision(decided(f"d{number:04}"))
    vars(bench.store.decisions)["write"] = noted
    first = threading.Thread(target=bench.writer.flush)
    first.start()
    assert first_began.wait(20.0)
    bench.writer.on_decision(decided("last"))
    second_began.set()
    first.join()
    bench.writer.close()
    assert len(written) == len(set(written)) == len(bench.kept()) == MAX_BACKLOG + 1


def test_an_outcome_is_written_at_once_with_its_decision(bench: Bench) -> None:
    """When the outcome is acknowledged both are in the store; other decisions go on waiting for theirs."""
    bench.writer.on_decision(decided("d1"))
    bench.writer.on_decision(decided("d2"))
    (joined,) = bench.writer.on_outcome("d2", "best", GOOD, NOON_MS)
    assert joined.decision_id == "d2"
    assert bench.kept() == ["d2"]
    kept = bench.store.decisions.get("d2")
    assert kept is not None
    assert kept.outcome is not None


def test_a_thread_writes_what_waits(bench: Bench) -> None:
    """Without any further call, decisions are written within about a second, some in each transaction."""
    write, sizes, threads = bench.store.decisions.write, [], set()

    def noted(decisions: Sequence[DecisionRecord], outcomes: Sequence[DecisionOutcome]) -> list[DecisionOutcome]:
        sizes.append(len(decisions) + len(outcomes))
        threads.add(threading.current_thread().name)
        return write(decisions, outcomes)

    vars(bench.store.decisions)["write"] = noted
    ids = [f"d{number:02}" for number in range(3 * BATCH_ENTRIES)]
    for decision_id in ids:
        bench.writer.on_decision(decided(decision_id))
    assert until(lambda: len(bench.kept()) == len(ids))
    assert bench.kept() == ids
    assert max(sizes) == BATCH_ENTRIES
    assert threads == {"modelperf-decisions"}
    bench.writer.close()


def test_without_threads_recording_calls_write(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no more threads, decisions are written after outcomes."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    bench.writer.on_decision(decided("d1"))
    bench.writer.flush_if_due()
    assert bench.kept() == []
    bench.clock.seconds += 2 * MAX_AGE_SECONDS
    bench.writer.flush_if_due()
    assert bench.kept() == ["d1"]


def test_closing_writes_the_rest(bench: Bench) -> None:
    """A host that closes loses nothing; closing twice is fine."""
    for number in range(3 * BATCH_ENTRIES):
        bench.writer.on_decision(decided(f"d{number}"))
    bench.writer.close()
    bench.writer.close()
    assert len(bench.kept()) == 3 * BATCH_ENTRIES


def test_an_outcome_that_came_first_is_reported_when_it_is_joined(bench: Bench) -> None:
    """Another process may report the outcome before this one has written the decision."""
    late: list[DecisionOutcome] = []
    writer = DecisionWriter(bench.store.decisions, on_joined=late.extend)
    decision_id = "0123456789abcdef0123"
    writer.on_decision(decided(decision_id))
    assert list(bench.writer.on_outcome(decision_id, "best", GOOD, NOON_MS)) == []
    writer.close()
    assert late == [DecisionOutcome(decision_id, "best", GOOD, NOON_MS)]


def test_an_id_of_the_hosts_own_is_counted_but_not_kept(bench: Bench) -> None:
    """A text that cannot be the id of a decision may be anything: a prompt, even."""
    bench.writer.on_outcome("the answer is 42", "best", GOOD, NOON_MS)
    assert bench.store.decisions.summary(NOON_MS + 60_000).unmatched == 1
    assert bench.store.decisions.write([DecisionRecord.of(decided("the answer is 42"))], []) == []


def test_a_writer_that_was_not_closed_writes_and_is_collected(bench: Bench) -> None:
    """An engine may be forgotten rather than closed: what it had to log is logged, and then it is gone."""
    writer = DecisionWriter(bench.store.decisions)
    writer.on_decision(decided("d1"))
    gone = weakref.ref(writer)
    del writer
    assert until(lambda: bench.kept() == ["d1"])
    assert until(lambda: gc.collect() >= 0 and gone() is None)


def test_only_the_share_is_kept(bench: Bench) -> None:
    """The id decides, evenly and the same in every process; 1 keeps all and 0 none."""
    ids = [f"{number:020x}" for number in range(2000)]
    share = [decision_id for decision_id in ids if is_in_share(decision_id, 0.25)]
    assert 400 < len(share) < 600
    assert set(share) <= {decision_id for decision_id in ids if is_in_share(decision_id, 0.5)}
    assert all(is_in_share(decision_id, 1.0) for decision_id in ids)
    assert not any(is_in_share(decision_id, 0.0) for decision_id in ids)
    for part, kept in ((0.25, share), (0.0, [])):
        bench.log = LogConfig(share=part)
        for decision_id in ids:
            bench.writer.on_decision(decided(decision_id))
            bench.writer.on_outcome(decision_id, "best", GOOD, NOON_MS)
        bench.writer.close()
        assert sorted(bench.kept()) == sorted(kept)
        while bench.store.decisions.forget(2 * NOON_MS):
            pass


def test_entries_wait_while_the_store_fails(bench: Bench) -> None:
    """Nothing is raised, writing backs off, and the entries are written once the store works."""
    bench.fail(StoreError("no room"))
    bench.writer.on_decision(decided("d1"))
    for pause, failures in ((MAX_AGE_SECONDS, 1), (0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3)):
        bench.clock.seconds += pause
        bench.writer._step()
        assert [str(error) for error in bench.errors] == ["no room"] * failures
    bench.fail(None)
    bench.writer.on_decision(decided("d2"))
    bench.clock.seconds += 60
    bench.writer._step()
    assert bench.kept() == ["d1", "d2"]
    assert bench.writer.dropped == 0


def test_waiting_entries_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than ten thousand waiting entries the oldest are dropped and counted."""
    assert MAX_WAITING_ENTRIES == 10_000
    monkeypatch.setattr(decision_writer, "MAX_WAITING_ENTRIES", 5)
    bench.fail(StoreError("no room"))
    for number in range(4):
        bench.writer.on_decision(decided(f"d{number}"))
    bench.writer.close()
    for number in range(4, 8):
        bench.writer.on_decision(decided(f"d{number}"))
    assert bench.writer.dropped == 3
    bench.fail(None)
    bench.writer.close()
    assert bench.kept() == [f"d{number}" for number in range(3, 8)]


def test_entries_that_can_never_be_written_are_dropped(bench: Bench) -> None:
    """An entry that no store takes is dropped and reported; those beside it and after it are written."""
    bench.writer.on_outcome("d0", "best", GOOD, 2**70)
    bench.writer.close()
    assert len(bench.errors) == 1
    assert bench.writer.dropped == 1
    for decision in (decided("good"), decided("bad", "\ud800"), decided("better")):
        bench.writer.on_decision(decision)
    bench.writer.close()
    assert bench.kept() == ["good", "better"]
    assert bench.writer.dropped == 2
    bench.writer.on_decision(decided("d1"))
    bench.writer.close()
    assert bench.kept() == ["good", "better", "d1"]


def test_the_error_handler_may_raise(bench: Bench) -> None:
    """An error handler of the host that raises does not disturb the host."""

    def broken(_: Exception) -> None:
        raise RuntimeError("the host's own bug")

    writer = DecisionWriter(bench.store.decisions, on_error=broken)
    bench.fail(StoreError("no room"))
    writer.on_decision(decided())
    writer.close()


def test_without_an_error_handler_each_error_is_logged_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """By default each kind of failure is one line of the log."""
    writer = DecisionWriter(bench.store.decisions)
    bench.fail(StoreError("no room"))
    writer.on_decision(decided())
    with caplog.at_level(logging.ERROR, "modelperf_plugin"):
        writer.close()
        writer.close()
    assert [record.getMessage() for record in caplog.records] == ["the decision log could not be written: no room"]


def test_old_decisions_are_deleted_once_an_hour(bench: Bench) -> None:
    """By the time of the newest decision, not of the machine; never more often than once an hour."""
    bench.log = LogConfig(keep_days=2)
    bench.writer.on_decision(decided("old", at=NOON - timedelta(days=2, seconds=1)))
    bench.writer.on_decision(decided("young", at=NOON - timedelta(days=2)))
    bench.writer.on_decision(decided("new", at=NOON))
    bench.writer.close()
    assert bench.kept() == ["young", "new"]
    bench.writer.on_decision(decided("newer", at=NOON + timedelta(days=1)))
    bench.writer.close()
    assert bench.kept() == ["young", "new", "newer"]
    bench.clock.seconds += CLEANING_SECONDS
    bench.writer.on_decision(decided("newest", at=NOON + timedelta(days=1)))
    bench.writer.close()
    assert bench.kept() == ["new", "newer", "newest"]


def test_old_decisions_can_stay_while_others_write(bench: Bench) -> None:
    """If the store is busy when they are to be deleted, that is no failure: they are deleted the next time."""
    bench.log = LogConfig(keep_days=2)
    bench.writer.on_decision(decided("old", at=NOON - timedelta(days=3)))
    bench.writer.on_decision(decided("new", at=NOON))
    bench.fail(StoreBusyError("busy"), "forget")
    bench.writer.close()
    bench.fail(None, "forget")
    assert (bench.errors, bench.kept()) == ([], ["old", "new"])
    bench.clock.seconds += CLEANING_SECONDS
    bench.writer.on_decision(decided("newer", at=NOON))
    bench.writer.close()
    assert bench.kept() == ["new", "newer"]


def test_threads_lose_nothing(tmp_path: Path) -> None:
    """Eight threads that choose and record at once: every decision is kept with its outcome."""
    path = tmp_path / "file.db"
    with mp.ModelPerf({}, store=path) as engine:

        def work() -> None:
            for _ in range(100):
                decision = engine.select("plan", MODELS)
                assert decision is not None
                engine.record("plan", decision.model_id, GOOD, decision)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with closing(open_store(path)) as store:
        total = store.decisions.summary(time.time_ns() // 1_000_000).total
    assert (total.decisions, total.with_outcome) == (800, 800)


# Through the engine and the hooks.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store will be."""
    return tmp_path / "decisions.db"


def kept_in(path: Path) -> list[LoggedDecision]:
    """Return the decisions in the file at ``path``."""
    with closing(open_store(path)) as store:
        return store.decisions.newest()


def test_a_choice_and_its_outcome_are_logged(path: Path) -> None:
    """By the decision or by its id; an outcome without a decision is not joined."""
    with mp.ModelPerf({}, store=path, seed=1) as engine:
        made = [engine.select("plan", MODELS) for _ in range(3)]
        first, second, third = [each for each in made if each is not None]
        engine.record("plan", first.model_id, {"success": True, "costUsd": 0.5}, first)
        engine.record("plan", second.model_id, GOOD, second.decision_id)
        engine.record("plan", third.model_id, GOOD)
    kept = {decision.decision_id: decision for decision in kept_in(path)}
    assert set(kept) == {first.decision_id, second.decision_id, third.decision_id}
    joined = [kept[each.decision_id].outcome for each in (first, second, third)]
    assert [None if each is None else each.cost_usd for each in joined] == [0.5, 0.0, None]
    assert kept[first.decision_id].propensity == first.propensity


def test_an_outcome_that_changed_nothing_is_not_joined(path: Path) -> None:
    """A repeated outcome id is not joined to another decision."""
    again = Outcome(success=True, outcome_id="run-1")
    with mp.ModelPerf({}, store=path) as engine:
        for _ in range(2):
            decision = engine.select("plan", MODELS)
            assert decision is not None
            engine.record("plan", decision.model_id, again, decision)
    assert sorted(each.outcome is None for each in kept_in(path)) == [False, True]


def test_the_mode_observe_logs_decisions(path: Path) -> None:
    """The answer is None; the decision is logged with its mode, and never overdue."""
    with mp.ModelPerf({"mode": "observe"}, store=path) as engine:
        assert engine.select("plan", MODELS) is None
    (kept,) = kept_in(path)
    assert (kept.mode, kept.task_type, len(kept.candidates)) == ("observe", "plan", 2)
    assert not kept.is_overdue(kept.made_ms + 10**9)


def test_explaining_and_the_mode_off_log_nothing(path: Path) -> None:
    """Only choices of a host are logged."""
    with mp.ModelPerf({}, store=path) as engine:
        assert engine.explain("plan", MODELS) is not None
    with mp.ModelPerf({"mode": "off"}, store=path) as engine:
        assert engine.select("plan", MODELS) is None
    assert kept_in(path) == []


def test_the_share_changes_no_choice() -> None:
    """With the same seed the same models are chosen, whatever share is logged."""
    chosen = []
    for share in (0.0, 0.3, 1.0):
        with mp.ModelPerf({"log": {"share": share}}, store=":memory:", seed=7) as engine:
            made = [engine.select("plan", MODELS) for _ in range(50)]
            chosen.append([None if each is None else each.model_id for each in made])
    assert chosen[0] == chosen[1] == chosen[2]


def test_the_hosts_own_clock_decides_what_is_old(path: Path) -> None:
    """The decisions of a host whose clock is in another year are not deleted."""
    with mp.ModelPerf({}, store=path, clock=lambda: datetime(2001, 1, 1, tzinfo=UTC)) as engine:
        engine.select("plan", MODELS)
    assert len(kept_in(path)) == 1


def test_a_host_does_not_notice_a_failing_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Choices are answered and outcomes recorded; the failure is logged once, counted, and saved for the doctor."""
    pm = pluggy.PluginManager("anyhost")
    plugin = mp.register(pm, {}, store=path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON decision BEGIN SELECT RAISE(ABORT, 'refused'); END")
        connection.commit()
    with caplog.at_level(logging.ERROR, "modelperf_plugin"):
        for _ in range(3):
            for _ in range(BATCH_ENTRIES):
                decision = pm.hook.select_model(task_type="plan", candidates=MODELS, context=None)
                assert decision is not None
            pm.hook.on_task_complete(task_type="plan", model_id=decision.model_id, outcome=GOOD, decision=decision)
        plugin._guarded.get()._decision_writer._backoff.succeeded()
        plugin._guarded.get()._catching_up._next_at = 0.0
        pm.hook.on_task_complete(task_type="plan", model_id=decision.model_id, outcome=GOOD, decision=decision)
        assert plugin.failure_count() >= 2  # on a slow machine, the thread has tried it as well
        plugin._guarded.failures.save(plugin.engine().store.problems, at_once=True)
        plugin.close()
    assert sum("writing the decision log" in record.getMessage() for record in caplog.records) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (4,)
        ((kind, times),) = connection.execute("SELECT kind, times FROM problem").fetchall()
    assert kind == "writing the decision log"
    assert times >= 2
