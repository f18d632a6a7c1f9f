"""However a process ends, the decisions whose outcome was acknowledged are in the log, with their outcome.

Each script chooses and records in a process of its own, as hosts do, and prints the ids of what was acknowledged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin
import modelperf_plugin as mp
from modelperf_plugin.engine.ab_verdicts import state_of
from modelperf_plugin.store import LoggedDecision, open_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

HOST = """
import multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
import pluggy, modelperf_plugin as mp

def opened(config={}):
    pm = pluggy.PluginManager("anyhost")
    mp.register(pm, config, store="p.db")
    return pm

def task(pm):
    decision = pm.hook.select_model(task_type="t", candidates=["a", "b", "c"], context=None)
    pm.hook.on_task_complete(task_type="t", model_id=decision[0], outcome={"success": True}, decision=decision)
    os.write(1, f"{decision.decision_id}\\n".encode())

def tasks(count, *_):
    global pm
    pm = opened()
    for _ in range(count):
        task(pm)

def choose(pm):
    decision = pm.hook.select_model(task_type="t", candidates=["a", "b", "c"], context=None)
    os.write(1, f"{decision.decision_id} {decision.model_id}\\n".encode())
"""

ENDINGS = {
    "end of the script": "tasks(20)",
    "end of a function that forgets the host": "def main():\n    task(opened())\nmain()",
    "sys.exit": "tasks(20); sys.exit(3)",
    "an exception": "tasks(20); raise RuntimeError",
    "os._exit": "tasks(20); os._exit(0)",
    "SIGTERM": "tasks(20); os.kill(os.getpid(), signal.SIGTERM)",
    "SIGTERM with a handler": """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
tasks(20); os.kill(os.getpid(), signal.SIGTERM)
""",
    "SIGKILL": "tasks(20); os.kill(os.getpid(), signal.SIGKILL)",
    "the main thread ends first": "threading.Thread(target=lambda: (time.sleep(0.1), tasks(20))).start()",
    "a pool": """
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        pool.map(tasks, [1] * 40)
""",
    "a pool of futures": """
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(tasks, [1] * 40))
""",
    "recycled workers": """
pm = opened()
for ending in [sys.exit, os._exit] * 2:
    if (pid := os.fork()) == 0:
        for _ in range(20):
            task(pm)
        ending(0)
    os.waitpid(pid, 0)
""",
}
CHOICES = {
    "end of the script": "pm = opened()\nfor _ in range(40):\n    choose(pm)",
    "end of a function that forgets the host": "def main():\n    choose(opened())\nmain()",
    "sys.exit": "pm = opened(); choose(pm); sys.exit(3)",
    "an exception": "pm = opened(); choose(pm); raise RuntimeError",
    "SIGTERM with a handler": """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pm = opened(); choose(pm); os.kill(os.getpid(), signal.SIGTERM)
""",
    "a child of multiprocessing": """
if __name__ == "__main__":
    pm = opened()
    process = multiprocessing.get_context("fork").Process(target=lambda: choose(pm))
    process.start(); process.join()
""",
}


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    """Start a host that runs ``script``."""
    (folder / "host.py").write_text(HOST + script)
    environment = {**os.environ, "PYTHONPATH": str(Path(modelperf_plugin.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "host.py"], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> set[str]:
    """Return the lines that a host printed until its end."""
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors or "RuntimeError" in errors
    return {line.split()[0] for line in output.splitlines()}


def log_of(folder: Path) -> dict[str, LoggedDecision]:
    """Return the decisions in the store, by their ids."""
    with closing(open_store(folder / "p.db")) as store:
        return {decision.decision_id: decision for decision in store.decisions.newest(limit=10_000)}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_decision_is_kept_if_its_outcome_was_acknowledged(tmp_path: Path, ending: str) -> None:
    """However the process ends, with its outcome."""
    acknowledged = said(start(tmp_path, ENDINGS[ending]))
    log = log_of(tmp_path)
    assert acknowledged
    assert acknowledged == log.keys()
    assert all(decision.outcome is not None for decision in log.values())


@pytest.mark.parametrize("ending", CHOICES)
def test_a_decision_without_an_outcome_is_kept_when_the_process_can_know_that_it_ends(
    tmp_path: Path, ending: str
) -> None:
    """The decisions of the last second are written when a process ends of its own accord."""
    chosen = said(start(tmp_path, CHOICES[ending]))
    assert chosen
    assert chosen == log_of(tmp_path).keys()


AB_TEST = {"exploration": {"strategy": "ab_test", "incumbent": "a", "challenger": ["b"], "share": 0.5}}


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return what a host with an A/B test chose that does nothing after 8 choices, until it is killed."""
    process = start(
        tmp_path,
        f"pm = opened({AB_TEST})\nfor _ in range(8):\n    choose(pm)\ntime.sleep(60)",
    )
    assert process.stdout is not None
    yield dict(process.stdout.readline().split() for _ in range(8))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_an_idle_host_writes_its_decisions(tmp_path: Path, idle: dict[str, str]) -> None:
    """A host without any further call has written them after about a second."""
    deadline = time.monotonic() + 20.0
    while log_of(tmp_path).keys() != idle.keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log_of(tmp_path).keys() == idle.keys()


def counted(folder: Path) -> int:
    """Return how many outcomes the A/B test in the store has counted."""
    with closing(open_store(folder / "p.db")) as store:
        return sum(state_of(contest).outcomes for test in store.ab_tests.all() for contest in test.contests)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5])
def test_another_process_reports_the_outcome_by_id(tmp_path: Path, idle: dict[str, str], seconds: float) -> None:
    """Whether the decision has been written or not: both are joined, and the A/B test counts each once."""
    time.sleep(seconds)
    with mp.ModelPerf({}, store=tmp_path / "p.db") as other:
        for decision_id, model_id in idle.items():
            other.record("t", model_id, mp.Outcome(success=True), decision_id)
    deadline = time.monotonic() + 20.0
    while counted(tmp_path) < len(idle) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counted(tmp_path) == len(idle)
    log = log_of(tmp_path)
    assert log.keys() == idle.keys()
    assert all(decision.outcome is not None for decision in log.values())
