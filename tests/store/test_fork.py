"""Forked processes go on recording into the same file."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.values import Outcome

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
ENTRY = Entry("t", "m", Outcome(success=True), 1)


def in_child(work: object) -> int:
    """Run ``work`` in a forked process and return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
            os._exit(0)
        except BaseException as error:  # noqa: BLE001
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_parent_and_child_both_count(tmp_path: Path) -> None:
    """What parent and child record after a fork is all there, for both, whoever closes first."""
    store = open_store(tmp_path / "x.db")
    store.outcomes.record(ENTRY)

    def work() -> None:
        for _ in range(5):
            store.outcomes.record(ENTRY)
        assert store.tallies.of("t")["m"].successes >= 6
        store.close()

    assert in_child(work) == 0
    store.outcomes.record(ENTRY)
    assert store.tallies.of("t")["m"].successes == 7
    assert all(finding.ok for finding in store.maintenance.check())
    store.close()


def test_a_child_outlives_the_parents_store(tmp_path: Path) -> None:
    """A child that records after the parent has closed its store loses nothing that it acknowledged."""
    path = tmp_path / "x.db"
    store = open_store(path)
    store.outcomes.record(ENTRY)
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        for _ in range(5):
            store.outcomes.record(ENTRY)
        os._exit(0)
    store.close()
    os.write(go, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(ready)
    os.close(go)
    again = open_store(path)
    assert again.tallies.of("t")["m"].successes == 6
    again.close()


def test_forks_while_threads_record_do_not_hang(tmp_path: Path) -> None:
    """Forking at any moment, with threads in the middle of recording, leaves parent and children working."""
    store = open_store(tmp_path / "x.db")
    stop = threading.Event()
    counts = [0, 0]

    def work(number: int) -> None:
        while not stop.is_set():
            store.outcomes.record(ENTRY)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    codes = [in_child(lambda: store.outcomes.record(ENTRY)) for _ in range(20)]
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert store.tallies.of("t")["m"].successes == sum(counts) + 20
    assert all(finding.ok for finding in store.maintenance.check())
    store.close()


def test_a_store_in_memory_is_copied(tmp_path: Path) -> None:
    """In memory there is nothing to share: the child goes on with a copy of its own."""
    store = open_store(":memory:")
    store.outcomes.record(ENTRY)

    def work() -> None:
        store.outcomes.record(ENTRY)
        assert store.tallies.of("t")["m"].successes == 2

    assert in_child(work) == 0
    assert store.tallies.of("t")["m"].successes == 1
    store.close()
