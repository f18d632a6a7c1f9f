"""Files of older versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Baseline, Entry, StoredContest, open_store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import LaterTries, Outcome, Tally


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


def test_outcomes_of_a_file_without_tries_are_first_tries(tmp_path: Path) -> None:
    """A file of version 10 keeps its counts, none of them later tries; what is recorded from then on is told apart."""
    path = tmp_path / "old.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:10]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 10")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 0)")
        connection.execute("UPDATE event SET ended_ms = 0")
        connection.execute("UPDATE daily SET day = 0")
        connection.execute("UPDATE tally SET last_used_ms = 0")
    with closing(open_store(path)) as store:
        assert store.tallies.of("t") == {"m": Tally("t", "m", 1, 1, last_used_ms=0)}
        assert store.tallies.later("t") == {}
        assert [event.tried for event in store.events.after(0, 9)] == [(), ()]
        store.outcomes.record(Entry("t", "m", Outcome(success=False), 0, ("a",)))
        assert store.tallies.later("t") == {"m": {("a",): LaterTries(0, 1, 0)}}
        assert store.tallies.of("t") == {"m": Tally("t", "m", 1, 2, last_used_ms=0, later_failures=1)}
        assert all(finding.ok for finding in store.maintenance.check())


def test_a_test_of_an_older_file_continues(tmp_path: Path) -> None:
    """A/B tests of version 12 keep their evidence; their challengers get equal shares, their units count nowhere."""
    path = tmp_path / "old.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:12]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 12")
        connection.execute("INSERT INTO ab_test VALUES (1, 't', 'f', 'a', 0.5, '', 0.05, 100, NULL, 0, 1, NULL)")
        for position, model_id in enumerate("bc"):
            row = (position, model_id, "[1.0]")
            connection.execute("INSERT INTO ab_challenger VALUES (1, ?, ?, ?, NULL, NULL, 3)", row)
        connection.execute("INSERT INTO ab_unit VALUES (1, 7)")
    with closing(open_store(path)) as store:
        (test,) = store.ab_tests.all()
        contests = tuple(StoredContest(each, (1.0,), last_ms=3, share=0.25) for each in "bc")
        assert test.contests == contests
        for unit, counted in ((7, 1.0), (8, 2.0)):
            after = store.ab_tests.advance(
                1, unit, lambda test: [each._replace(state=(2.0,)) for each in test.contests]
            )
            assert after is not None
            assert [each.state for each in after.contests] == [(counted,)] * 2
        assert all(finding.ok for finding in store.maintenance.check())
