"""The write-ahead log does not stay at its high-water mark while a host runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import Entry, open_with_fallback
from modelperf_plugin.store.sqlite import file
from modelperf_plugin.values import Outcome

LIMIT = 1 << 20


def entry(number: int) -> Entry:
    """Return an outcome of a pair of its own, with a long name."""
    return Entry("t", f"{number:0300}", Outcome(success=True), 1)


@pytest.mark.parametrize("reading", [True, False], ids=["behind a reader", "in one transaction"])
def test_the_log_shrinks_while_the_host_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reading: bool) -> None:
    """What made it grow is over, for example a reader that stayed in a transaction: recording brings it back."""
    monkeypatch.setattr(file, "LOG_BYTES", LIMIT)
    path, log = tmp_path / "x.db", tmp_path / "x.db-wal"
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record(entry(0))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            if reading:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM model_outcomes").fetchall()
            store.outcomes.record_many(entry(number) for number in range(12_000))
        assert log.stat().st_size > 5 * LIMIT
        for number in range(3):
            store.outcomes.record(entry(number))
        assert log.stat().st_size <= LIMIT
