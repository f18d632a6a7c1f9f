"""Whose a spool file is where the file system has no locks: its first line and its age tell."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.store.fallback import owner

NOW_MS = time.time_ns() // 1_000_000


def header(**changes: Any) -> bytes:
    """Return the first line of a file of this process, with ``changes``."""
    return json.dumps({**owner.this_process(), "since_ms": NOW_MS + 60_000, **changes}).encode() + b"\n"


def ended_process() -> int:
    """Return the number of a process that has just ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ask about a file on a file system without locks."""
    monkeypatch.setattr(owner, "try_lock", lambda _: None)
    with io.FileIO(path, "r+") as file:
        return owner.is_left(file)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (header(), False),  # ours, and begun by this process
        (header(since_ms=0), True),  # our number, but of a process before this one
        (header(pid=ended_process()), True),
        (header(pid=os.getppid()), False),
        (header(pid=ended_process(), machine="elsewhere"), False),  # nobody here knows
        (header(pid="1"), False),
        (header(pid=-1), False),
        (header(pid=10**30), False),
        (b"[]\n", False),
        (b"no line of ours", False),
    ],
)  # fmt: skip
def test_the_first_line_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, left: bool) -> None:
    """A file is left if its process has ended; in doubt it is not."""
    path = tmp_path / "waiting.jsonl"
    path.write_bytes(content)
    assert is_left(path, monkeypatch) is left


def test_a_file_that_nobody_adds_to_is_left_after_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its process is on another machine, where it cannot be asked."""
    path = tmp_path / "waiting.jsonl"
    path.write_bytes(header(machine="elsewhere"))
    long_ago = time.time() - owner.ABANDONED_SECONDS - 60
    os.utime(path, (long_ago, long_ago))
    assert is_left(path, monkeypatch)
