"""Forked workers: each goes on by itself, and none waits for a thread that is not there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine import decision_writer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
CANDIDATES = ["gpt-4o", "claude-opus", "gemini-pro"]
LONGEST_SECONDS = 60
"""A child that takes longer hangs."""


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process and return its exit code; -14 if it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(LONGEST_SECONDS)
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent shall know
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("forks", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_no_child_hangs(tmp_path: Path, forks: int) -> None:
    """Children of a process whose threads choose and record choose, record, fail and close, and so does the parent."""
    pm = pluggy.PluginManager("host")
    plugin = mp.register(pm, {}, store=tmp_path / "x.db")
    stop = threading.Event()
    recorded = [0] * 4

    def task(success: bool) -> None:
        decision = pm.hook.select_model(task_type="t", candidates=CANDIDATES, context=None)
        pm.hook.on_task_complete(
            task_type="t", model_id=decision.model_id, outcome=mp.Outcome(success=success), decision=decision
        )

    def work(number: int) -> None:
        while not stop.is_set():
            task(recorded[number] % 3 > 0)
            recorded[number] += 1

    def child() -> None:
        for number in range(10):
            task(number % 2 > 0)
        pm.hook.on_task_complete(task_type="", model_id="m", outcome=mp.Outcome(success=True), decision=None)
        assert plugin.failure_count() == 1
        plugin.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(recorded))]
    for thread in threads:
        thread.start()
    codes = [in_child(child) for _ in range(forks)]
    stop.set()
    for thread in threads:
        thread.join()
    store = plugin.engine().store
    assert codes == [0] * forks
    assert plugin.failure_count() == 0
    assert sum(tally.samples for tally in store.tallies.all()) == sum(recorded) + 10 * forks
    assert all(finding.ok for finding in store.maintenance.check())
    plugin.close()


def test_decisions_are_written_by_the_process_that_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that waits to be written at a fork is written once, by the parent; the child writes its own."""
    monkeypatch.setattr(decision_writer, "MAX_AGE_SECONDS", 60.0)  # the parent's thread waits for longer than the child
    path = tmp_path / "x.db"
    tracked = mp.ModelPerf({}, store=path)
    before = tracked.select("t", CANDIDATES)
    assert before is not None
    seen, tell = os.pipe()

    def child() -> None:
        own = tracked.select("t", CANDIDATES)
        assert own is not None
        tracked.close()
        with mp.ModelPerf({}, store=path) as again:
            kept = {each.decision_id for each in again.store.decisions.newest()}
        assert kept == {own.decision_id}
        os.write(tell, own.decision_id.encode())

    assert in_child(child) == 0
    own_id = os.read(seen, 100).decode()
    tracked.close()
    with mp.ModelPerf({}, store=path) as again:
        assert {each.decision_id for each in again.store.decisions.newest()} == {before.decision_id, own_id}
    os.close(seen)
    os.close(tell)


def test_decisions_of_the_parent_are_not_pending_in_the_child(tmp_path: Path) -> None:
    """Decisions that wait for their outcome are the parent's: nothing is pending in the child."""
    tracked = mp.ModelPerf({}, store=tmp_path / "x.db")
    decision = tracked.select("t", CANDIDATES)
    assert decision is not None

    def child() -> None:
        assert tracked._learner.pending.count("t", decision.model_id) == 0

    assert in_child(child) == 0
    assert tracked._learner.pending.count("t", decision.model_id) == 1
    tracked.close()


def test_a_closed_engine_stays_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A fork after close does not reopen the engine and logs nothing."""
    tracked = mp.ModelPerf({}, store=tmp_path / "x.db")
    tracked.close()
    assert in_child(tracked.close) == 0
    assert not caplog.records
