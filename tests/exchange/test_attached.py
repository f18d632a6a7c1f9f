"""Attached databases: read beside the choices, which never wait for them and are never broken by their faults."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached import table as attached_module
from modelperf_plugin.exchange.attached.databases import AttachedDatabases, check_attached
from modelperf_plugin.exchange.attached.table import AttachedTable
from modelperf_plugin.exchange.attached.view import create_view
from modelperf_plugin.store import Attached, Entry, open_store
from modelperf_plugin.store.attached import with_attached
from modelperf_plugin.values import LaterTries, Outcome

GUIDE = """
CREATE TABLE llm_task_outcomes (
    task_type TEXT, model_id TEXT, success INTEGER, tokens_used INTEGER, cost_usd REAL
)"""
VARIANT = """
CREATE TABLE llm_task_outcomes (
    {id} model_id TEXT NOT NULL, provider TEXT NOT NULL, unit_type TEXT NOT NULL, unit_id TEXT NOT NULL,
    succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1)), retries INTEGER NOT NULL DEFAULT 0,
    escalated INTEGER NOT NULL DEFAULT 0, verification_passed INTEGER, blocker_discovered INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER, tokens_total INTEGER, cost_usd REAL, recorded_at INTEGER NOT NULL {unique}
)"""
SHAPES = {
    "guide": GUIDE,
    "with id": VARIANT.format(id="id INTEGER PRIMARY KEY AUTOINCREMENT,", unique=""),
    "without id": VARIANT.format(id="", unique=", UNIQUE (unit_type, unit_id, recorded_at)"),
}
TABLE = "llm_task_outcomes"
NEW_YEAR_MS = 1_767_225_600_000


class Other:
    """Another program with a database of its own."""

    def __init__(self, path: Path, shape: str = "with id", *, journal: str = "WAL") -> None:
        self.path = path
        self.shape = shape
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute(f"PRAGMA journal_mode = {journal}")
        self.connection.execute(SHAPES[shape])
        self.recorded = 0

    def record(self, model_id: str, success: int, task_type: str = "plan") -> None:
        """Record one outcome of 100 tokens and a tenth of a dollar."""
        self.recorded += 1
        row = [model_id, task_type, success]
        if self.shape == "guide":
            sql = (
                f"INSERT INTO {TABLE} (model_id, task_type, success, tokens_used, cost_usd) VALUES (?, ?, ?, 100, 0.1)"
            )
        else:
            sql = (
                f"INSERT INTO {TABLE} (model_id, unit_type, succeeded, provider, unit_id, tokens_total, cost_usd, "
                "recorded_at) VALUES (?, ?, ?, 'p', ?, 100, 0.1, ?)"
            )
            row += [f"unit-{self.recorded}", NEW_YEAR_MS + self.recorded]
        self.connection.execute(sql, row)

    def attached(self) -> Attached:
        """Return the attachment of its table."""
        return Attached(str(self.path), TABLE, {}, 0)

    def close(self) -> None:
        """Close the database."""
        self.connection.close()


@pytest.fixture
def make_other(tmp_path: Path) -> Iterator[Callable[..., Other]]:
    """Return a function that creates another program's database; all are closed after the test."""
    made: list[Other] = []

    def make(shape: str = "with id", *, name: str = "other.db", journal: str = "WAL") -> Other:
        made.append(Other(tmp_path / name, shape, journal=journal))
        return made[-1]

    yield make
    for other in made:
        other.close()


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Attached], AttachedTable]]:
    """Return a function that attaches a table and waits until it is read; all are closed after the test.

    Small tables count as quick, however busy the machine.
    """
    monkeypatch.setattr(attached_module, "CHOICE_SECONDS", 60.0)
    made: list[AttachedTable] = []

    def attach(attached: Attached) -> AttachedTable:
        made.append(AttachedTable(attached))
        made[-1].wait(60)
        return made[-1]

    yield attach
    for table in made:
        table.close()


def samples(table: AttachedTable) -> int:
    """Return the number of outcomes of a table."""
    return sum(tally.samples for models in table.tallies().values() for tally in models.values())


def samples_after_retry(table: AttachedTable) -> int:
    """Return the number of outcomes after another attempt to read."""
    table.wait(60)
    return samples(table)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_every_shape_is_recognised(
    shape: str, journal: str, make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """All shapes give the same tallies, and new outcomes count immediately."""
    other = make_other(shape, journal=journal)
    table = tables(other.attached())
    assert table.tallies() == {}
    other.record("x", 1)
    other.record("x", 0)
    other.record("y", 1, "build")
    found = table.tallies()
    tally = found["plan"]["x"]
    assert (tally.successes, tally.failures, tally.total_tokens, tally.priced) == (1, 1, 200, 2)
    assert tally.total_cost_usd == pytest.approx(0.2)
    assert tally.last_used_ms == (None if shape == "guide" else NEW_YEAR_MS + 2)
    assert found["build"]["y"].successes == 1
    assert table.tallies() is found  # nothing has changed


def test_an_upsert_counts_at_once(
    make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """An outcome that the other program overwrites is counted once, with its new values."""
    other = make_other("without id")
    table = tables(other.attached())
    for succeeded in (0, 1):
        other.connection.execute(
            f"INSERT INTO {TABLE} (model_id, provider, unit_type, unit_id, succeeded, recorded_at) "
            "VALUES ('x', 'p', 'plan', 'u', ?, 7) ON CONFLICT DO UPDATE SET succeeded = excluded.succeeded",
            (succeeded,),
        )
        tally = table.tallies()["plan"]["x"]
        assert (tally.successes, tally.failures) == (succeeded, 1 - succeeded)


def test_other_columns_are_read_by_a_mapping(tmp_path: Path, tables: Callable[[Attached], AttachedTable]) -> None:
    """A table or view of any name and columns can be mapped; unusable values are skipped."""
    connection = sqlite3.connect(tmp_path / "o.db", isolation_level=None)
    connection.executescript(
        'CREATE TABLE "run log" ("the kind" TEXT, llm TEXT, ok, spent, "when" TEXT);'
        'CREATE VIEW runs AS SELECT * FROM "run log";'
    )
    rows = [
        ("plan", "x", "true", "0.5", "2026-01-31T12:00:00Z"),
        ("plan", "x", "FALSE", None, "2026-01-31 12:00:01"),
        ("plan", "x", None, 1, None),
        ("plan", "", 1, 1, None),
        (None, "x", 1, 1, None),
        ("plan", "x", 1, -5, "soon"),
        ("plan", "x", 1.0, float("inf"), None),
    ]
    connection.executemany('INSERT INTO "run log" VALUES (?, ?, ?, ?, ?)', rows)
    columns = {"task_type": "the kind", "model_id": "llm", "success": "ok", "cost_usd": "spent", "timestamp": "when"}
    for name in ("run log", "runs"):
        table = tables(Attached(str(tmp_path / "o.db"), name, columns, 0))
        assert table.problem is None
        assert set(table.tallies()["plan"]) == {"x"}
        tally = table.tallies()["plan"]["x"]
        assert (tally.successes, tally.failures, tally.last_used_ms) == (3, 1, 1_769_860_801_000)
    connection.close()
    missing = tables(Attached(str(tmp_path / "o.db"), "runs", {**columns, "success": "passed"}, 0))
    assert missing.tallies() == {}
    assert missing.problem is not None
    assert "the mapping names passed (for success)" in missing.problem


def test_an_unreadable_database_keeps_its_counts(
    make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable], caplog: pytest.LogCaptureFixture
) -> None:
    """If the file is missing, damaged or has another schema, no error is raised and the last counts stay."""
    other = make_other(journal="DELETE")
    table = tables(other.attached())
    other.record("x", 1)
    assert samples(table) == 1
    other.close()
    moved = other.path.rename(other.path.with_name("moved.db"))
    assert samples_after_retry(table) == 1
    assert "does not exist" in str(table.problem)
    other.path.write_bytes(b"nonsense" * 1000)
    assert samples_after_retry(table) == 1
    assert "is not an SQLite database" in str(table.problem)
    other.path.unlink()
    with sqlite3.connect(other.path) as connection:
        connection.execute(f"CREATE TABLE {TABLE} (a, b)")
    connection.close()
    assert samples_after_retry(table) == 1
    assert "unknown shape" in str(table.problem)
    other.path.unlink()
    other.path.mkdir()
    assert samples_after_retry(table) == 1
    other.path.rmdir()
    moved.rename(other.path)
    assert samples_after_retry(table) == 1
    assert table.problem is None
    assert len(caplog.messages) == len(set(caplog.messages))  # each is logged once


def test_a_changed_schema_is_recognised(
    make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """An attached table may be renamed, recreated in another shape, and extended by columns."""
    other = make_other("guide")
    table = tables(other.attached())
    other.record("x", 1)
    assert samples(table) == 1
    other.connection.execute(f"ALTER TABLE {TABLE} RENAME TO away")
    assert samples_after_retry(table) == 1
    assert "has no table" in str(table.problem)
    other.shape = "without id"
    other.connection.execute(SHAPES["without id"])
    other.record("x", 1)
    other.record("y", 0)
    assert samples_after_retry(table) == 2
    assert table.problem is None
    other.connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN more TEXT")
    other.record("x", 1)
    assert samples_after_retry(table) == 3


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_locked_database_does_not_delay_a_choice(
    journal: str, make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """While another process holds an exclusive lock, the last counts stay; afterwards all outcomes count."""
    other = make_other(journal=journal)
    table = tables(other.attached())
    other.record("x", 1)
    assert samples(table) == 1
    table._use(None)
    other.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.connection.execute("BEGIN EXCLUSIVE")
    other.record("x", 1)
    assert samples_after_retry(table) == 1
    other.connection.execute("COMMIT")
    other.connection.execute("PRAGMA locking_mode = NORMAL")
    other.record("x", 1)
    assert samples_after_retry(table) == 3


def test_an_attached_database_is_not_modified(make_other: Callable[..., Other], tmp_path: Path) -> None:
    """Attaching, choosing and recording do not change a byte of it, and create no view."""
    other = make_other(journal="DELETE")
    other.record("x", 1)
    other.close()
    before = other.path.read_bytes()
    config = {"federation": [{"path": str(other.path)}]}
    with mp.ModelPerf(config, store=tmp_path / "own.db") as engine:
        engine.attached.wait()
        engine.select("plan", ["x", "y"])
        engine.record("plan", "x", Outcome(success=True))
        assert engine.store.tallies.of("plan")["x"].samples == 2
    assert other.path.read_bytes() == before


def test_the_view_is_created_on_command(make_other: Callable[..., Other]) -> None:
    """The migration guide's view works for all shapes; a second one, or one without a table, is refused."""
    other = make_other("without id")
    for success in (1, 1, 0):
        other.record("x", success)
    create_view(other.path, TABLE, {})
    rows = other.connection.execute("SELECT * FROM model_performance").fetchall()
    assert rows == [("plan", "x", 2, 1, 300, pytest.approx(0.3))]
    with pytest.raises(StoreError, match="already exists"):
        create_view(other.path, TABLE, {})
    with pytest.raises(StoreError, match="has no table nothing"):
        create_view(other.path, "nothing", {})
    with pytest.raises(StoreError, match="does not exist"):
        create_view(other.path.with_name("none.db"), TABLE, {})
    assert not other.path.with_name("none.db").exists()


def test_attached_tallies_are_added_to_the_own(make_other: Callable[..., Other], tmp_path: Path) -> None:
    """Tallies are added per pair; the mapping is the same object as long as nothing changes."""
    other = make_other()
    other.record("x", 1)
    other.record("z", 0)
    own = open_store(tmp_path / "own.db")
    databases = AttachedDatabases(own.attachments)
    store = with_attached(own, databases)
    store.outcomes.record(Entry("plan", "x", Outcome(success=False), NEW_YEAR_MS))
    assert store.tallies.of("plan")["x"].samples == 1
    own.attachments.add(other.attached())
    databases._reload_at = 0.0
    databases.wait()
    found = store.tallies.of("plan")
    assert {model_id: (tally.successes, tally.failures) for model_id, tally in found.items()} == {
        "x": (1, 1),
        "z": (0, 1),
    }
    assert store.tallies.of("plan") is found
    assert [(tally.model_id, tally.samples) for tally in store.tallies.all()] == [("x", 2), ("z", 1)]
    assert own.tallies.of("plan")["x"].samples == 1
    other.record("x", 1)
    databases.wait()
    assert store.tallies.of("plan")["x"].samples == 3
    assert own.attachments.remove(str(other.path))
    databases._reload_at = 0.0
    assert store.tallies.of("plan")["x"].samples == 1
    databases.close()
    store.close()


def test_later_tries_are_the_stores_own(make_other: Callable[..., Other], tmp_path: Path) -> None:
    """What is attached adds to the tallies; which tries were later ones only the store itself knows."""
    other = make_other()
    other.record("x", 1)
    with closing(open_store(tmp_path / "own.db")) as own, closing(AttachedDatabases(own.attachments)) as databases:
        own.attachments.add(other.attached())
        store = with_attached(own, databases)
        databases.wait()
        store.outcomes.record(Entry("plan", "x", Outcome(success=False), NEW_YEAR_MS, ("z",)))
        assert store.tallies.later("plan") == {"x": {("z",): LaterTries(0, 1, 0)}}
        assert store.tallies.later("plan") is own.tallies.later("plan")
        tally = store.tallies.of("plan")["x"]
        assert (tally.samples, tally.later_successes, tally.later_failures) == (2, 0, 1)


def test_a_large_table_is_read_by_a_thread(make_other: Callable[..., Other], monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice gets the last counts at once; new rows are read first, changed and deleted ones at a later reading."""
    monkeypatch.setattr(attached_module, "CHOICE_SECONDS", -1.0)
    other = make_other()
    other.connection.execute("BEGIN")
    for number in range(20_000):
        other.record(f"m{number % 3}", number % 2)
    other.connection.execute("COMMIT")
    with closing(AttachedTable(other.attached())) as table:
        assert samples(table) == 0  # did not wait
        table.wait(60)
        assert samples(table) == 20_000
        monkeypatch.setattr(table, "_next_at", 0.0)
        table._whole_at = float("inf")
        other.record("m0", 1)
        other.connection.execute(f"DELETE FROM {TABLE} WHERE rowid <= 10000")
        assert samples(table) == 20_000
        assert comes_true(lambda: samples(table) == 20_001)
        table._whole_at = 0.0
        other.record("m0", 1)
        assert comes_true(lambda: samples(table) == 10_002)


def comes_true(condition: Callable[[], bool]) -> bool:
    """Return whether ``condition`` holds within a minute."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


HOSTILE = {
    "endless": "SELECT 'plan' AS task_type, 'x' AS model_id, n AS success FROM "
    "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT n FROM n)",
    "huge": "SELECT hex(zeroblob(400000000)) AS task_type, 'x' AS model_id, 1 AS success",
    "many": "SELECT 'plan' AS task_type, 'm' || n AS model_id, 1 AS success FROM "
    "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 200000) SELECT n FROM n)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_view_costs_a_choice_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view may compute without end, gigabytes, or pairs without number: choices go on, and the reason is told."""
    monkeypatch.setattr(attached_module, "MAX_READ_SECONDS", 0.5)
    with closing(sqlite3.connect(tmp_path / "o.db", isolation_level=None)) as connection:
        connection.execute(f"CREATE VIEW {TABLE} AS {HOSTILE[name]}")
    with mp.ModelPerf({"federation": [{"path": str(tmp_path / "o.db")}]}, store=tmp_path / "own.db") as engine:
        started = time.monotonic()
        for _ in range(100):
            assert engine.select("plan", ["x", "y"]) is not None
        assert time.monotonic() - started < 5
        (table,) = engine.attached.tables
        table.wait(60)
        assert table.problem is not None
        assert engine.store.tallies.of("plan") == {}


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder", "bytes", "schema"])
def test_what_is_no_database_is_not_opened(kind: str, tmp_path: Path) -> None:
    """A pipe, a socket, a device, a folder, other bytes, and a schema that is not UTF-8 are problems, never a wait."""
    path = tmp_path / "o.db"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(SHAPES["guide"])
            connection.execute("CREATE VIEW of_bytes AS SELECT 1")
        content = path.read_bytes()
        path.write_bytes(b"\xff" * 4096 if kind == "bytes" else content.replace(b"of_bytes", b"\xff\xfe\xff\xfe;;;;"))
    with closing(AttachedTable(Attached(str(path), TABLE, {}, 0))) as table:
        table.wait(60)
        assert table.problem is not None
        assert table.tallies() == {}


def test_bytes_that_are_not_text_cost_their_rows(
    make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """Rows whose names are Latin-1, blobs, numbers or too long are skipped; the others count."""
    other = make_other("guide")
    other.record("x", 1)
    for bad in ("CAST(x'ff' AS TEXT)", "x'6d6f64', ", "CAST(zeroblob(600) AS TEXT)", "'a' || char(0) || 'b'", "1"):
        for names in (f"{bad.rstrip(', ')}, 'x'", f"'plan', {bad.rstrip(', ')}"):
            other.connection.execute(f"INSERT INTO {TABLE} (task_type, model_id, success) VALUES ({names}, 1)")
    other.connection.execute(
        f"INSERT INTO {TABLE} VALUES ('plan', 'x', CAST(x'ff' AS TEXT), CAST(x'ff' AS TEXT), CAST(x'ff' AS TEXT))"
    )
    table = tables(other.attached())
    assert (table.problem, set(table.tallies()), set(table.tallies()["plan"])) == (None, {"plan", "1"}, {"x", "1"})
    tally = table.tallies()["plan"]["x"]
    assert (tally.successes, tally.failures) == (1, 1)


def test_threads_do_not_wait_for_each_other(
    make_other: Callable[..., Other], tables: Callable[[Attached], AttachedTable]
) -> None:
    """While one thread reads, others get the last counts; in the end all outcomes are counted."""
    other = make_other()
    table = tables(other.attached())
    seen: list[int] = []

    def ask() -> None:
        seen.extend(samples(table) for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        other.record("x", 1)
    for thread in threads:
        thread.join()
    assert max(seen) <= 200
    assert samples(table) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_host_may_fork(make_other: Callable[..., Other], tmp_path: Path) -> None:
    """Parent and child both read on connections of their own."""
    other = make_other()
    other.record("x", 1)
    script = f"""
import os, sys
import modelperf_plugin as mp
engine = mp.ModelPerf({{"federation": [{{"path": {str(other.path)!r}}}]}}, store={str(tmp_path / "own.db")!r})
engine.attached.wait()
assert engine.store.tallies.of("plan")["x"].samples == 1
child = os.fork()
assert engine.store.tallies.of("plan")["x"].samples == 1
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
engine.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("PRAGMA journal_mode = WAL")
for number in range(int(sys.argv[2])):
    connection.execute(
        "INSERT INTO llm_task_outcomes (model_id, provider, unit_type, unit_id, succeeded, recorded_at) "
        "VALUES (?, 'p', 'plan', ?, ?, ?)",
        ("good" if number % 2 else "bad", str(number), number % 2, number),
    )
    print(number, flush=True)
"""


def test_two_programs_at_once(
    make_other: Callable[..., Other], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program writes to a small table, each of its outcomes counts at the next choice."""
    monkeypatch.setattr(attached_module, "CHOICE_SECONDS", 60.0)
    other = make_other("without id")
    number = 300
    with mp.ModelPerf({"federation": [{"path": str(other.path)}]}, store=tmp_path / "own.db", seed=1) as engine:
        engine.attached.wait()
        command = [sys.executable, "-c", WRITER, str(other.path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                decision = engine.select("plan", ["good", "bad"])
                assert decision is not None
                written = int(line) + 1
                seen = sum(row.tally.samples for row in decision.ranking.rows)
                assert seen >= written + written // 10  # those of the other program, and one's own
                if written % 10 == 9:
                    engine.record("plan", decision.model_id, Outcome(success=decision.model_id == "good"), decision)
        assert writer.returncode == 0
        last = engine.explain("plan", ["good", "bad"])
        assert last is not None
        assert last.model_id == "good"
        assert sum(row.tally.samples for row in last.ranking.rows) == number + number // 10
        assert sum(tally.samples for tally in engine.tracker.store.tallies.all()) == number // 10


def test_the_health_check_reports_each_database(make_other: Callable[..., Other], tmp_path: Path) -> None:
    """An unreadable database is a negative finding with the reason."""
    other = make_other()
    other.record("x", 1)
    store = open_store(tmp_path / "own.db")
    store.attachments.add(other.attached())
    store.attachments.add(Attached(str(tmp_path / "gone.db"), TABLE, {}, 0))
    found = {finding.ok: finding.message for finding in check_attached(store, [])}
    assert "does not exist" in found[False]
    assert "1 outcomes" in found[True]
    store.close()
