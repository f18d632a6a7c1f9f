"""Killing a host in the middle of its work: what a hook has acknowledged is there."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from modelperf_plugin.store import open_store, open_with_fallback
from tests.hooks.hosts import count_rows, is_sound
from tests.store.faults import held

THREADS = 8
PROCESSES = 2
RECORDER = """
import os, sys, threading
import pluggy, modelperf_plugin as mp

pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {}, store=sys.argv[1])

def work(thread):
    number = 0
    while True:
        outcome_id = f"round-{sys.argv[2]}-{thread}-{number}"
        outcome = mp.Outcome(success=number % 3 > 0, tokens_used=7, cost_usd=0.001, outcome_id=outcome_id)
        pm.hook.on_task_complete(
            task_type=f"task-{number % 3}", model_id=f"model-{thread % 4}", outcome=outcome, decision=None
        )
        os.write(1, b"failed\\n" if plugin.failure_count() else outcome_id.encode() + b"\\n")
        number += 1

for thread in range(int(sys.argv[3])):
    threading.Thread(target=work, args=(thread,)).start()
"""


def record_and_die(path: Path, number: int) -> set[str]:
    """Let processes record outcomes and kill them at random moments; return the ids that they had acknowledged."""
    names = [f"{number}.{process}" for process in range(PROCESSES)]
    command = [sys.executable, "-W", "error", "-c", RECORDER, str(path)]
    processes = [
        subprocess.Popen([*command, name, str(THREADS)], stdout=subprocess.PIPE, encoding="utf-8") for name in names
    ]
    acknowledged = set()
    for process in processes:
        assert process.stdout is not None
        acknowledged.add(process.stdout.readline().strip())
    for process in processes:
        time.sleep(random.uniform(0, 0.15))
        process.kill()
    for process in processes:
        with process:
            assert process.stdout is not None
            acknowledged |= {line.strip() for line in process.stdout}
        assert process.returncode == -9
    return acknowledged


def written(path: Path) -> set[str]:
    """Return the ids of the outcomes in the file, each with its event."""
    connection = sqlite3.connect(path)
    try:
        query = "SELECT outcome_id FROM outcome_key JOIN event ON event.id = outcome_key.event_id"
        return {outcome_id for (outcome_id,) in connection.execute(query)}
    finally:
        connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.parametrize("rounds", [5, pytest.param(12, marks=pytest.mark.slow)])
def test_what_was_acknowledged_survives_kill_9(rounds: int, tmp_path: Path) -> None:
    """After each kill every acknowledged outcome is in the file, whole, and the file opens again for the next round."""
    path = tmp_path / "performance.db"
    acknowledged: set[str] = set()
    for number in range(1, rounds + 1):
        acknowledged |= record_and_die(path, number)
        assert "failed" not in acknowledged
        there = written(path)
        assert acknowledged - there == set()
        assert len(there - acknowledged) <= PROCESSES * THREADS * number, (
            "each thread had at most one outcome on its way"
        )
        assert count_rows(path, "event") == count_rows(path, "outcome_key") == len(there)
        assert is_sound(path)
    assert len(acknowledged) > rounds


RETRYING = """
import os, sys
import pluggy, modelperf_plugin as mp

pm = pluggy.PluginManager("host")
config = {"store": {"patience_seconds": 0.1}, "log": {"share": 1.0}}
plugin = mp.register(pm, config, store=sys.argv[1], seed=1)
number = 0
while True:
    decision = pm.hook.select_model(task_type="plan", candidates=["a", "b", "c"], context=None)
    for place, model_id in enumerate(decision):
        outcome = mp.Outcome(success=place == 2, outcome_id=f"{number}-{place}")
        pm.hook.on_task_complete(task_type="plan", model_id=model_id, outcome=outcome, decision=decision)
        os.write(1, b"failed\\n" if plugin.failure_count() else f"{number}-{place}\\n".encode())
    number += 1
"""


@pytest.mark.parametrize("is_busy", [False, True])
def test_later_tries_of_a_killed_host(tmp_path: Path, is_busy: bool) -> None:
    """Every try that was acknowledged is there as the try it was, also if it waited in a file for the database."""
    path = tmp_path / "p.db"
    open_store(path).close()
    with ExitStack() as lock:
        command = [sys.executable, "-W", "error", "-c", RETRYING, str(path)]
        process = lock.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8"))
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        if is_busy:
            lock.enter_context(held(path))
            acknowledged += [process.stdout.readline().strip() for _ in range(60)]
            assert list(tmp_path.glob("p.waiting-*.jsonl"))
        process.kill()
        acknowledged += [line.strip() for line in process.stdout]
    open_with_fallback(path).close()
    with closing(open_store(path)) as store:
        assert [finding.message for finding in store.maintenance.check() if not finding.ok] == []
        events = store.events.after(0, 10_000)
    assert "failed" not in acknowledged
    assert len(events) - len(acknowledged) in {0, 1}
    assert [len(event.tried) for event in events] == [number % 3 for number in range(len(events))]
