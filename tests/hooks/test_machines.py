"""Machines without what one takes for granted: a home, a working directory, short paths, a recent SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import modelperf_plugin as mp

HOST = """
import logging, sys, pluggy
import modelperf_plugin as mp
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {}, store=sys.argv[1] if len(sys.argv) > 1 else None)
for _ in range(3):
    decision = pm.hook.select_model(task_type="plan", candidates=["a", "b"], context=None)
    pm.hook.on_task_complete(task_type="plan", model_id="a", outcome={"success": True}, decision=decision)
print(decision is not None, plugin.failure_count())
plugin.close()
"""
COMMAND = "import sys; from modelperf_plugin.cli import main; sys.argv[0] = 'modelperf'; main()"
NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
"""
NO_WORKING_DIRECTORY = """
import os, tempfile
from modelperf_plugin import register  # Python 3.13 cannot import extension modules there
gone = tempfile.mkdtemp()
os.chdir(gone)
os.rmdir(gone)
"""
OLD_SQLITE = """
import sqlite3
sqlite3.sqlite_version_info, sqlite3.sqlite_version = (3, 34, 1), "3.34.1"
"""
NEEDED = "cannot open {}: this Python has SQLite 3.34.1, but 3.37 or later is needed"


def python(code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, env={**environment, **environ}, timeout=60, check=False,
    )  # fmt: skip


def ran(code: str, *arguments: str, **environ: str) -> list[str]:
    """Run a host that must work; return its warnings."""
    ended = python(code, *arguments, **environ)
    assert (ended.returncode, ended.stdout) == (0, "True 0\n"), ended.stderr
    return ended.stderr.splitlines()


def waiting(folder: Path) -> int:
    """Return the number of outcomes that wait in a folder or below."""
    files = folder.rglob("*.waiting-*.jsonl")
    return sum(len([line for line in file.read_text().splitlines() if json.loads(line)]) - 1 for file in files)


def test_no_home_directory_is_needed(tmp_path: Path) -> None:
    """A container's user without a home and without an entry in the password file records as everybody else."""
    assert ran(NO_HOME + HOST) == []
    with mp.ModelPerf({}, store=tmp_path / ".sf" / "model-performance.db") as engine:
        assert engine.store.tallies.of("plan")["a"].successes == 3


def test_a_path_in_a_home_that_is_missing_is_one_line(tmp_path: Path) -> None:
    """A store in ~ without a home: the host goes on, outcomes wait in a file, log and command say what to do."""
    (warning,) = ran(NO_HOME + HOST, "~/a.db", TMPDIR=str(tmp_path))
    assert "cannot open ~/a.db: there is no home directory" in warning
    assert waiting(tmp_path) == 3
    assert not (tmp_path / "~").exists()
    ended = python(NO_HOME + COMMAND, "stats", "--store", "~/a.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: cannot open ~/a.db: there is no home directory")
    ended = python(NO_HOME + COMMAND, "stats", "--config", "~/a.toml")
    assert (ended.returncode, "there is no home directory" in ended.stderr) == (2, True)


@pytest.mark.parametrize("environ", [{"HOME": ""}, {"HOME": "relative"}, {"HOME": "/proc"}, {"XDG_CONFIG_HOME": "x"}])
def test_an_odd_home_is_ignored(environ: dict[str, str]) -> None:
    """An empty, relative or read-only home holds neither configuration nor outcomes."""
    assert ran(HOST, **environ) == []


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    """Absolute paths work; with a relative one the host goes on, outcomes wait, log and commands say what to do."""
    assert ran(NO_WORKING_DIRECTORY + HOST, str(tmp_path / "a.db")) == []
    (warning,) = ran(NO_WORKING_DIRECTORY + HOST, XDG_STATE_HOME=str(tmp_path / "state"))
    assert "model-performance.db: the working directory has been deleted: give an absolute path" in warning
    assert waiting(tmp_path / "state") == 3
    if sys.version_info >= (3, 13):
        return  # where the commands cannot be imported
    for command in (["stats"], ["doctor"], ["demo", "--tasks", "1"]):
        ended = python(NO_WORKING_DIRECTORY + COMMAND, *command, XDG_STATE_HOME=str(tmp_path / "state"))
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
        assert "the working directory has been deleted" in ended.stderr + ended.stdout
    assert python(NO_WORKING_DIRECTORY + COMMAND, "config", "check").returncode == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/".join(["d" * 200] * 3) + "/a.db", "its path has more than 504 bytes"),
        ("/".join(["d" * 200] * 25) + "/a.db", "its path has more than 504 bytes"),
        ("n" * 300 + ".db", "its name has more than 247 bytes"),
    ],
    ids=["for SQLite", "for the system", "name"],
)
def test_a_path_that_is_too_long_is_one_line(tmp_path: Path, path: str, reason: str) -> None:
    """What neither SQLite nor the system can open is told as such; outcomes wait where they can."""
    (warning,) = ran(HOST, path, XDG_STATE_HOME=str(tmp_path / "state"))
    assert reason in warning
    assert waiting(tmp_path) == 3
    for command in ("stats", "doctor"):
        ended = python(COMMAND, command, "--store", path)
        said = ended.stdout + ended.stderr
        assert (ended.returncode, "Traceback" in said, reason in said) == (1, False, True)


def test_an_old_sqlite_loses_nothing(tmp_path: Path) -> None:
    """The host chooses by what it records, which waits in a file, and the log says what is needed."""
    (warning,) = ran(OLD_SQLITE + HOST, "a.db")
    assert NEEDED.format(tmp_path / "a.db") in warning
    assert (waiting(tmp_path), (tmp_path / "a.db").exists()) == (3, False)
    with mp.ModelPerf({}, store="a.db") as engine:
        assert engine.store.tallies.of("plan")["a"].successes == 3


def test_no_command_calls_a_sound_file_damaged_because_of_an_old_sqlite(tmp_path: Path) -> None:
    """Commands say what is needed, and change nothing."""
    with mp.ModelPerf({}, store="a.db") as engine:
        engine.record("plan", "a", {"success": True})
    content = (tmp_path / "a.db").read_bytes()
    doctor = json.loads(python(OLD_SQLITE + COMMAND, "doctor", "--json", "--store", "a.db").stdout)
    (found,) = (finding for finding in doctor["findings"] if finding["name"] == "store")
    assert (found["ok"], NEEDED.format("a.db") in found["message"]) == (False, True)
    for command in (["stats"], ["doctor", "--repair"], ["export"]):
        ended = python(OLD_SQLITE + COMMAND, *command, "--store", "a.db")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("error: " + NEEDED.format("a.db"))
    assert (tmp_path / "a.db").read_bytes() == content
