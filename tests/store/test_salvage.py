"""Mending a file: what can be read is saved, what is lost is said, and the damaged file is kept."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.sqlite.salvage import is_sound, salvage
from modelperf_plugin.values import DAY_MS, Outcome, Tally

NOON_MS = 1_767_268_800_000
PAGE = 4096


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


def pages_of(path: Path, table: str) -> list[int]:
    """Return the numbers of the leaf pages of a table, the first page of the file being 1."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
            return [number for (number,) in connection.execute(query, (table,))]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite cannot tell where tables lie")


def damage(path: Path, pages: list[int]) -> None:
    """Overwrite pages of a file with noise."""
    noise = random.Random(1)
    with path.open("r+b") as file:
        for number in pages:
            file.seek((number - 1) * PAGE)
            file.write(noise.randbytes(PAGE))


def test_lost_events_stay_in_the_counts(path: Path) -> None:
    """When pages of events are damaged the other events are saved, and all tallies are as before."""
    before = tallies(path)
    leaves = pages_of(path, "event")
    damage(path, [leaves[3], leaves[10], leaves[11]])
    assert not is_sound(str(path))
    broken = path.read_bytes()
    saved = salvage(str(path))
    assert 3500 < saved.outcomes < 5000
    assert saved.outcomes + saved.counted == 5000
    assert saved.unreadable == ["event"]
    assert saved.aside.read_bytes() == broken
    assert tallies(path) == before
    assert is_sound(str(path))


@pytest.mark.parametrize("which", [0, -1])
def test_the_ends_of_the_events(path: Path, which: int) -> None:
    """The first and the last page of events are lost like any other: nothing behind or before them is."""
    before = tallies(path)
    damage(path, [pages_of(path, "event")[which]])
    saved = salvage(str(path))
    assert 4700 < saved.outcomes < 5000
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
    count = path.stat().st_size // PAGE
    total = sum(tally.samples for tally in tallies(path))
    for seed in range(5):
        numbers = random.Random(seed).sample(range(2, count + 1), count // 4)
        copy = path.with_name(f"copy-{seed}.db")
        copy.write_bytes(path.read_bytes())
        damage(copy, numbers)
        salvage(str(copy))
        copy.chmod(0o600)
        assert sum(tally.samples for tally in tallies(copy)) <= total


@pytest.mark.parametrize("content", [b"not a database, " * 1000, b"\0" * 4096])
def test_no_database_at_all(tmp_path: Path, content: bytes) -> None:
    """Of a file that is no database nothing can be saved: it is set aside, and an empty one is in its place."""
    path = tmp_path / "x.db"
    path.write_bytes(content)
    saved = salvage(str(path))
    assert (saved.outcomes, saved.aside.read_bytes()) == (0, content)
    assert tallies(path) == []


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
