"""The SQLite file: what SQL sees, who may open it, and what is told apart."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import (
    InvalidValueError,
    NotATrackerError,
    StoreDamagedError,
    StoreError,
    StoreVersionError,
)
from modelperf_plugin.store import Entry, Store, open_store, open_to_read
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.file import PAGE_BYTES
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import LaterTries, Outcome
from tests.benchmarks.hot_path import DOCUMENT_SCHEMA

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be."""
    return tmp_path / ".sf" / "model-performance.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Return a new store in a file."""
    opened = open_store(path)
    yield opened
    opened.close()


@pytest.fixture
def sql(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection of another program to the same file."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def record(store: Store, model_id: str, *, successes: int = 0, failures: int = 0, ended_ms: int = NOON_MS) -> None:
    """Record so many outcomes of one task type."""
    for number in range(successes + failures):
        outcome = Outcome(success=number < successes, tokens_used=100, cost_usd=0.25)
        store.outcomes.record(Entry("execute-task", model_id, outcome, ended_ms))


def sound(store: Store) -> bool:
    """Return whether tallies and roll-up are the aggregate of the events."""
    return all(finding.ok for finding in store.maintenance.check() if finding.name != "permissions")


# The document's queries, to the letter.

RANKED_MODELS = """
SELECT model_id, successes, failures, total_tokens, total_cost, last_used
FROM model_stats
WHERE task_type = ? AND (successes + failures) >= ?
ORDER BY (CAST(successes AS FLOAT) / (successes + failures)) DESC
"""
COUNT_OUTCOMES = """
SELECT COUNT(*) as count FROM model_outcomes
WHERE task_type = ? AND model_id = ?
"""
DASHBOARD = """
SELECT model_id, ROUND(100.0 * successes / (successes + failures), 1) as success_rate,
total_tokens, total_cost
FROM model_stats WHERE task_type = ?
ORDER BY success_rate DESC;
"""
TREND = """
SELECT DATE(timestamp) as day, model_id,
COUNT(*) as attempts, SUM(success) as wins,
ROUND(100.0 * SUM(success) / COUNT(*), 1) as daily_success_rate
FROM model_outcomes
WHERE task_type = ? AND timestamp > date('now', '-30 days')
GROUP BY day, model_id
ORDER BY day DESC;
"""
AB_DETAIL = """
SELECT model_id, COUNT(*) as trials, SUM(success) as wins,
ROUND(AVG(tokens_used), 0) as avg_tokens,
ROUND(AVG(cost_usd), 4) as avg_cost
FROM model_outcomes
WHERE task_type = ? AND timestamp > ?
GROUP BY model_id;
"""
FEDERATED = """
SELECT * FROM model_stats WHERE successes + failures >= 10 -- High-confidence entries only
ORDER BY success_rate DESC;
"""
MIGRATE_FROM_JSON = """
INSERT INTO model_stats
(task_type, model_id, successes, failures, timeouts, total_tokens, total_cost, last_used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
MODEL_PERFORMANCE_VIEW = """
CREATE VIEW model_performance AS
SELECT
outcome.task_type,
outcome.model_id,
COUNT(CASE WHEN outcome.success = 1 THEN 1 END) as successes,
COUNT(CASE WHEN outcome.success = 0 THEN 1 END) as failures,
SUM(outcome.tokens_used) as total_tokens,
SUM(outcome.cost_usd) as total_cost
FROM llm_task_outcomes outcome
GROUP BY outcome.task_type, outcome.model_id;
"""


def test_document_ranking_query(store: Store, sql: sqlite3.Connection) -> None:
    """The query of getRankedModels runs unchanged and leaves out models with fewer than the samples asked for."""
    record(store, "good", successes=3, failures=1)
    record(store, "bad", successes=1, failures=2)
    record(store, "new", successes=2)
    rows = sql.execute(RANKED_MODELS, ("execute-task", 3)).fetchall()
    last_used = "2026-01-01T12:00:00.000Z"
    assert rows == [("good", 3, 1, 400, 1.0, last_used), ("bad", 1, 2, 300, 0.75, last_used)]


def test_document_count_query(store: Store, sql: sqlite3.Connection) -> None:
    """The query of the document's integration test finds the one outcome that was recorded."""
    record(store, "gpt-4o", successes=1)
    assert sql.execute(COUNT_OUTCOMES, ("execute-task", "gpt-4o")).fetchone() == (1,)


def test_document_dashboard_query(store: Store, sql: sqlite3.Connection) -> None:
    """The dashboard query runs unchanged: rates in per cent, best first."""
    record(store, "half", successes=1, failures=1)
    record(store, "best", successes=2, failures=1)
    rows = sql.execute(DASHBOARD, ("execute-task",)).fetchall()
    assert rows == [("best", 66.7, 300, 0.75), ("half", 50.0, 200, 0.5)]


def test_document_trend_query(store: Store, sql: sqlite3.Connection) -> None:
    """The trend query runs unchanged: today's outcomes are in it, those of two months ago are not."""
    (now_ms,) = sql.execute("SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000").fetchone()
    record(store, "gpt-4o", successes=2, failures=1, ended_ms=now_ms)
    record(store, "gpt-4o", failures=5, ended_ms=now_ms - 60 * 86_400_000)
    (today,) = sql.execute("SELECT date(?, 'unixepoch')", (now_ms // 1000,)).fetchone()
    assert sql.execute(TREND, ("execute-task",)).fetchall() == [(today, "gpt-4o", 3, 2, 66.7)]


def test_document_ab_query(store: Store, sql: sqlite3.Connection) -> None:
    """The A/B query runs unchanged, with a time as ISO text."""
    record(store, "incumbent", successes=1, failures=1)
    record(store, "challenger", successes=1)
    record(store, "old", successes=1, ended_ms=NOON_MS - 86_400_000)
    rows = sql.execute(AB_DETAIL, ("execute-task", "2026-01-01T00:00:00.000Z")).fetchall()
    assert sorted(rows) == [("challenger", 1, 1, 100.0, 0.25), ("incumbent", 2, 1, 100.0, 0.25)]


def test_document_federated_query(store: Store, sql: sqlite3.Connection) -> None:
    """The export query runs unchanged, although it sorts by a column that the document's table lacks."""
    record(store, "few", successes=9)
    record(store, "fair", successes=6, failures=4)
    record(store, "good", successes=9, failures=1)
    assert [row[2] for row in sql.execute(FEDERATED)] == ["good", "fair"]


def test_document_json_migration_statement(store: Store, sql: sqlite3.Connection) -> None:
    """The document's INSERT into model_stats adds sums that count as evidence, and is told apart from events."""
    record(store, "gpt-4o", successes=1)
    sql.execute(MIGRATE_FROM_JSON, ("execute-task", "gpt-4o", 42, 3, 1, 900, 1.5, "2025-06-01T00:00:00Z"))
    tally = store.tallies.of("execute-task")["gpt-4o"]
    assert (tally.successes, tally.failures, tally.timeouts) == (43, 3, 1)
    assert (tally.total_tokens, tally.total_cost_usd) == (1000, 1.75)
    assert tally.last_used_ms == NOON_MS
    assert sql.execute("SELECT count(*) FROM model_outcomes").fetchone() == (1,)
    assert sound(store)


def test_document_view_in_the_other_database(sql: sqlite3.Connection) -> None:
    """The document's view model_performance runs unchanged over a table llm_task_outcomes."""
    sql.execute("ATTACH ':memory:' AS uok")
    sql.execute("CREATE TEMP TABLE llm_task_outcomes (task_type, model_id, success, tokens_used, cost_usd)")
    sql.execute("INSERT INTO llm_task_outcomes VALUES ('a', 'm', 1, 10, 0.5), ('a', 'm', 0, 20, 0.5)")
    sql.execute(MODEL_PERFORMANCE_VIEW.replace("CREATE VIEW", "CREATE TEMP VIEW"))
    assert sql.execute("SELECT * FROM model_performance").fetchall() == [("a", "m", 1, 1, 30, 1.0)]


def test_relations_have_the_documents_columns(store: Store, sql: sqlite3.Connection) -> None:
    """model_outcomes and model_stats have the columns of the contract, in its order."""

    def columns(relation: str) -> list[str]:
        return [row[1] for row in sql.execute(f"PRAGMA table_info({relation})")]

    documented = ["id", "task_type", "model_id"]
    assert columns("model_outcomes") == [
        *documented, "success", "timeout", "tokens_used", "cost_usd", "timestamp",
    ]  # fmt: skip
    assert columns("model_stats")[:9] == [
        *documented, "successes", "failures", "timeouts", "total_tokens", "total_cost", "last_used",
    ]  # fmt: skip


# INSERT by another program.


def test_insert_by_another_program_counts(store: Store, sql: sqlite3.Connection) -> None:
    """An INSERT into model_outcomes counts like a recorded outcome, at the next reading."""
    record(store, "gpt-4o", successes=1)
    assert store.tallies.of("execute-task")["gpt-4o"].samples == 1
    sql.execute(
        "INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp) "
        "VALUES ('execute-task', 'gpt-4o', 0, 1, 50, 0.1, '2026-01-02T00:00:00+01:00')"
    )
    tally = store.tallies.of("execute-task")["gpt-4o"]
    assert (tally.successes, tally.failures, tally.timeouts, tally.total_tokens) == (1, 1, 1, 150)
    assert tally.total_cost_nano_usd == 350_000_000
    assert tally.last_used_ms == NOON_MS + 11 * 3_600_000
    assert sound(store)


def test_insert_fills_in_the_documents_defaults(store: Store, sql: sqlite3.Connection) -> None:
    """Timeout, tokens and cost default to 0 as in the document's table, the time to now."""
    sql.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
    row = sql.execute("SELECT success, timeout, tokens_used, cost_usd, date(timestamp) FROM model_outcomes").fetchone()
    assert row == (1, 0, 0, 0.0, sql.execute("SELECT date('now')").fetchone()[0])
    assert sound(store)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("task_type", ""),
        ("task_type", None),
        ("model_id", "x" * 513),
        ("model_id", 7),
        ("task_type", "a\nb"),
        ("model_id", "a\x00b"),
        ("model_id", "\x1b[31mred"),
        ("model_id", "a\x9bb"),
        ("model_id", "a\u2028b"),
        ("success", None),
        ("success", 2),
        ("timeout", -1),
        ("tokens_used", -1),
        ("tokens_used", 1.5),
        ("tokens_used", 2**53 + 1),
        ("cost_usd", -0.1),
        ("cost_usd", float("inf")),
        ("cost_usd", "free"),
        ("timestamp", "yesterday"),
        ("timestamp", "now"),
        ("timestamp", "2451545"),
        ("timestamp", "2026-02-30x"),
        ("timestamp", 12),
    ],
)
def test_insert_of_a_bad_value_is_refused(store: Store, sql: sqlite3.Connection, column: str, value: object) -> None:
    """A bad value in an INSERT is refused with a message that names relation and column; nothing is written."""
    row: dict[str, object] = {"task_type": "t", "model_id": "m", "success": 1, column: value}
    statement = f"INSERT INTO model_outcomes ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    with pytest.raises(sqlite3.IntegrityError, match=rf"model_outcomes\.{column} must be"):
        sql.execute(statement, tuple(row.values()))
    assert store.tallies.all() == []
    assert sql.execute("SELECT count(*) FROM tally").fetchone() == (0,)


def test_costs_sum_exactly(store: Store, sql: sqlite3.Connection) -> None:
    """Ten cents in ten parts, plus a nano-dollar, is exactly that: money is kept in whole nano-dollars."""
    for cost in [0.01] * 10 + [1e-9]:
        store.outcomes.record(Entry("t", "m", Outcome(success=True, cost_usd=cost), NOON_MS))
    assert store.tallies.of("t")["m"].total_cost_nano_usd == 100_000_001
    assert sql.execute("SELECT total_cost FROM model_stats").fetchone() == (0.100000001,)


def test_days_are_utc_days_also_before_1970(store: Store, sql: sqlite3.Connection) -> None:
    """The roll-up files an outcome under its UTC day, counted from the Unix epoch and floored."""
    for ended_ms in (0, 86_399_999, 86_400_000, -1, -86_400_000, -86_400_001):
        store.outcomes.record(Entry("t", "m", Outcome(success=True), ended_ms))
    days = sql.execute("SELECT day, successes FROM daily ORDER BY day").fetchall()
    assert days == [(-2, 1), (-1, 2), (0, 2), (1, 1)]


# Other processes.


def test_other_processes_count_at_the_next_reading(store: Store, path: Path) -> None:
    """Evidence in memory is dropped as soon as another process has recorded something."""
    record(store, "gpt-4o", successes=1)
    assert store.tallies.of("execute-task")["gpt-4o"].samples == 1
    script = (
        "import sys; from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker as T\n"
        "t = T(sys.argv[1]); t.record_outcome('execute-task', 'gpt-4o', {'success': False}); t.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert store.tallies.of("execute-task")["gpt-4o"].samples == 2
    record(store, "gpt-4o", successes=1)
    assert store.tallies.of("execute-task")["gpt-4o"].samples == 3


def test_later_tries_of_other_processes_count_at_the_next_reading(store: Store, path: Path) -> None:
    """Sets in memory are dropped with the tallies, and both processes use one number for one set."""
    first = Entry("t", "b", Outcome(success=True), NOON_MS, ("a", "a"))
    store.outcomes.record(first)
    assert store.tallies.later("t") == {"b": {("a", "a"): LaterTries(1, 0, 0)}}
    script = (
        "import sys; from modelperf_plugin.store import Entry, open_store\n"
        "from modelperf_plugin.values import Outcome\n"
        "store = open_store(sys.argv[1])\n"
        "for tried in [('a', 'a'), ('a', 'c'), ('a', 'c')]:\n"
        "    store.outcomes.record(Entry('t', 'b', Outcome(success=False, timeout=True), 0, tried))\n"
        "store.outcomes.record_many([Entry('t', 'b', Outcome(success=False), 0, ('a', 'a'))])\n"
        "store.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    for number in range(2):
        sets = {("a", "a"): LaterTries(1 + number, 2, 1), ("a", "c"): LaterTries(0, 2, 2)}
        assert store.tallies.later("t") == {"b": sets}
        store.outcomes.record(first)
    with closing(open_to_read(str(path))) as reader:
        assert reader.tallies.later("t")["b"]["a", "a"] == LaterTries(3, 2, 1)


def test_first_open_race(path: Path) -> None:
    """Eight processes that open a new file at the same moment all succeed, and every outcome is there."""
    script = (
        "import sys; from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker as T\n"
        "sys.stdin.read(1)\n"
        "t = T(sys.argv[1]); t.record_outcome('t', 'm', {'success': True}); t.close()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"g")
        process.stdin.flush()
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 8
    opened = open_store(path)
    assert opened.tallies.of("t")["m"].successes == 8
    opened.close()


# Opening.


def test_a_new_file_belongs_to_its_owner_alone(store: Store, path: Path) -> None:
    """Database, log and shared memory are created readable and writable by the owner only."""
    record(store, "m", successes=1)
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_a_file_from_a_newer_version_is_left_alone(store: Store, path: Path) -> None:
    """A newer schema is refused with both versions in the message, and not a byte of the file changes."""
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreVersionError, match=r"newer version.*999.*Upgrade"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_file_of_the_first_version_is_migrated(path: Path) -> None:
    """A file without a record of decisions opens with all its outcomes, and keeps decisions from then on."""
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(load_migrations("sqlite")[0].script)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
    connection.close()
    store = open_store(path)
    assert store.tallies.of("t")["m"].successes == 1
    assert store.decisions.newest() == []
    record(store, "m", successes=1)
    assert sound(store)
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] >= 2
    assert connection.execute("SELECT count(*) FROM decision").fetchone() == (0,)
    connection.close()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """An SQLite file with somebody else's tables is refused, and not a byte of it changes."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE contacts (name)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NotATrackerError, match="another program"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """A file that is not SQLite is refused by that reason, and not a byte of it changes."""
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk, and the bread, and then some more to fill a header\n" * 20)
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError, match="not an SQLite database"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    """A directory is refused with a StoreError that names it."""
    with pytest.raises(StoreError, match=str(tmp_path)):
        open_store(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    """A folder in which nothing may be created is a StoreError that says so."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="ermission"):
        open_store(tmp_path / "new" / "file.db")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("mysql://localhost/x", "this version knows no other"),
        ("sqlite://host/x", "sqlite:///path"),
        ("", "a path, a URL or ':memory:'"),
    ],
)
def test_unknown_locations_are_named(location: str, message: str) -> None:
    """A URL that this version has no store for is an error that says what there is."""
    with pytest.raises(InvalidValueError, match=message):
        open_store(location)


def test_a_sqlite_url_is_a_path(tmp_path: Path) -> None:
    """``sqlite:////absolute/path`` opens that file, percent signs decoded."""
    opened = open_store(f"sqlite:///{tmp_path}/a%20b.db")
    opened.close()
    assert (tmp_path / "a b.db").exists()


# Adopting a file of the document's own tracker.


def test_a_file_with_the_documents_tables_is_adopted(path: Path) -> None:
    """Events and sums of a file with the document's own tables count on, exactly; its tables are kept."""
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(DOCUMENT_SCHEMA)
    insert = (
        "INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp) "
        "VALUES ('t', ?, ?, 0, 10, 0.1, '2026-01-01T12:00:00.000Z')"
    )
    connection.executemany(insert, [("m", 1), ("m", 1), ("m", 0)])
    stats = (
        "INSERT INTO model_stats (task_type, model_id, successes, failures, timeouts, total_tokens, total_cost, "
        "last_used) VALUES ('t', ?, ?, ?, 0, ?, ?, '2026-01-01T12:00:00.000Z')"
    )
    # the first is its events and nothing more, the second came from the older JSON file
    connection.executemany(stats, [("m", 2, 1, 30, 0.1 + 0.1 + 0.1), ("json", 42, 3, 500, 1.25)])
    connection.close()
    store = open_store(path)
    evidence = store.tallies.of("t")
    assert (evidence["m"].successes, evidence["m"].failures) == (2, 1)
    assert evidence["m"].total_cost_nano_usd == 300_000_000
    assert (evidence["json"].successes, evidence["json"].failures) == (42, 3)
    assert sound(store)
    store.close()
    reopened = open_store(path)
    assert reopened.tallies.of("t") == evidence
    reopened.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM document_model_outcomes").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM model_outcomes").fetchone() == (3,)
    connection.close()


@pytest.mark.parametrize("bad", ["CAST(x'6d6f64e86c65' AS TEXT)", "x'00ff'", "7", "''", "NULL", "'a' || char(10)"])
def test_a_row_that_cannot_be_adopted_costs_that_row(path: Path, bad: str) -> None:
    """Blobs, numbers, other bytes and control characters in the document's tables stay there; the rest is adopted."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TABLE model_outcomes (id INTEGER PRIMARY KEY, task_type, model_id, success, timeout, tokens_used, "
            "cost_usd, timestamp)"
        )
        connection.execute(
            "CREATE TABLE model_stats (id INTEGER PRIMARY KEY, task_type, model_id, successes, failures, timeouts, "
            "total_tokens, total_cost, last_used)"
        )
        for name in ("'m'", bad, "'m'"):
            connection.execute(f"INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', {name}, 1)")
        connection.execute(f"INSERT INTO model_stats (task_type, model_id, successes) VALUES ('t', {bad}, 1)")
        connection.execute("INSERT INTO model_stats (task_type, model_id, successes) VALUES ('t', 'm', 5)")
    with closing(open_store(path)) as store:
        assert {model_id: tally.successes for model_id, tally in store.tallies.of("t").items()} == {"m": 5}
        if not bad.startswith("CAST"):
            (adopted,) = [finding for finding in store.maintenance.check() if finding.name == "adopted file"]
            assert adopted.message.startswith("2 rows of the migration guide's tables could not be read as outcomes")
            assert {finding.name for finding in store.maintenance.check() if not finding.ok} == {"permissions"}


# Health.


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE tally SET successes = successes + 1", "tallies"),
        ("DELETE FROM event", "tallies"),
        ("DELETE FROM daily", "daily roll-up"),
    ],
)
def test_check_finds_drift(store: Store, sql: sqlite3.Connection, damage: str, finding: str) -> None:
    """A tally or roll-up that is not the aggregate of the events is found and named with its pair."""
    record(store, "gpt-4o", successes=2, failures=1)
    sql.execute(damage)
    found = {each.name: each for each in store.maintenance.check() if not each.ok}
    assert finding in found
    assert "execute-task / gpt-4o" in found[finding].message


def test_check_finds_open_permissions(store: Store, path: Path) -> None:
    """A file that others may read is a finding that says how to close it."""
    path.chmod(0o644)
    (found,) = [each for each in store.maintenance.check() if not each.ok]
    assert found.name == "permissions"
    assert "chmod 600" in found.message


def test_new_files_have_small_pages_and_can_shrink(store: Store, path: Path) -> None:
    """The log holds whole pages, so small ones cost a record less; what is deleted can be given back to the disk."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (PAGE_BYTES,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
