"""Commands that only read leave the store unchanged."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from tests.cli.conftest import Run
from tests.store.faults import as_nobody, open_to_all

READING = [
    ["stats"],
    ["rank", "execute-task"],
    ["explain", "execute-task"],
    ["decisions"],
    ["changes"],
    ["demotions"],
    ["advise"],
    ["doctor"],
]


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_reading_commands_leave_no_trace(run: Run, store: str, command: list[str]) -> None:
    """A reading command creates and changes no file."""
    run(*command, "--store", store)
    folder = Path(store).parent
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("outcomes*")}
    run(*command, "--store", store)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("outcomes*")} == before
    assert set(before) == {"outcomes.db", "outcomes.db.lock"}


def test_reading_commands_need_no_right_to_write(run: Run, store: str) -> None:
    """In a read-only folder, reading commands work and writing commands explain why they cannot."""
    with open_to_all() as folder:
        file = folder / "outcomes.db"
        file.write_bytes(Path(store).read_bytes())
        file.chmod(0o444)
        folder.chmod(0o555)

        def work() -> None:
            os.chdir(folder)
            result = run("stats", "--store", str(file))
            assert (result.exit_code, result.stderr) == (0, "")
            assert "38 outcomes" in result.stdout
            refused = run("announce", "gpt-4o", "--store", str(file))
            assert refused.exit_code == 1
            assert "cannot be written to" in refused.stderr

        run("stats", "--store", store)
        run("announce", "gpt-4o", "--store", store)  # load late imports while that is possible
        assert as_nobody(work) == 0
        folder.chmod(0o755)


def test_an_older_file_is_not_migrated_by_reading(run: Run, tmp_path: Path) -> None:
    """Reading does not change a file of an older version; the message names the command that upgrades it."""
    store = str(tmp_path / "older.db")
    with closing(sqlite3.connect(store)) as connection:
        for migration in load_migrations("sqlite")[:6]:
            connection.executescript(migration.script)
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 6")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
        connection.commit()
    before = Path(store).read_bytes()
    result = run("stats", "--store", store)
    assert result.exit_code == 1
    assert "older version of modelperf-plugin: `modelperf compact` brings it up to date" in result.stderr
    assert Path(store).read_bytes() == before
    assert run("compact", "--store", store).exit_code == 0
    assert run("stats", "--store", store).exit_code == 0
