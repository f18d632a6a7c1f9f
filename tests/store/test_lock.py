"""Locks between processes: fair where the file system has them, dispensable where it has not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelperf_plugin.store import open_store
from modelperf_plugin.store.lock import is_byte_locked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

WITHOUT_LOCKS = """
import errno, fcntl, os, sys

def fail(*_):
    raise OSError(getattr(errno, sys.argv[1]), os.strerror(getattr(errno, sys.argv[1])))

fcntl.flock = fcntl.lockf = fail
"""
ERRORS = ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL", "EPERM", "EACCES", "EBADF", "EIO"]


def run(code: str, *arguments: object) -> str:
    """Run a program in a process whose file system has no locks; return what it prints."""
    command = [sys.executable, "-c", WITHOUT_LOCKS + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("error", ERRORS)
def test_a_file_system_without_locks(tmp_path: Path, error: str) -> None:
    """Hosts use the database as ever, and nothing waits beside it."""
    code = """
import modelperf_plugin as mp
with mp.ModelPerf({}, store=sys.argv[2]) as engine:
    engine.record("t", "m", mp.Outcome(success=True))
    engine.record_many([("t", "m", mp.Outcome(success=False))] * 3)
    print(engine.store.degraded, engine.store.tallies.of("t")["m"].samples)
"""
    path = tmp_path / "x.db"
    assert run(code, error, path) == "None 4\n"
    assert run(code, error, path) == "None 8\n"
    assert not list(tmp_path.glob("*.jsonl"))
    store = open_store(path)
    assert store.tallies.of("t")["m"].samples == 8
    assert all(finding.ok for finding in store.maintenance.check())
    store.close()


@pytest.mark.parametrize("error", ERRORS)
def test_outcomes_that_wait_on_a_file_system_without_locks(tmp_path: Path, error: str) -> None:
    """What a process spooled and left is moved into the database by the next one, once, although neither can lock."""
    code = """
import modelperf_plugin as mp
engine = mp.ModelPerf({}, store=sys.argv[2])
engine.record("t", "m", mp.Outcome(success=True))
print(engine.store.degraded is not None, flush=True)
if sys.argv[3] == "dies":
    os._exit(0)
engine.close()
"""
    path = tmp_path / "x.db"
    for end in ("dies", "ends"):
        for each in tmp_path.iterdir():
            if each.suffix != ".jsonl":
                each.unlink()
        path.write_bytes(b"not a database" * 1000)
        assert run(code, error, path, end) == "True\n"
        path.unlink()
        assert len(list(tmp_path.glob("*.jsonl"))) == 1
        assert run(code, error, path, "ends") == "False\n"
        assert not list(tmp_path.glob("*.jsonl"))
        store = open_store(path)
        assert store.tallies.of("t")["m"].samples == 2
        store.close()


def test_a_living_owner_keeps_its_file_without_locks(tmp_path: Path) -> None:
    """A process that still runs loses nothing: others leave its file alone, or take it and it begins another."""
    code = """
import modelperf_plugin as mp
from modelperf_plugin.store.fallback import owner
path = sys.argv[2]
engine = mp.ModelPerf({}, store=path)
engine.record("t", "m", mp.Outcome(success=True))
print("spooled", flush=True)
sys.stdin.readline()
engine.record("t", "m", mp.Outcome(success=True))
print("spooled", flush=True)
engine.close()
"""
    path = tmp_path / "x.db"
    for taken in (False, True):
        path.write_bytes(b"not a database" * 1000)
        command = [sys.executable, "-c", WITHOUT_LOCKS + code, "ENOLCK", str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "spooled\n"
            (waiting,) = tmp_path.glob("*.jsonl")
            if taken:
                os.utime(waiting, (1, 1))
            path.rename(tmp_path / "broken")
            run("import modelperf_plugin as mp\nmp.ModelPerf({}, store=sys.argv[2]).close()", "ENOLCK", path)
            assert waiting.exists() is not taken
            process.communicate("\n", timeout=30)
        run("import modelperf_plugin as mp\nmp.ModelPerf({}, store=sys.argv[2]).close()", "ENOLCK", path)
        assert not list(tmp_path.glob("*.jsonl"))
        store = open_store(path)
        assert store.tallies.of("t")["m"].samples == 2
        store.close()
        for each in tmp_path.glob("x.*"):
            each.unlink()


@pytest.mark.parametrize("error", ERRORS)
def test_a_byte_that_cannot_be_locked(tmp_path: Path, error: str) -> None:
    """An error of the file system does not mean that another process holds the lock."""
    file = tmp_path / "x.db-shm"
    file.write_bytes(bytes(200))
    code = """
from pathlib import Path
from modelperf_plugin.store.lock import is_byte_locked
print(is_byte_locked(Path(sys.argv[2]), 128))
"""
    assert run(code, error, file) == "False\n"
    assert not is_byte_locked(file, 128)
