"""Later tries that wait in files: they stay later tries, count at once, and cost nothing but their own line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Entry, Store, open_store, open_with_fallback
from modelperf_plugin.store.fallback.batches import read_batch
from modelperf_plugin.store.fallback.own_spool import MAX_BATCH_OUTCOMES, Spool
from modelperf_plugin.values import LaterTries, Outcome
from tests.store.faults import check_now, held, switch_of
from tests.store.later import NOON_MS, by_hand, counts, mixed, unsound

HEADER = b'{"modelperf":1,"batch":"0123456789abcdef","reason":"the disk is full","since_ms":1767268800000}\n'
BAD = [
    '"x"', "1", "{}", "null", "true", '[""," "]', '["x",1]', "[[]]", '["a\\nb"]', '["\\ud800"]', "[null]",
    json.dumps(["x"] * 9), json.dumps(["x" * 513]), json.dumps(["x"] * 100_000),
]  # fmt: skip


def later_try(model_id: str = "x", *, success: bool = True, tried: tuple[str, ...] = ("y",)) -> Entry:
    """Return a later try."""
    return Entry("plan", model_id, Outcome(success=success), NOON_MS, tried)


def fail(store: Store) -> None:
    """Let SQLite fail until ``check_now``."""
    switch = switch_of(store)
    switch.handle(StoreFailedError("the disk is full"), switch.store)
    switch._backoff._retry_at = inf


def waiting(path: Path) -> list[Path]:
    """Return the spool files of a database."""
    return sorted(path.parent.glob(f"{path.stem}.waiting-*.jsonl"))


def moved(path: Path) -> tuple[Any, Any]:
    """Return what the database counts after a host has moved in what waits."""
    open_with_fallback(path).close()
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        return counts(store)


def test_what_is_spooled_while_the_database_fails(tmp_path: Path) -> None:
    """Choices know later tries from before and since the failure, and the database has all of them after it."""
    path, recorded = tmp_path / "p.db", mixed(60)
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record_many(recorded[:20])
        fail(store)
        assert counts(store) == by_hand(recorded[:20])
        for each in recorded[20:40]:
            store.outcomes.record(each)
        store.outcomes.record_many(recorded[40:])
        assert counts(store) == by_hand(recorded)
        assert [each for each in unsound(store) if not each.startswith("degraded")] == []
        check_now(store)
        store.tallies.all()
        assert store.degraded is None
        assert counts(store) == by_hand(recorded)
        assert unsound(store) == []
    assert waiting(path) == []


def test_what_waits_for_a_busy_database(tmp_path: Path) -> None:
    """While others keep the database locked, choices count waiting later tries once, and the same objects return."""
    path, recorded = tmp_path / "p.db", mixed(MAX_BATCH_OUTCOMES + 50)
    open_store(path).close()
    with closing(open_with_fallback(path, patience=0.1)) as store:
        store.outcomes.record_many(recorded[:20])
        with held(path):
            for each in recorded[20:]:
                store.outcomes.record(each)
            assert store.busy
            tallies, sets = by_hand(recorded)
            for task_type in ("build", "plan"):
                expected = {tally.model_id: tally for tally in tallies if tally.task_type == task_type}
                assert store.tallies.of(task_type) == expected
                later = {model_id: tries for (name, model_id), tries in sets.items() if name == task_type}
                assert store.tallies.later(task_type) == later
                assert store.tallies.later(task_type) is store.tallies.later(task_type)
        while waiting(path):
            check_now(store)
            store.outcomes.record_many([])
        assert counts(store) == by_hand(recorded)
        assert unsound(store) == []


def test_lines_of_earlier_versions_are_first_tries(tmp_path: Path) -> None:
    """A line without ``tried`` is a first try, as is one with an empty list."""
    path = tmp_path / "p.db"
    lines = b'["plan","x",1767268800000,{"success":true}]\n["plan","x",1767268800000,{"success":true,"tried":[]}]\n'
    path.with_name("p.waiting-1.jsonl").write_bytes(HEADER + lines)
    (tally,), sets = moved(path)
    assert (tally.successes, tally.later_successes, sets) == (2, 0, {})


@pytest.mark.parametrize("bad", BAD, ids=lambda text: text[:12])
def test_a_hostile_set_costs_its_line_only(tmp_path: Path, bad: str) -> None:
    """A line whose ``tried`` is not a list of up to eight model ids is set aside; the others count."""
    path = tmp_path / "p.db"
    good = '["plan","x",1767268800000,{"success":false,"tried":["z","y"]}]'
    line = f'["plan","x",1767268800000,{{"success":true,"tried":{bad}}}]'
    path.with_name("p.waiting-1.jsonl").write_bytes(HEADER + f"{good}\n{line}\n{good}\n".encode())
    (tally,), sets = moved(path)
    assert (tally.samples, tally.later_failures) == (2, 2)
    assert sets == {("plan", "x"): {("y", "z"): LaterTries(0, 2, 0)}}
    (aside,) = tmp_path.glob("p.unreadable-*.jsonl")
    assert aside.read_text() == f"{line}\n"


@given(st.binary(max_size=40))
@settings(max_examples=50, deadline=None)
def test_no_bytes_are_too_bad(tmp_path_factory: pytest.TempPathFactory, tried: bytes) -> None:
    """Whatever stands for ``tried``, the lines around it are read, and no line is dropped."""
    file = tmp_path_factory.mktemp("spool") / "p.waiting-1.jsonl"
    bad = b'["t","m",1767268800000,{"success":true,"tried":%s}]' % tried.replace(b"\n", b"")
    good = b'["t","m",1767268800000,{"success":true,"tried":["a"]}]'
    file.write_bytes(HEADER + good + b"\n" + bad + b"\n" + good + b"\n")
    batch = read_batch(file)
    assert batch is not None
    assert len(batch.entries) + len(batch.unreadable) == 3
    assert [each.tried for each in batch.entries if each.tried == ("a",)][:2] == [("a",), ("a",)]


SPOOLING = """
import sys, time
from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import open_with_fallback
from tests.store.later import mixed
store = open_with_fallback(sys.argv[1])
switch = store.connection
switch.handle(StoreFailedError("the disk is full"), switch.store)
switch._backoff._retry_at = float("inf")
for entry in mixed(10_000, seed=3):
    store.outcomes.record(entry)
    print(entry.tried, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 60, 300])
def test_a_host_that_is_killed_while_it_spools(tmp_path: Path, lines: int) -> None:
    """Every outcome that was acknowledged is in the database afterwards, as the try it was, once."""
    path = tmp_path / "p.db"
    with subprocess.Popen([sys.executable, "-c", SPOOLING, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        seen = lines + len(process.stdout.readlines())
    recorded = mixed(10_000, seed=3)
    results = [by_hand(recorded[: seen + more]) for more in (-1, 0, 1)]  # killed before or after it was printed
    assert moved(path) in results
    assert moved(path) in results


@pytest.mark.parametrize("cut", [1, 10, 40, 700])
def test_a_spool_file_that_was_cut(tmp_path: Path, cut: int) -> None:
    """Of a file that lost its end, the whole lines count, each as the try it was."""
    path, recorded = tmp_path / "p.db", mixed(40)
    spool = Spool(str(path), sync=False)
    spool.begin("the disk is full")
    for each in recorded:
        spool.append([each])
    spool.release()
    (file,) = waiting(path)
    content = file.read_bytes()
    file.write_bytes(content[:-cut])
    whole = content[:-cut].count(b"\n") - 1
    assert moved(path) == by_hand(recorded[:whole])


def test_a_line_names_what_had_failed(tmp_path: Path) -> None:
    """The format: ``tried`` is a list of model ids, and first tries have none, so earlier versions read their lines."""
    path = tmp_path / "p.db"
    with closing(open_with_fallback(path)) as store:
        fail(store)
        store.outcomes.record(later_try(tried=("y", "y", "z")))
        store.outcomes.record(later_try(tried=()))
        (file,) = waiting(path)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        file.unlink()
    assert lines[1][3]["tried"] == ["y", "y", "z"]
    assert "tried" not in lines[2][3]


def test_a_database_that_is_deleted_under_a_host(tmp_path: Path) -> None:
    """The outcomes of the last second are recorded again in the new file, as the tries they were."""
    path = tmp_path / "p.db"
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record(later_try())
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink()
        check_now(store)
        store.outcomes.record(later_try(success=False))
        assert counts(store)[1] == {("plan", "x"): {("y",): LaterTries(1, 1, 0)}}
        assert unsound(store) == []


def test_what_was_read_last_outlives_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """If nothing of the file is left, choices know the later tries that they have read before."""
    path, recorded = tmp_path / "p.db", mixed(60)
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record_many(recorded)
        before = [(store.tallies.of(name), store.tallies.later(name)) for name in ("build", "plan")]
        path.unlink()
        path.write_text("remember the milk and the bread\n" * 200)
        switch_of(store).handle(StoreFailedError("the disk is gone"), switch_of(store).store)
        switch_of(store)._backoff._retry_at = inf
        assert [(store.tallies.of(name), store.tallies.later(name)) for name in ("build", "plan")] == before
        assert store.degraded
