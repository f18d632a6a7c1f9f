"""Files of older versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Baseline, open_store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.file import APPLICATION_ID


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_migrated(tmp_path: Path, version: int) -> None:
    """A file of a version that watched nothing keeps its outcomes, and can be watched from then on."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:version]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
    with closing(open_store(path)) as store:
        assert [(event.model_id, event.success) for event in store.events.after(0, 9)] == [("m", True)]
        assert store.watch_states.load() == (None, [])
        assert store.changes.add("m", "announced", (1, 1), (0, 0), None, {})
        assert store.demotions.add("t", "m", 1, 0.7, 20.0, "why")
        assert store.tallies.baselines() == {("t", "m"): Baseline(1, 0, None)}
