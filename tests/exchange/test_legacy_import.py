"""The older tracker's file beside the store: imported once, kept for a week, then compressed, never lost."""

from __future__ import annotations

import gzip
import json
import logging
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.exchange.importing.legacy_import import add_legacy_sums, check_legacy_file
from modelperf_plugin.exchange.importing.legacy_json import read_legacy_json
from modelperf_plugin.store import open_store
from tests.exchange.stores import is_sound, samples
from tests.exchange.test_legacy_json import LONG, SHORT, written

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN = """
import sys
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
print("ready", flush=True)
sys.stdin.readline()
with ModelPerformanceTracker(sys.argv[1]) as tracker:
    print(sum(tally.samples for tally in tracker.store.tallies.all()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file of the older tracker."""
    written(tmp_path / "model-performance.json", LONG)
    return tmp_path


def test_the_first_opening_imports_it(folder: Path) -> None:
    """The counts are evidence immediately, are distinct from events, and the store stays consistent."""
    with ModelPerformanceTracker(folder / "model-performance.db") as tracker:
        (tally,) = tracker.store.tallies.of("execute-task").values()
        assert (tally.successes, tally.failures, tally.timeouts, tally.total_tokens) == (42, 3, 1, 90000)
        assert (tally.total_cost_usd, tally.priced, tally.last_used_ms) == (1.5, 45, 1_748_736_000_250)
        assert is_sound(tracker.store)
    connection = sqlite3.connect(folder / "model-performance.db")
    assert connection.execute("SELECT count(*) FROM model_outcomes").fetchone() == (0,)
    assert connection.execute("SELECT source, successes FROM imported").fetchall() == [
        ("json:model-performance.json", 42)
    ]
    connection.close()


def test_it_is_imported_once(folder: Path) -> None:
    """A second opening, a moved folder, or an import by command does not count it again."""
    path = folder / "model-performance.db"
    ModelPerformanceTracker(path).close()
    with ModelPerformanceTracker(path) as tracker:
        assert samples(tracker.store) == 45
    moved = folder.rename(folder.with_name("elsewhere"))
    with ModelPerformanceTracker(moved / path.name) as tracker:
        assert samples(tracker.store) == 45
        copy = written(moved / "copy.json", LONG)
        assert not add_legacy_sums(tracker.store, copy, read_legacy_json(copy), 1)
        assert samples(tracker.store) == 45


def test_processes_that_open_at_the_same_moment_import_it_once(folder: Path) -> None:
    """Of eight processes that start together, one imports; all see the counts."""
    command = [sys.executable, "-c", OPEN, str(folder / "model-performance.db")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["45\n"] * 8


def test_thirty_days(folder: Path) -> None:
    """If a host starts every day, the file stays for seven days, is then compressed, and is not imported again."""
    file = folder / "model-performance.json"
    content = file.read_bytes()
    for day in range(30):
        clock = partial(START.__add__, timedelta(days=day))
        with mp.ModelPerf({}, store=folder / "model-performance.db", clock=clock) as engine:
            assert samples(engine.store) == 45
        archives = list(folder.glob("*.gz"))
        assert file.exists() == (day < 7)
        assert [path.name for path in archives] == ["model-performance.json.imported-2026-01-01.gz"] * (day >= 7)
    assert gzip.decompress(archives[0].read_bytes()) == content


def test_thirty_days_in_one_process(folder: Path) -> None:
    """A host that runs for a month and only records archives the file on the same day."""
    now = START
    file = folder / "model-performance.json"
    with mp.ModelPerf({}, store=folder / "model-performance.db", clock=lambda: now) as engine:
        for day in range(30):
            now = START + timedelta(days=day)
            for _ in range(8):
                engine.record("execute-task", "gpt-4o", mp.Outcome(success=True))
            assert file.exists() == (day < 7)
        assert samples(engine.store) == 45 + 240


def test_an_interrupted_archive_is_completed(folder: Path) -> None:
    """If a process died between compressing and deleting, the next one deletes and writes no second archive."""
    with mp.ModelPerf({}, store=folder / "model-performance.db", clock=lambda: START):
        pass
    file = folder / "model-performance.json"
    (folder / "model-performance.json.imported-2026-01-01.gz").write_bytes(gzip.compress(file.read_bytes()))
    later = START + timedelta(days=9)
    with mp.ModelPerf({}, store=folder / "model-performance.db", clock=lambda: later):
        pass
    assert not file.exists()
    assert len(list(folder.glob("*.gz"))) == 1


def test_a_file_changed_after_its_import_is_not_archived(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file changed since its import is neither archived nor counted; the health check explains what to do."""
    path, file = folder / "model-performance.db", folder / "model-performance.json"
    with mp.ModelPerf({}, store=path, clock=lambda: START):
        pass
    newer = {"execute-task": {"gpt-4o": {"successes": 50, "failures": 10}, "x": {"successes": 1, "failures": 1}}}
    written(file, newer)
    later = START + timedelta(days=20)
    with caplog.at_level(logging.WARNING), mp.ModelPerf({}, store=path, clock=lambda: later) as engine:
        assert samples(engine.store) == 45
        assert file.exists()
        assert "changed since it was imported" in caplog.text
        finding = check_legacy_file(engine.store, 0)
        assert finding is not None
        assert not finding.ok
        assert f"modelperf import json {file}" in finding.message
        # by hand the newer version takes the place of the older one
        assert add_legacy_sums(engine.store, file, read_legacy_json(file), 1)
        assert samples(engine.store) == 62
        assert engine.store.tallies.of("execute-task")["gpt-4o"].priced == 0
        assert is_sound(engine.store)


def test_a_damaged_file_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The store opens; log and health check name line and column; once repaired, the file is imported."""
    file = written(tmp_path / "model-performance.json", '{"plan":\n {"x": {"succ')
    with caplog.at_level(logging.WARNING), ModelPerformanceTracker(tmp_path / "model-performance.db") as tracker:
        assert samples(tracker.store) == 0
        assert "line 2" in caplog.text
        assert "column" in caplog.text
        finding = check_legacy_file(tracker.store, 0)
        assert finding is not None
        assert not finding.ok
        assert "line 2" in finding.message
    assert file.read_text().endswith("succ")
    written(file, SHORT)
    with ModelPerformanceTracker(tmp_path / "model-performance.db") as tracker:
        assert samples(tracker.store) == 45


def test_only_the_file_with_the_name_of_the_store_is_imported(folder: Path) -> None:
    """A store with another name in the same folder imports nothing."""
    with ModelPerformanceTracker(folder / "demo.db") as tracker:
        assert samples(tracker.store) == 0
    with ModelPerformanceTracker(":memory:") as tracker:
        assert samples(tracker.store) == 0


def test_an_import_that_fails_leaves_nothing(folder: Path) -> None:
    """Sums that the store refuses are not stored in part."""
    store = open_store(folder / "a.db")
    file = folder / "model-performance.json"
    legacy = read_legacy_json(file)
    broken = legacy._replace(sums=(*legacy.sums, legacy.sums[0]))  # twice the same pair
    with pytest.raises(mp.StoreError):
        add_legacy_sums(store, file, broken, 1)
    assert store.tallies.all() == []
    assert store.imports.all() == []
    assert add_legacy_sums(store, file, legacy, 1)
    store.close()


def test_the_notes_are_counted(tmp_path: Path) -> None:
    """The health check reports unusable entries, and how to list them."""
    written(
        tmp_path / "a.json", {"plan": {"x": {"successes": 3, "failures": 1}, "y": {"successes": -3, "failures": 1}}}
    )
    with ModelPerformanceTracker(tmp_path / "a.db") as tracker:
        finding = check_legacy_file(tracker.store, 0)
    assert finding is not None
    assert "some entries are not usable: `modelperf import json" in finding.message
    assert json.loads((tmp_path / "a.json").read_text())
