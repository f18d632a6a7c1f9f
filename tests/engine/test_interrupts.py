"""Interrupts by real signals, at random instants of a host's calls: nothing is broken, locked or half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
@pytest.mark.parametrize("count", [300, pytest.param(4_000, marks=pytest.mark.slow)])
def test_an_interrupt_breaks_nothing(count: int) -> None:
    """Afterwards the same thread, other threads and other processes go on, each outcome is whole, and close returns."""
    command = [sys.executable, "-m", "tests.interrupting", str(count), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["interrupts"] >= count
    assert report["examples"] == {}, report


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
@pytest.mark.parametrize("count", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_an_interrupted_fork_shares_no_connection(count: int) -> None:
    """However often a fork is interrupted, no connection is open in it: parent and child both lose nothing."""
    command = [sys.executable, "-m", "tests.forking", str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["problems"] == {}, report
