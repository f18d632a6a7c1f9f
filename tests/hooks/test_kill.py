"""Killing a host in the middle of its work: what a hook has acknowledged is there."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hooks.hosts import count_rows, is_sound

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
@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
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
