"""``compact``: reclaiming disk space."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from modelperf_plugin.store import open_store
from modelperf_plugin.store.opening import open_file
from tests.cli.conftest import RunJson, entry, samples


def test_compact_shrinks_the_file(run_json: RunJson, tmp_path: Path) -> None:
    """After outcomes were dropped the file shrinks, even while a host has it open, and everything adds up."""
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
    """A file created without support for shrinking is rewritten once and supports it from then on."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE model_outcomes (id INTEGER)")
        connection.execute("DROP TABLE model_outcomes")
    path.chmod(0o600)
    open_store(path).close()
    run_json("compact", "--store", str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
