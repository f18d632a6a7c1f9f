"""A large file of the older tracker is imported beside the work: in steps, exactly once, whatever interrupts it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.importing import legacy_import
from modelperf_plugin.exchange.importing.legacy_import import add_legacy_sums, check_legacy_file
from modelperf_plugin.exchange.importing.legacy_json import read_legacy_json
from modelperf_plugin.store import Store, open_store
from tests.exchange.stores import is_sound, samples

PAIRS = 2400
PADDING = "-" * 400
"""Makes the file large, but not slow to import."""
PATIENCE_SECONDS = 120
HOST = """
import sys, time
import modelperf_plugin as mp
with mp.ModelPerf({}, store="a.db") as engine:
    print("open", flush=True)
    while not (records := engine.store.imports.all("json")) or not records[0].is_complete:
        time.sleep(0.01)
"""


def write(path: Path, *, successes: int = 3, pairs: int = PAIRS, end: str = "}") -> int:
    """Write a file of the older tracker with many pairs; return the number of outcomes in it."""
    stats = {"successes": successes, "failures": 1, "timeouts": 0, "totalTokens": 1000, "totalCost": 0.5}
    models = {f"model-{number}{PADDING}": stats for number in range(30)}
    task_types = (f'"task-{number}": {json.dumps(models)}' for number in range(pairs // 30))
    path.write_text("{" + ",\n".join(task_types) + end)
    assert path.stat().st_size > legacy_import.MAX_BYTES_AT_ONCE
    return pairs * (successes + 1)


def is_complete(store: Store) -> bool:
    """Return whether an import was completed."""
    return any(record.is_complete for record in store.imports.all("json"))


def wait_for_import(store: Store) -> None:
    """Wait until the thread has imported everything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_complete(store):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_host_does_not_wait_for_it(tmp_path: Path) -> None:
    """Opening, choosing and recording work at once; the counts come in meanwhile, and are right in the end."""
    outcomes = write(tmp_path / "a.json")
    with mp.ModelPerf({}, store=tmp_path / "a.db") as engine:
        assert not is_complete(engine.store)
        for _ in range(20):
            assert engine.select("task-1", [f"model-1{PADDING}", f"model-2{PADDING}"]) is not None
            engine.record("task-1", f"model-1{PADDING}", mp.Outcome(success=True))
        wait_for_import(engine.store)
        assert samples(engine.store) == outcomes + 20
        assert is_sound(engine.store)
        finding = check_legacy_file(engine.store, 0)
        assert finding is not None
        assert finding.ok


def test_an_interrupted_import_is_resumed(tmp_path: Path) -> None:
    """Closed in between, again and again, it ends with every count once."""
    outcomes = write(tmp_path / "a.json")
    counted: list[int] = []
    while not counted or counted[-1] < outcomes:
        assert len(counted) < 6
        with ModelPerformanceTracker(tmp_path / "a.db") as tracker:
            before = samples(tracker.store)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while samples(tracker.store) < min(before + outcomes // 3, outcomes) and time.monotonic() < deadline:
                time.sleep(0.01)
        counted.append(samples_of(tmp_path / "a.db"))
    assert counted[-1] == outcomes


def samples_of(path: Path) -> int:
    """Return the number of outcomes in a file that is sound."""
    store = open_store(path)
    assert is_sound(store)
    counted = samples(store)
    store.close()
    return counted


@pytest.mark.slow
def test_processes_share_an_import_and_a_kill_leaves_nothing_half_counted(tmp_path: Path) -> None:
    """Two hosts are killed in between; the next one completes the import: once."""
    outcomes = write(tmp_path / "a.json")
    hosts = [
        subprocess.Popen([sys.executable, "-c", HOST], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for host in hosts:
        assert host.stdout is not None
        assert host.stdout.readline() == "open\n"
    store = open_store(tmp_path / "a.db")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while samples(store) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for host in hosts:
        host.kill()
        host.communicate()
    assert is_sound(store)
    store.close()
    subprocess.run([sys.executable, "-c", HOST], cwd=tmp_path, check=True, timeout=PATIENCE_SECONDS)
    assert samples_of(tmp_path / "a.db") == outcomes


def test_a_file_damaged_at_its_end_is_not_imported_in_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The whole file is checked before the first count; log and health check name the line."""
    write(tmp_path / "a.json", end="")
    with caplog.at_level(logging.WARNING), ModelPerformanceTracker(tmp_path / "a.db") as tracker:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "was not imported" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert samples(tracker.store) == 0
        assert "line 80" in caplog.text
        finding = check_legacy_file(tracker.store, 0)
        assert finding is not None
        assert not finding.ok


def test_a_newer_version_takes_the_place_of_one_that_is_half_imported(tmp_path: Path) -> None:
    """What was counted of a version that has changed meanwhile is taken back."""
    write(tmp_path / "a.json")
    with ModelPerformanceTracker(tmp_path / "a.db") as tracker:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not samples(tracker.store):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    outcomes = write(tmp_path / "a.json", successes=5, pairs=PAIRS - 30)
    with ModelPerformanceTracker(tmp_path / "a.db") as tracker:
        wait_for_import(tracker.store)
    assert samples_of(tmp_path / "a.db") == outcomes


def test_the_command_replaces_many_counts_in_steps(tmp_path: Path) -> None:
    """By hand a newer version of a large file replaces the older one, and the same version nothing."""
    file, store = tmp_path / "elsewhere.json", open_store(tmp_path / "a.db")
    for successes in (3, 5):
        outcomes = write(file, successes=successes)
        legacy = read_legacy_json(file)
        assert [add_legacy_sums(store, file, legacy, 1) for _ in range(2)] == [True, False]
        assert samples(store) == outcomes
    assert is_sound(store)
    store.close()


def test_it_is_read_in_little_memory(tmp_path: Path) -> None:
    """A value without end is refused instead of read; the keys before it are not kept."""
    (tmp_path / "a.json").write_text('{"task": {"model": "' + "x" * 3_000_000 + '"}}')
    with pytest.raises(OutcomesFileError, match=r"line 1: begins a value of more than .* characters at column 20"):
        read_legacy_json(tmp_path / "a.json")
