"""Lines of spool files that are not outcomes: each costs itself, and is kept for people."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.store import open_with_fallback
from modelperf_plugin.store.fallback.batches import read_batch
from modelperf_plugin.store.fallback.spool import waiting_for

HEADER = b'{"modelperf":1,"batch":"0123456789abcdef","reason":"the disk is full","since_ms":1767268800000}'
GOOD = b'["plan","a",1767268800000,{"success":true}]'
BAD = [
    b"[" * 200_000,
    b'["t","m",1.5,{"success":true}]',
    b'["t","m",true,{"success":true}]',
    b'["t","m",9223372036854775807,{"success":true}]',
    b'["t","m",1767268800000,{"success":true,"success":false}]',
    b'["t","m",1767268800000,{"success":true,"cost_usd":NaN}]',
    b'["t","m",1767268800000,{"success":true,"tokens_used":1e999}]',
    b'["t","m",1767268800000,{"success":true,"unknown":1}]',
    b'["t","m",1767268800000,[]]',
    b'["t\xff","m",1767268800000,{"success":true}]',
    rb'["t\ud800","m",1767268800000,{"success":true}]',
    b'["t","m",1767268800000,{}]',
    b"9" * 5000,
    b"",
    b"\xff\xfe",
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return where the database will be."""
    return tmp_path / "p.db"


def spool(database: Path, *lines: bytes, name: str = "0123456789abcdef") -> Path:
    """Write a spool file beside the database."""
    file = database.with_name(f"p.waiting-{name}.jsonl")
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


def recorded(database: Path) -> dict[str, int]:
    """Return the number of outcomes by model, after a host has moved in what waits."""
    store = open_with_fallback(database)
    try:
        return {tally.model_id: tally.samples for tally in store.tallies.all()}
    finally:
        store.close()


@pytest.mark.parametrize("bad", BAD, ids=lambda line: line[:40].decode("latin-1"))
def test_a_bad_line_costs_that_line(database: Path, bad: bytes) -> None:
    """The outcomes before and after it are moved in; it is kept in a private file that the health check names."""
    file = spool(database, HEADER, GOOD, bad, GOOD)
    assert recorded(database) == {"a": 2}
    aside = database.with_name("p.unreadable-0123456789abcdef.jsonl")
    assert (file.exists(), aside.read_bytes(), aside.stat().st_mode & 0o777) == (False, bad + b"\n", 0o600)
    (finding,) = waiting_for(str(database))
    assert (finding.ok, "1 line of spooled outcomes could not be read" in finding.message) == (False, True)
    assert str(aside) in finding.message


def test_a_bad_first_line_costs_no_outcome(database: Path) -> None:
    """The id of the batch is in the name of the file too: its outcomes are moved in, once."""
    for _ in range(2):
        spool(database, b"[" * 200_000, GOOD, GOOD, name="feed")
        assert recorded(database) == {"a": 2}


def test_a_batch_of_another_version_is_left_alone(database: Path) -> None:
    """What a later version writes, only that can read."""
    file = spool(database, HEADER.replace(b'"modelperf":1', b'"modelperf":2'), GOOD)
    assert recorded(database) == {}
    assert (file.exists(), read_batch(file)) == (True, None)


def test_what_is_not_a_file_is_not_read(database: Path) -> None:
    """A FIFO or a folder under the name of a spool file does not keep a host from starting."""
    os.mkfifo(database.with_name("p.waiting-1.jsonl"))
    database.with_name("p.waiting-2.jsonl").mkdir()
    spool(database, HEADER, GOOD)
    assert recorded(database) == {"a": 1}


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=5))
def test_no_bytes_are_too_bad(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Whatever the lines are, the good ones around them are read, and no line is dropped."""
    file = spool(tmp_path_factory.mktemp("spool") / "p.db", HEADER, GOOD, *lines, GOOD)
    batch = read_batch(file)
    assert batch is not None
    assert len(batch.entries) + len(batch.unreadable) == len(lines) + 2
    assert len(batch.entries) >= 2
