"""Mending a file: what can be read is saved, what is lost is said, and the damaged file is kept."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import NotATrackerError, StoreBusyError, StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, open_store, open_to_read
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.file import PAGE_BYTES
from modelperf_plugin.store.sqlite.salvage import is_sound, salvage
from modelperf_plugin.values import DAY_MS, Outcome, Tally
from tests.store.faults import damage, pages_of

NOON_MS = 1_767_268_800_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file with outcomes of many pairs and days, with ids and imported sums."""
    path = tmp_path / "outcomes.db"
    store = open_store(path)
    store.outcomes.record_many(
        Entry(
            f"task-{number % 7}",
            f"model-{number % 31}",
            Outcome(
                success=number % 3 > 0,
                tokens_used=number,
                cost_usd=number / 1000,
                outcome_id=f"id-{number}" if number % 5 == 0 else None,
                error_kind="network" if number % 33 == 0 else None,
            ),
            NOON_MS + number % 40 * DAY_MS,
        )
        for number in range(5000)
    )
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO model_stats (task_type, model_id, successes, failures, total_cost) "
            "VALUES ('task-1', 'm', 7, 2, 1)"
        )
        connection.commit()
    return path


def tallies(path: Path) -> list[Tally]:
    """Return all tallies of a file, and check that they add up."""
    store = open_store(path)
    try:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
        return store.tallies.all()
    finally:
        store.close()


def test_lost_events_stay_in_the_counts(path: Path) -> None:
    """When pages of events are damaged the other events are saved, and all tallies are as before."""
    before = tallies(path)
    leaves = pages_of(path, "event")
    damage(path, [leaves[3], leaves[10], leaves[11]])
    assert not is_sound(str(path))
    broken = path.read_bytes()
    saved = salvage(str(path))
    assert 3500 < saved.recovery.outcomes < 5000
    assert saved.recovery.outcomes + saved.recovery.counted == 5000
    assert saved.recovery.unreadable == ["event"]
    assert saved.aside.read_bytes() == broken
    assert tallies(path) == before
    assert is_sound(str(path))


@pytest.mark.parametrize("which", [0, -1])
def test_the_ends_of_the_events(path: Path, which: int) -> None:
    """The first and the last page of events are lost like any other: nothing behind or before them is."""
    before = tallies(path)
    damage(path, [pages_of(path, "event")[which]])
    saved = salvage(str(path))
    assert 4700 < saved.recovery.outcomes < 5000
    assert tallies(path) == before


def test_lost_tallies_are_made_from_events(path: Path) -> None:
    """When the tallies are damaged they are counted anew; the names of the pairs come from the index beside them."""
    before = {tally[:2]: tally for tally in tallies(path)}
    damage(path, pages_of(path, "tally"))
    salvage(str(path))
    after = {tally[:2]: tally for tally in tallies(path)}
    assert after == before


def test_everything_at_once(path: Path) -> None:
    """Whatever pages are damaged, salvage ends with a sound file that counts no more than there was."""
    count = path.stat().st_size // PAGE_BYTES
    total = sum(tally.samples for tally in tallies(path))
    for seed in range(5):
        numbers = random.Random(seed).sample(range(2, count + 1), count // 4)
        copy = path.with_name(f"copy-{seed}.db")
        copy.write_bytes(path.read_bytes())
        damage(copy, numbers)
        salvage(str(copy))
        copy.chmod(0o600)
        assert sum(tally.samples for tally in tallies(copy)) <= total


def foreign_database(path: Path) -> None:
    """Write a database of another program."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE event (name TEXT, at TEXT)")
        connection.executemany("INSERT INTO event VALUES (?, 'x')", [(f"event {number}",) for number in range(5000)])
        connection.commit()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text", "a text file"),
        ("zeros", "only zeros"),
        ("noise", "not an SQLite database"),
        ("gzip", "a gzip file"),
        ("empty", "empty"),
        ("foreign", "another program"),
        ("foreign, damaged", "another program"),
    ],
)
def test_what_was_never_ours_is_left_alone(tmp_path: Path, kind: str, name: str) -> None:
    """Another file is not touched, the message says what it seems to be, and nothing recommends a repair of it."""
    path = tmp_path / "notes.txt"
    contents = {
        "text": "Grüße, not a database\n".encode() * 1000,
        "zeros": b"\0" * 8192,
        "noise": random.Random(1).randbytes(50_000),
        "gzip": gzip.compress(b"x" * 10_000),
        "empty": b"",
    }
    if kind in contents:
        path.write_bytes(contents[kind])
    else:
        foreign_database(path)
        if kind != "foreign":
            damage(path, [5, 6, 7])
    before = path.read_bytes()
    with pytest.raises(NotATrackerError, match=name) as refused:
        salvage(str(path))
    assert "repair" not in str(refused.value)
    assert path.read_bytes() == before
    if kind != "empty":
        for opening in (open_store, open_to_read):
            try:
                opening(path).close()
            except StoreError as error:
                assert "repair" not in str(error)  # noqa: PT017 - some files open: their damage lies deeper
        assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


HEADERS = [8, 16, 100]


@pytest.mark.parametrize("length", HEADERS)
@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"x"])
def test_a_header_that_was_overwritten(path: Path, length: int, filler: bytes) -> None:
    """Page size and all else are inferred from the pages: every outcome is saved, and every count."""
    before = tallies(path)
    with path.open("r+b") as file:
        file.write(filler * length)
    saved = salvage(str(path))
    assert (saved.recovery.outcomes, saved.recovery.counted, saved.recovery.lost) == (5000, 0, 0)
    assert saved.recovery.unreadable == []
    assert tallies(path) == before


@pytest.mark.parametrize(
    ("at", "stated"),
    [
        (16, b"\x10\0"),
        (16, b"\4\0"),
        (16, b"\0\1"),
        (20, b"\7"),
        (20, b"\xff"),
        (56, b"\0\0\0\2"),
        (56, b"\xff"),
        (52, b"\1"),
    ],
    ids=["larger", "smaller", "largest", "reserved", "most reserved", "UTF-16", "no encoding", "mapped"],
)
def test_a_header_that_states_what_the_pages_deny(path: Path, at: int, stated: bytes) -> None:
    """What the header says of the pages counts only if they agree; so no byte of it costs a row."""
    before = tallies(path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(stated)
    assert salvage(str(path)).recovery.outcomes == 5000
    assert tallies(path) == before


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_the_first_pages_are_gone(path: Path, pages: int) -> None:
    """Schema and pointer map are found or made up for: every outcome is saved, and every count."""
    before = tallies(path)
    damage(path, list(range(1, pages + 1)))
    assert salvage(str(path)).recovery.outcomes == 5000
    assert tallies(path) == before


@pytest.mark.parametrize(("percent", "least"), [(95, 94), (50, 34), (20, 0)])
def test_a_file_that_was_cut(path: Path, percent: int, least: int) -> None:
    """Of a truncated file every page that is left is read; what is lost is counted, at least roughly."""
    before = {tally[:2]: tally for tally in tallies(path)}
    os.truncate(path, path.stat().st_size * percent // 100)
    found = salvage(str(path)).recovery
    assert found.outcomes >= 5000 * least // 100
    assert found.outcomes + found.counted + found.lost <= 5000
    after = {tally[:2]: tally for tally in tallies(path)}
    assert all(after[pair].samples <= before[pair].samples for pair in after.keys() & before.keys())


@pytest.mark.parametrize("word", [b"CREATE TRIGGER model_stats_insert", b"CREATE VIEW model_outcomes", b"INSTEAD OF"])
@pytest.mark.parametrize("noise", [b"\xff\xfe\xff\xfe", b"xxxx"])
def test_a_damaged_statement_in_the_schema(path: Path, word: bytes, noise: bytes) -> None:
    """SQLite does not look at views and triggers before they are used; the check does, and repair writes them again."""
    before = tallies(path)
    content = path.read_bytes()
    at = content.index(word)
    path.write_bytes(content[: at + 7] + noise + content[at + 11 :])
    assert not is_sound(str(path))
    assert salvage(str(path)).recovery.outcomes == 5000
    assert tallies(path) == before


GUIDE = """
CREATE TABLE model_outcomes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_type TEXT NOT NULL, model_id TEXT NOT NULL, success INTEGER NOT NULL,
    timeout INTEGER NOT NULL DEFAULT 0, tokens_used INTEGER, cost_usd REAL, timestamp TEXT NOT NULL
);
CREATE TABLE model_stats (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_type TEXT, model_id TEXT, successes INTEGER, failures INTEGER,
    timeouts INTEGER, total_tokens INTEGER, total_cost REAL, last_used TEXT, UNIQUE (task_type, model_id)
);
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("damaged", ["header", "second half"])
def test_a_file_of_the_migration_guide(tmp_path: Path, encoding: str, damaged: str) -> None:
    """The guide's own two tables are salvaged, too, whatever their encoding, and become tables of ours."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.executescript(GUIDE)
        insert = "INSERT INTO model_outcomes VALUES (?, ?, ?, ?, 0, ?, ?, '2026-01-01T00:00:00Z')"
        rows = ((number, f"t{number % 3}", f"mödel{number % 5}", 1, number, number / 100) for number in range(1, 3001))
        connection.executemany(insert, rows)
        connection.commit()
    if damaged == "header":
        with path.open("r+b") as file:
            file.write(b"\0" * 100)
    else:
        os.truncate(path, path.stat().st_size // 2)
    found = salvage(str(path)).recovery
    assert found.outcomes >= (3000 if damaged == "header" else 1300)
    assert ("model_outcomes" in found.unreadable) is (damaged != "header")
    path.chmod(0o600)
    assert {tally.model_id for tally in tallies(path)} == {f"mödel{number}" for number in range(5)}


@pytest.mark.parametrize("version", [1, 3, 5, 8])
def test_a_file_of_an_older_version(tmp_path: Path, version: int) -> None:
    """A file that an older version wrote is salvaged into one of this version."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:version]:
            connection.executescript(migration.script)
        connection.execute("BEGIN")
        insert = "INSERT INTO model_outcomes (task_type, model_id, success, timeout) VALUES (?, ?, ?, ?)"
        connection.executemany(insert, [(f"t{n % 3}", f"m{n % 5}", n % 2, n % 4 == 0) for n in range(5000)])
        connection.execute("COMMIT")
    os.truncate(path, path.stat().st_size * 2 // 3)
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    found = salvage(str(path)).recovery
    assert found.outcomes > 1000
    assert found.outcomes + found.counted == 5000
    assert sum(tally.samples for tally in tallies(path)) == 5000


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return a file that something terrible has happened to."""
    result = bytearray(content)
    for _ in range(chance.choice([1, 2, 5])):
        at = chance.randrange(max(1, len(result)))
        match chance.randrange(6):
            case 0:
                result[at : at + 1] = chance.randbytes(1)
            case 1:
                result[at : at + 200] = chance.randbytes(min(200, len(result) - at))
            case 2:
                result[at : at + PAGE_BYTES] = bytes(min(PAGE_BYTES, len(result) - at))
            case 3:
                del result[max(at, len(content) // 4) :]
            case 4:  # a page in the place of another
                source, target = (chance.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES for _ in range(2))
                result[target : target + PAGE_BYTES] = content[source : source + PAGE_BYTES]
            case 5:
                result[at : at + 2] = b"\xff\xfe"
    return bytes(result)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_to_the_bytes(tmp_path: Path, seed: int) -> None:
    """Every damage ends in a sound file that adds up, into which a host can record, or in one clear refusal."""
    path = tmp_path / "x.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many(
            Entry(f"t{n % 7}", f"m{n % 11}", Outcome(success=n % 3 > 0, tokens_used=n), NOON_MS + n)
            for n in range(1000)
        )
    path.write_bytes(changed(path.read_bytes(), random.Random(seed)))
    if not is_sound(str(path)):
        try:
            salvage(str(path))
        except NotATrackerError:
            return
    with closing(open_file(path)) as repaired:
        repaired.maintenance.set_aside_unreadable()
        repaired.maintenance.rebuild()
    assert sum(tally.samples for tally in tallies(path)) <= 1000
    with closing(open_store(path)) as store:
        assert store.outcomes.record(Entry("t", "m", Outcome(success=True), NOON_MS))


def test_names_vanish_from_the_index(tmp_path: Path) -> None:
    """Pairs that got a second number while the index of names was damaged are one pair: no outcome is lost."""
    path = tmp_path / "x.db"
    entries = [Entry("task", f"model-{number % 10}", Outcome(success=True), NOON_MS) for number in range(2000)]
    with closing(open_store(path)) as store:
        store.outcomes.record_many(entries)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_tally_1'"
        (root,) = connection.execute(query).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES + 3)
        file.write((3).to_bytes(2, "big"))  # seven of ten cells
    with closing(open_store(path)) as store:
        for entry in entries[:50]:
            store.outcomes.record(entry)
    assert not is_sound(str(path)), "rows are missing from the index"
    found = salvage(str(path)).recovery
    assert (found.outcomes, found.counted, found.lost, found.unnamed, found.merged) == (2050, 0, 0, [], 7)
    assert [tally.samples for tally in tallies(path)] == [205] * 10


def test_a_pair_whose_name_is_lost_keeps_its_outcomes(path: Path) -> None:
    """Without table and index of pairs, outcomes are kept under names from decisions, or else under numbers.

    The counts come from the daily roll-up, and the result says how many names are lost.
    """
    total = sum(tally.samples for tally in tallies(path))
    with closing(open_store(path)) as store:
        outcome = Outcome(success=True, tokens_used=77)
        store.outcomes.record(Entry("known", "by decision", outcome, NOON_MS + 1))
        decision = DecisionRecord("d1", NOON_MS, "known", "by decision", 1.0, False, 0.0, "apply", "p", "{}")
        store.decisions.write([decision], [DecisionOutcome("d1", "by decision", outcome, NOON_MS + 1)])
    damage(path, pages_of(path, "tally") + pages_of(path, "sqlite_autoindex_tally_1"))
    result = salvage(str(path))
    assert result.recovery.outcomes == 5001
    after = tallies(path)
    unnamed = [tally for tally in after if tally.task_type == "name-lost"]
    assert len(unnamed) > 200
    assert f"the names of {len(unnamed)} pairs are lost" in " ".join(result.sentences())
    assert ("known", "by decision") in [tally[:2] for tally in after]
    assert sum(tally.samples for tally in after) == total + 1


def test_half_a_file(path: Path) -> None:
    """Of a truncated file the part that is there is saved."""
    os.truncate(path, path.stat().st_size // 2)
    assert not is_sound(str(path))
    salvage(str(path))
    assert is_sound(str(path))
    tallies(path)


def test_what_was_only_in_the_log_is_saved(path: Path) -> None:
    """Outcomes that have not left the write-ahead log yet are saved, too, and the log is set aside with its file."""
    leaf = pages_of(path, "event")[5]
    store = open_store(path)
    store.outcomes.record(Entry("late", "model", Outcome(success=True), NOON_MS))
    log = path.with_name(f"{path.name}-wal").read_bytes()
    store.close()
    path.with_name(f"{path.name}-wal").write_bytes(log)
    damage(path, [leaf])
    saved = salvage(str(path))
    assert saved.aside.with_name(f"{saved.aside.name}-wal").read_bytes() == log
    assert [tally.samples for tally in tallies(path) if tally.task_type == "late"] == [1]


def test_a_host_that_has_it_open_is_noticed(path: Path) -> None:
    """A file that a host has open is not taken from under it."""
    child_ready, parent_done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store = open_store(path)
            os.write(child_ready[1], b"x")
            os.read(parent_done[0], 1)
            store.close()
        finally:
            os._exit(0)
    os.read(child_ready[0], 1)
    before = path.read_bytes()
    with pytest.raises(StoreBusyError, match="stop the hosts"):
        salvage(str(path))
    assert path.read_bytes() == before
    os.write(parent_done[1], b"x")
    os.waitpid(child, 0)


DRIFTS = [
    "UPDATE tally SET successes = successes + 1, priced = 0",
    "UPDATE tally SET failures = 0 WHERE id % 2",
    "DELETE FROM daily",
    "DELETE FROM daily WHERE day % 2",
    "UPDATE daily SET tokens = tokens + 1 WHERE tally_id = 3",
    "UPDATE tally SET last_used_ms = NULL",
]


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("dropped_days", [0, 20])
def test_counts_are_made_anew(path: Path, drift: str, dropped_days: int) -> None:
    """Tallies and roll-up that drifted are what they were after a rebuild, also when old events were dropped."""
    store = open_file(path)
    after_id = 0
    while (step := store.events.drop(NOON_MS + dropped_days * DAY_MS - DAY_MS // 2, after_id)).looked_at:
        after_id = step.last_id
    before = store.tallies.all()
    with closing(sqlite3.connect(path)) as connection:
        days = connection.execute("SELECT * FROM daily").fetchall()
        connection.execute(drift)
        connection.commit()
        store.maintenance.rebuild()
        assert store.tallies.all() == before
        if not dropped_days:
            assert connection.execute("SELECT * FROM daily").fetchall() == days
    store.close()
    assert tallies(path) == before


def test_a_rebuild_of_a_sound_file_changes_nothing(path: Path) -> None:
    """Where everything adds up, no pair is wrong and the roll-up stays as it is, retention or not."""
    store = open_file(path)
    store.events.drop(NOON_MS + 20 * DAY_MS)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT * FROM tally JOIN daily ON tally.id = tally_id ORDER BY tally.id, day"
        before = connection.execute(query).fetchall()
        assert store.maintenance.rebuild() == 0
        assert connection.execute(query).fetchall() == before
    store.close()
