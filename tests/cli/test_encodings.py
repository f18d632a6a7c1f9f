"""Output under any locale, and paths that are not UTF-8."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run
from tests.cli.processes import COMMAND

LOCALES = (
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
NAMES = {"模型", "gpt-4o", "ω"}


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Return a store with names of several scripts, in a folder whose name is not UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    with mp.ModelPerf({}, store=folder / "a.db") as engine:
        for model_id in NAMES:
            for number in range(12):
                engine.record("plän", model_id, mp.Outcome(success=number < 9))
    return folder / "a.db"


def run(*arguments: str, locale: dict[str, str] | None = None) -> bytes:
    """Run a command that must succeed; return its output."""
    environ = {**os.environ, **(locale or {})}
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, env=environ, timeout=120, check=False)
    assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False), ended.stderr
    return ended.stdout


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_what_programs_read_is_utf8_under_any_locale(named: Path, locale: dict[str, str]) -> None:
    """JSON and CSV carry the names as they are, never escapes that a reader would take for a name."""
    store = str(named)
    rows = list(csv.DictReader(io.StringIO(run("stats", "--csv", "--store", store, locale=locale).decode())))
    assert {row["model_id"] for row in rows} == NAMES
    exported = json.loads(run("export", "--store", store, locale=locale))
    assert {entry["model_id"] for entry in exported["entries"]} == NAMES
    table = run("export", "--format", "csv", "--store", store, locale=locale).decode()
    assert {row["model_id"] for row in csv.DictReader(io.StringIO(table))} == NAMES
    assert json.loads(run("stats", "--json", "--store", store, locale=locale))["store"] == store
    run("stats", "--store", store, locale=locale)


@pytest.mark.slow
def test_paths_that_are_not_utf8_work(named: Path) -> None:
    """What a host can use, the command line can: bytes of a path are passed on as they are."""
    folder, store = named.parent, str(named)
    (folder / "modelperf.toml").write_text('store.path = "a.db"\n')
    for command in (
        ("config", "check", str(folder / "modelperf.toml")),
        ("config", "show", "--config", str(folder / "modelperf.toml")),
        ("stats", "--config", str(folder / "modelperf.toml")),
        ("stats", "--store", f"sqlite:///{store}"),
        ("doctor", "--store", store),
        ("report", "-o", str(folder / "report.html"), "--store", store),
        ("plot", "-o", str(folder / "plot.svg"), "--store", store),
        ("backup", str(folder / "copy.db"), "--store", store),
        ("export", "-o", str(folder / "export.json"), "--store", store),
        ("merge", str(folder / "export.json"), "--name", "other", "--store", str(folder / "third.db")),
        ("import", "modelperf", str(folder / "copy.db"), "--store", str(folder / "new.db")),
        ("compact", "--store", store),
    ):
        run(*command)
    assert {path.name for path in folder.iterdir()} >= {"report.html", "plot.svg", "copy.db", "export.json", "new.db"}
    again = run("import", "modelperf", str(folder / "copy.db"), "--store", str(folder / "new.db"), "--json")
    assert (json.loads(again)["before"], json.loads(again)["outcomes"]) == (36, 0)


@pytest.mark.parametrize(
    "command",
    [("explain",), ("why",), ("decisions", "--task"), ("compare",), ("trend",), ("plot",), ("merged", "remove")],
    ids=" ".join,
)
def test_a_name_that_is_not_utf8_is_one_message(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """The shell passes on any bytes, and a store holds UTF-8: a command says so."""
    path = tmp_path / "p.db"
    with mp.ModelPerf(store=path) as engine:
        engine.record("plan", "a", mp.Outcome(success=True))
    result = run(*command, os.fsdecode(b"caf\xe9"), "--store", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(r"error: 'caf\udce9' is not UTF-8")
