"""``init``: a new configuration file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import tomli

from tests.cli.conftest import Run, RunJson


def test_init_writes_a_file_that_is_found_and_changes_nothing(run: Run, run_json: RunJson) -> None:
    """The file of init is the configuration in force from then on, and it is the defaults."""
    defaults = run_json("config", "show")["config"]
    result = run("init")
    assert (result.exit_code, result.stderr) == (0, "")
    assert run_json("config", "show")["config"] == defaults
    assert run_json("config", "check")["files"] == [str(Path("modelperf.toml").absolute())]


def test_init_keeps_an_existing_file(run: Run) -> None:
    """An existing file is replaced only with --force."""
    Path("own.toml").write_text('mode = "off"\n')
    result = run("init", "own.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: own.toml already exists; --force replaces it\n"
    assert Path("own.toml").read_text() == 'mode = "off"\n'
    assert run("init", "own.toml", "--force").exit_code == 0
    assert tomli.loads(Path("own.toml").read_text())["mode"] == "apply"


def test_init_explains_why_it_cannot_write(run: Run) -> None:
    """A missing folder is one clear message."""
    result = run("init", "no/such/folder.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: cannot write no/such/folder.toml: ")


def test_the_file_of_init_has_the_mode_of_the_umask(run: Run) -> None:
    """It holds no names, and hosts of other users may have to read it; a file that is replaced keeps its mode."""
    before = os.umask(0o027)
    try:
        run("init")
        assert stat.S_IMODE(Path("modelperf.toml").stat().st_mode) == 0o640
        Path("modelperf.toml").chmod(0o604)
        run("init", "--force")
        assert stat.S_IMODE(Path("modelperf.toml").stat().st_mode) == 0o604
    finally:
        os.umask(before)
