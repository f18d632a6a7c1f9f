"""``report``: an HTML page as a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import run_process


def test_a_report_is_written_as_a_whole(run: Run, store: str, tmp_path: Path) -> None:
    """The report replaces an older file; the message tells its size."""
    (tmp_path / "out.html").write_text("old")
    result = run("report", "--store", store, "-o", "out.html", "--days", "7")
    assert result.exit_code == 0
    assert re.match(r"wrote out\.html \(\d+ kB\)", result.stdout)
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert sorted(each.name for each in tmp_path.glob(".out*")) == []


def test_a_report_can_be_piped(store: str) -> None:
    """With - only the report goes to standard output."""
    result = run_process("report", "--store", store, "-o", "-")
    assert result.returncode == 0
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.endswith("</html>")


def test_an_unwritable_file_is_exit_code_2(run: Run, store: str, tmp_path: Path) -> None:
    """The message has the path and the reason."""
    result = run("report", "--store", store, "-o", "no/such/folder/x.html")
    assert result.exit_code == 2
    assert "cannot write no/such/folder/x.html" in result.stderr


@pytest.mark.parametrize("command", ["report", "plot", "dashboard"])
def test_a_missing_database_stays_missing(run: Run, tmp_path: Path, command: str) -> None:
    """A missing database is not created."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()
