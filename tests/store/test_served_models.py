"""Served models in the file: what goes with an event, what waits in a file, what a repair keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from modelperf_plugin.store import Entry, open_store, open_with_fallback
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.salvage import salvage
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import Outcome

SNAPSHOT = "gpt-4o-2024-11-20"


def outcome(number: int, served_model: str | None = SNAPSHOT) -> Entry:
    """Return an outcome with an id."""
    return Entry("plan", "gpt-4o", Outcome(success=True, outcome_id=str(number), served_model=served_model), 1000)


def rows(path: Path) -> list[tuple[int, str]]:
    """Return which events have been served by which model."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT event_id, model_id FROM served LEFT JOIN served_model ON id = served_id ORDER BY event_id"
        return connection.execute(query).fetchall()


def test_only_another_model_takes_a_row(tmp_path: Path) -> None:
    """An outcome without a served model, or served by its own model, writes nothing more; names are stored once."""
    path = tmp_path / "p.db"
    with closing(open_store(path)) as store:
        for number, served in enumerate([None, "gpt-4o", SNAPSHOT, SNAPSHOT]):
            store.outcomes.record(outcome(number, served))
    assert rows(path) == [(3, SNAPSHOT), (4, SNAPSHOT)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM served_model").fetchone() == (1,)


def test_it_is_dropped_with_its_event(tmp_path: Path) -> None:
    """Retention deletes the rows of the events that it deletes, and no others."""
    path = tmp_path / "p.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many([outcome(number)._replace(ended_ms=number * 1000) for number in range(6)])
        store.events.drop(3000)
    assert rows(path) == [(number, SNAPSHOT) for number in (4, 5, 6)]


def test_a_repair_deletes_strays_only(tmp_path: Path) -> None:
    """Rows of events that are not there, or without a name, go; the others stay, and so does the check's result."""
    path = tmp_path / "p.db"
    with closing(open_file(path)) as store:
        store.outcomes.record_many([outcome(number) for number in range(3)])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO served VALUES (99, 1)")
            connection.execute("UPDATE served SET served_id = 77 WHERE event_id = 2")
        store.maintenance.rebuild()
        assert all(finding.ok for finding in store.maintenance.check())
    assert rows(path) == [(1, SNAPSHOT), (3, SNAPSHOT)]


def test_it_waits_with_the_outcome(tmp_path: Path) -> None:
    """An outcome that waits in a file keeps its served model, and so does a verdict that waits there."""
    folder = tmp_path / "folder"
    folder.write_text("")
    path = folder / "p.db"
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record(outcome(1))
        store.outcomes.record(outcome(2, None))
        store.outcomes.record(outcome(2, "other"))
    folder.unlink()
    folder.mkdir()
    with closing(open_with_fallback(path)) as store:
        verdicts = store.outcomes.verdicts_of(["1", "2"])
    assert [verdicts[each].served_model for each in ("1", "2")] == [SNAPSHOT, "other"]


def test_an_older_file_takes_served_models(tmp_path: Path) -> None:
    """A file of version 16 keeps its outcomes, without served models; the next outcomes and verdicts have theirs."""
    path = tmp_path / "p.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:16]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 16")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('plan', 'gpt-4o', 0)")
        connection.execute("INSERT INTO outcome_key (outcome_id, event_id) VALUES ('0', 1)")
    with closing(open_store(path)) as store:
        assert store.outcomes.verdicts_of(["0"])["0"].served_model is None
        store.outcomes.record(outcome(0)._replace(ended_ms=2**42))
        store.outcomes.record(outcome(1, "other"))
        assert all(finding.ok for finding in store.maintenance.check())
    assert rows(path) == [(1, SNAPSHOT), (2, "other")]


def test_a_salvage_keeps_them(tmp_path: Path) -> None:
    """A file whose outcomes are copied row by row keeps their served models, and none becomes the id of an outcome."""
    path = tmp_path / "p.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many([outcome(number, f"m-{number}") for number in range(50)])
    salvage(str(path))
    assert rows(path) == [(number + 1, f"m-{number}") for number in range(50)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM outcome_key").fetchone() == (50,)
