"""``backup``, ``compact``, ``doctor --repair``, and commands that leave no trace."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Entry, open_steady, open_store
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.file import APPLICATION_ID
from modelperf_plugin.values import Outcome
from tests.cli.conftest import Run, RunJson
from tests.store.faults import as_nobody, open_to_all

READING = [
    ["stats"],
    ["rank", "execute-task"],
    ["explain", "execute-task"],
    ["decisions"],
    ["changes"],
    ["demotions"],
    ["doctor"],
]


def entry(days: int = 0) -> Entry:
    """Return an outcome that ended on some day of 1970."""
    return Entry("execute-task", "gpt-4o", Outcome(success=True), days * 86_400_000)


def samples(path: Path | str) -> int:
    """Return how many outcomes count in a file that is sound."""
    store = open_store(path)
    try:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
        return sum(tally.samples for tally in store.tallies.all())
    finally:
        store.close()


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_reading_commands_leave_no_trace(run: Run, store: str, command: list[str]) -> None:
    """A command that reads creates no file and changes none."""
    run(*command, "--store", store)
    folder = Path(store).parent
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("outcomes*")}
    run(*command, "--store", store)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("outcomes*")} == before
    assert set(before) == {"outcomes.db", "outcomes.db.lock"}


def test_reading_commands_need_no_right_to_write(run: Run, store: str) -> None:
    """In a folder that cannot be written the commands that read work, and those that write say why they do not."""
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
        run("announce", "gpt-4o", "--store", store)  # what is imported late must be imported while it can be
        assert as_nobody(work) == 0
        folder.chmod(0o755)


def test_an_older_file_is_not_migrated_by_reading(run: Run, tmp_path: Path) -> None:
    """A file of an older version is left as it is by reading, which says what brings it up to date."""
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


def test_a_backup_is_whole(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """The copy holds everything, is its owner's alone, and replaces another file only with --force."""
    target = tmp_path / "copy.db"
    answer = run_json("backup", str(target), "--store", store)
    assert answer["size_bytes"] == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert samples(target) == 38
    target.write_text("precious")
    refused = run("backup", str(target), "--store", store)
    assert (refused.exit_code, refused.stderr) == (2, f"error: {target} already exists; --force replaces it\n")
    assert target.read_text() == "precious"
    assert run("backup", str(target), "--force", "--store", store).exit_code == 0
    assert samples(target) == 38
    assert not list(tmp_path.glob("*.draft*"))


def test_a_backup_while_a_host_records(run: Run, tmp_path: Path) -> None:
    """A copy that is made while a host records adds up, whatever the moment."""
    path = tmp_path / "x.db"
    host = open_store(path)
    host.outcomes.record(entry())
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            host.outcomes.record(entry())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        counted = []
        for number in range(5):
            target = tmp_path / f"copy-{number}.db"
            assert run("backup", str(target), "--store", str(path)).exit_code == 0
            counted.append(samples(target))
    finally:
        done.set()
        thread.join()
        host.close()
    assert counted == sorted(counted)
    assert samples(path) >= counted[-1]


def test_a_backup_that_cannot_be_written(run: Run, store: str, tmp_path: Path) -> None:
    """Where the copy cannot be written there is none, and the message names the place."""
    target = tmp_path / "no-such-folder" / "copy.db"
    result = run("backup", str(target), "--store", store)
    assert result.exit_code == 1
    assert str(target) in result.stderr


def test_compact_gives_room_back(run_json: RunJson, tmp_path: Path) -> None:
    """After outcomes were dropped the file gets smaller, also while a host has it open, and everything adds up."""
    path = tmp_path / "x.db"
    host = open_file(path)
    host.outcomes.record_many(entry(day) for day in range(200) for _ in range(100))
    host.maintenance.checkpoint()
    after_id = 0
    while (step := host.events.drop(190 * 86_400_000, after_id)).dropped:
        after_id = step.last_id
    answer = run_json("compact", "--store", str(path))
    assert answer["after_bytes"] == path.stat().st_size < answer["before_bytes"] / 2
    host.outcomes.record(entry(200))
    host.close()
    assert samples(path) == 20_001


def test_compact_of_a_file_that_cannot_shrink_in_steps(run_json: RunJson, tmp_path: Path) -> None:
    """A file that was made without that ability is written anew once, and has it then."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE model_outcomes (id INTEGER)")
        connection.execute("DROP TABLE model_outcomes")
    path.chmod(0o600)
    open_store(path).close()
    run_json("compact", "--store", str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_repair_of_numbers(run: Run, run_json: RunJson, store: str) -> None:
    """Numbers that do not add up are counted anew; a second repair has nothing to do."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE tally SET successes = successes + 1 WHERE id = 1")
        connection.execute("DELETE FROM daily WHERE tally_id = 2")
        connection.commit()
    result = run("doctor", "--repair", "--store", store)
    assert result.exit_code == 0
    assert result.stdout.startswith("rebuilt the counts of 2 pairs, which did not add up, from the outcomes\n")
    assert run_json("doctor", "--repair", "--store", store)["repaired"] == ["nothing to repair"]
    assert samples(store) == 38


def test_a_repair_of_a_damaged_file(run: Run, store: str) -> None:
    """What can be read is saved, and the damaged file is set aside: both are said."""
    os.truncate(store, Path(store).stat().st_size - 4096)
    broken = Path(store).read_bytes()
    assert run("doctor", "--store", store).exit_code == 1
    result = run("doctor", "--repair", "--store", store)
    (aside,) = Path(store).parent.glob("outcomes.db.damaged-*")
    assert f"the damaged file was set aside as {aside}" in result.stdout
    assert "outcomes were saved with all their details" in result.stdout
    assert aside.read_bytes() == broken
    samples(store)


def test_what_waits_is_found_and_moved(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Outcomes that wait in JSON files are a finding that says where and why; a repair moves them."""
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database, " * 300)
    host = open_steady(path)
    host.outcomes.record(entry())
    answer = run_json("doctor", "--store", str(path), exit_code=1)
    (finding,) = [each for each in answer["findings"] if each["name"] == "degraded"]
    assert "1 outcomes wait in" in finding["message"]
    assert "a host goes on without the database" in finding["message"]
    host.close()
    assert "moved into the database by the next host" in run("doctor", "--store", str(path)).stdout
    result = run("doctor", "--repair", "--store", str(path))
    assert "moved 1 outcome from JSON files into the database" in result.stdout
    assert samples(path) == 1
    assert not list(tmp_path.glob("*.jsonl"))
