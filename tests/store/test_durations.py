"""Durations in a file: found wrong and rebuilt, recovered from damage, taken from the outcomes of older files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.roles import EVERYTHING
from modelperf_plugin.store.sqlite.maintenance import SqliteMaintenance
from modelperf_plugin.store.sqlite.recovery import recover
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import Durations, Outcome
from modelperf_plugin.values.durations import BORDERS_MS
from tests.store.later import execute, unsound

NOW_MS = 1_770_000_000_000
SECONDS = (0.4, 3.0, 3.1, 12.0, 40.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with durations of two pairs."""
    file = tmp_path / "p.db"
    with closing(open_store(str(file))) as store:
        for model_id in ("a", "b"):
            for number, each in enumerate(SECONDS):
                outcome = Outcome(success=number % 2 == 0, duration_seconds=each)
                store.outcomes.record(Entry("t", model_id, outcome, NOW_MS + number))
    return file


def durations_in(file: Path) -> dict[tuple[str, str], Durations]:
    """Return all durations in a file in which nothing is wrong."""
    with closing(open_store(str(file))) as store:
        assert unsound(store) == []
        return store.tallies.durations(EVERYTHING, 0, 0.0)


def test_the_borders_in_a_file_are_ours(path: Path) -> None:
    """SQL and Python agree on all of them."""
    with closing(sqlite3.connect(path)) as connection:
        borders = [border for (border,) in connection.execute("SELECT from_ms FROM duration_border ORDER BY 1")]
    assert tuple(borders) == BORDERS_MS


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM duration WHERE tally_id = 1",
        "UPDATE duration SET outcomes = outcomes + 1 WHERE tally_id = 2",
        "UPDATE duration SET outcomes = -4 WHERE tally_id = 1",
        "UPDATE duration SET from_ms = from_ms + 1 WHERE tally_id = 1 AND from_ms > 10000",
        "UPDATE duration SET period = period - 1",
        "PRAGMA foreign_keys = OFF; INSERT INTO duration VALUES (77, 1, 0, 3)",
    ],
)
@pytest.mark.parametrize("has_dropped", [False, True])
def test_what_is_wrong_is_found_and_rebuilt(path: Path, damage: str, has_dropped: bool) -> None:
    """The events are authoritative; of dropped events, what fits their number is kept."""
    before = durations_in(path)
    if has_dropped:
        with closing(open_store(str(path))) as store:
            store.outcomes.record(Entry("t", "b", Outcome(success=True), NOW_MS + 99))
            store.events.drop(NOW_MS + 2)
    execute(path, *damage.split("; "))
    with closing(open_store(str(path))) as store:
        assert unsound(store) != []
        assert isinstance(store.maintenance, SqliteMaintenance)
        store.maintenance.rebuild()
    after = durations_in(path)
    if not has_dropped:
        assert after == before
    assert {pair: each.weight <= 5 for pair, each in after.items()} == {("t", "a"): True, ("t", "b"): True}


def test_a_damaged_file_keeps_them(path: Path, tmp_path: Path) -> None:
    """All of them are moved into a new file, those of dropped events as well."""
    with closing(open_store(str(path))) as store:
        store.outcomes.record(Entry("t", "b", Outcome(success=True), NOW_MS + 99))
        store.events.drop(NOW_MS + 2)
    before = durations_in(path)
    recover(path, tmp_path / "new.db")
    assert durations_in(tmp_path / "new.db") == before


def test_an_older_file_gets_those_of_its_outcomes(path: Path, tmp_path: Path) -> None:
    """The migration of version 13 counts what hosts had reported."""
    old = tmp_path / "old.db"
    old.touch(0o600)
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:11]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 11")
        for number, model_id in enumerate(("a", "b"), 1):
            connection.execute("INSERT INTO tally (id, task_type, model_id) VALUES (?, 't', ?)", (number, model_id))
            for place, each in enumerate(SECONDS):
                row = (number, NOW_MS + place, place % 2 == 0, round(each * 1000))
                connection.execute(
                    "INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, duration_ms) "
                    "VALUES (?, ?, ?, 0, 0, 0, ?)", row,
                )  # fmt: skip
    assert durations_in(old) == durations_in(path)
