"""``backup``: copying the database."""

from __future__ import annotations

import threading
from pathlib import Path

from modelperf_plugin.store import open_store
from tests.cli.conftest import Run, RunJson, entry, samples


def test_a_backup_is_whole(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """The copy is complete, readable by its owner only, and replaces a file only with --force."""
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
    """A copy made while a host records adds up."""
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
    """If the copy cannot be written, there is none, and the message names its path."""
    target = tmp_path / "no-such-folder" / "copy.db"
    result = run("backup", str(target), "--store", store)
    assert result.exit_code == 1
    assert str(target) in result.stderr
