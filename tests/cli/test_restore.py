"""``restore``: putting a copy in the place of the database."""

from __future__ import annotations

from pathlib import Path

from modelperf_plugin.store import open_store, open_with_fallback
from tests.cli.conftest import Run, RunJson, entry, samples


def test_a_copy_is_restored(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """What was recorded since the copy no longer counts, and is kept in the file that was set aside."""
    copy = tmp_path / "copy.db"
    assert run("backup", str(copy), "--store", store).exit_code == 0
    host = open_store(store)
    host.outcomes.record(entry())
    host.close()
    answer = run_json("restore", str(copy), "--store", store)
    assert (answer["outcomes"], answer["replaced_outcomes"], answer["waiting"]) == (38, 39, 0)
    assert samples(Path(store)) == 38
    assert samples(Path(answer["replaced"])) == 39


def test_the_answer_names_the_replaced_file(run: Run, store: str, tmp_path: Path) -> None:
    """Nothing is deleted: the answer says where the replaced file is."""
    copy = tmp_path / "copy.db"
    run("backup", str(copy), "--store", store)
    result = run("restore", str(copy), "--store", store)
    assert "38 outcomes" in result.stdout
    assert "was set aside as" in result.stdout


def test_outcomes_that_wait_are_kept(run: Run, store: str, tmp_path: Path) -> None:
    """Outcomes in JSON files are not lost by a restore: the next host adds them."""
    path, copy = tmp_path / "x.db", tmp_path / "copy.db"
    run("backup", str(copy), "--store", store)
    open_store(path).close()
    path.write_bytes(b"\xff" * 200 + path.read_bytes()[200:])
    host = open_with_fallback(path)
    host.outcomes.record(entry())
    host.close()
    assert "1 outcome in JSON files" in run("restore", str(copy), "--store", str(path)).stdout
    open_with_fallback(path).close()
    assert samples(path) == 39


def test_a_file_that_is_no_copy(run: Run, store: str, tmp_path: Path) -> None:
    """Another file is refused by what it is, and a missing one by its name."""
    notes = tmp_path / "notes.txt"
    notes.write_text("Dear diary\n" * 500)
    result = run("restore", str(notes), "--store", store)
    assert result.exit_code == 1
    assert "text file" in result.stderr
    assert run("restore", str(tmp_path / "missing.db"), "--store", store).exit_code == 2
    assert samples(Path(store)) == 38
