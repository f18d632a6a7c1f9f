"""Signal handlers that choose and record while the code that they interrupted does: nothing waits for itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HOST = """
import faulthandler, json, random, signal, sys, traceback
import modelperf_plugin as mp

faulthandler.dump_traceback_later(300, exit=True)
engine = mp.ModelPerf({}, store=sys.argv[1], seed=1)
counts = {"handled": 0, "busy": 0, "other": 0}
recorded = []  # appended to: an addition could be interrupted

def task():
    decision = engine.select("t", ["a", "b"])
    if engine.record("t", decision.model_id, mp.Outcome(success=True), decision):
        recorded.append(1)

def handle(*_):
    counts["handled"] += 1
    try:
        task()
    except mp.StoreBusyError:
        counts["busy"] += 1
    except Exception as error:
        counts["other"] += 1
        traceback.print_exception(error)

signal.signal(signal.SIGALRM, handle)
while counts["handled"] < int(sys.argv[2]):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 0.001))  # once: a handler is not interrupted itself
    task()
signal.setitimer(signal.ITIMER_REAL, 0)
stored = sum(tally.samples for tally in engine.store.tallies.of("t").values())
sound = all(finding.ok for finding in engine.store.maintenance.check())
engine.close()
print(json.dumps({**counts, "recorded": len(recorded), "stored": stored, "sound": sound}))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
@pytest.mark.parametrize("count", [300, pytest.param(1_000, marks=pytest.mark.slow)])
def test_a_handler_that_chooses_and_records(tmp_path: Path, count: int) -> None:
    """It is answered, or told that the store is busy; what was acknowledged is there, once."""
    command = [sys.executable, "-c", HOST, str(tmp_path / "x.db"), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["other"] == 0, done.stderr
    assert report["stored"] == report["recorded"], report
    assert report["sound"], report
