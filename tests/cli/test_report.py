"""``report``: an HTML page as a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import run_process


def test_a_report_is_written_as_a_whole(run: Run, store: str, tmp_path: Path) -> None:
    """To the file named, over an older one; the message says how large it is."""
    (tmp_path / "out.html").write_text("old")
    result = run("report", "--store", store, "-o", "out.html", "--days", "7")
    assert result.exit_code == 0
    assert re.match(r"wrote out\.html \(\d+ kB\)", result.stdout)
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert sorted(each.name for each in tmp_path.glob(".out*")) == []


def test_a_report_can_be_piped(store: str) -> None:
    """With - it goes to standard output, and nothing else does."""
    result = run_process("report", "--store", store, "-o", "-")
    assert result.returncode == 0
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.endswith("</html>")


def test_what_cannot_be_written_is_said(run: Run, store: str, tmp_path: Path) -> None:
    """With the path and the reason, and exit code 2."""
    result = run("report", "--store", store, "-o", "no/such/folder/x.html")
    assert result.exit_code == 2
    assert "cannot write no/such/folder/x.html" in result.stderr


@pytest.mark.parametrize("command", ["report", "plot", "dashboard"])
def test_a_missing_database_stays_missing(run: Run, tmp_path: Path, command: str) -> None:
    """Looking creates nothing."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()
