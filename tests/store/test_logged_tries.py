"""The tries in the decision log of older and of damaged files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.store import DecisionOutcome, DecisionRecord, JoinedOutcome, open_store
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.salvage import salvage
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import Outcome
from tests.store.faults import damage, pages_of

NOON_MS = 1_767_268_800_000
RECORD = json.dumps({"ranking_strategy": "posterior", "reason": "best", "candidates": [], "excluded": []})


def made(number: int, retry_of: str | None = None) -> DecisionRecord:
    """Return a decision for ``a``."""
    at_ms = NOON_MS + number
    return DecisionRecord(f"{number:020x}", at_ms, "t", "a", 1.0, False, 0.0, "apply", "p", RECORD, retry_of)


def ended(number: int, model_id: str) -> DecisionOutcome:
    """Return a failure under a decision."""
    outcome = Outcome(success=False, tokens_used=number, duration_seconds=1.5)
    return DecisionOutcome(f"{number:020x}", model_id, outcome, NOON_MS + 1000 + number)


def write_version_10(path: Path) -> None:
    """Create a file as the version before wrote it: a decision with its outcome, one without, and one that waits."""
    columns = "id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record"
    outcome = "outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd"
    row: tuple[Any, ...] = ("d1", NOON_MS, "t", "a", 1.0, 0, 0.0, "apply", "p", RECORD)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:10]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 10")
        connection.execute(
            f"INSERT INTO decision ({columns}, {outcome}) VALUES ({', '.join('?' * 16)})",
            (*row, "b", NOON_MS + 5, 0, 0, 7, 0),
        )
        connection.execute(
            f"INSERT INTO decision ({columns}) VALUES ({', '.join('?' * 10)})",
            ("d2", *row[1:]),
        )
        connection.execute(
            "INSERT INTO unmatched_outcome (decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd) "
            "VALUES ('d3', 'b', ?, 0, 0, 7, 0)",
            (NOON_MS + 5,),
        )


def test_a_log_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its outcome is the first try, whose duration is not known; further ones are added, and waiting ones joined."""
    path = tmp_path / "old.db"
    write_version_10(path)
    path.chmod(0o600)
    with closing(open_store(path)) as store:
        old = store.decisions.get("d1")
        assert old is not None
        assert old.tries == (old.outcome,) == (JoinedOutcome("b", NOON_MS + 5, False, False, 7, 0, None),)
        assert (old.retry_of, old.tried, old.attempt, old.plan) == (None, (), 1, ())
        late = DecisionOutcome("d3", "b", Outcome(success=False, duration_seconds=2.0), NOON_MS + 6)
        assert [each.ended_ms for each in store.unmatched.of("d3")] == [NOON_MS + 5]
        store.decisions.write([], [late, late._replace(decision_id="d1", model_id="a")])
        store.decisions.write([made(0)._replace(decision_id="d3")], [])
        joined, waited = store.decisions.get("d1"), store.decisions.get("d3")
        assert joined is not None
        assert waited is not None
        assert [(each.model_id, each.duration_ms) for each in joined.tries] == [("b", None), ("a", 2000)]
        assert joined.outcome == joined.tries[1]
        assert [(each.model_id, each.duration_ms) for each in waited.tries] == [("b", None), ("b", 2000)]
        empty = store.decisions.get("d2")
        assert empty is not None
        assert (empty.outcome, empty.tries) == (None, ())
        assert [each.name for each in store.maintenance.check() if not each.ok] == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file with tasks of three tries and a follow-up each."""
    path = tmp_path / "outcomes.db"
    with closing(open_file(path)) as store:
        for number in range(0, 600, 2):
            decisions = [made(number), made(number + 1, f"{number:020x}")]
            store.decisions.write(decisions, [ended(number, each) for each in "bac"] + [ended(number + 1, "a")])
        store.outcomes.ingest_batch("batch", [])
    return path


def tries(path: Path) -> dict[str, list[str]]:
    """Return the models tried under each decision that can be found as the follow-up of another."""
    with closing(open_store(path)) as store:
        found = {each.decision_id: [one.model_id for one in each.tries] for each in store.decisions.newest(limit=1000)}
        followed = {each for each in found if store.decisions.follow_ups(each)}
        assert len(followed) == sum(int(each, 16) % 2 == 0 and f"{int(each, 16) + 1:020x}" in found for each in found)
        return found


@pytest.mark.parametrize("destroyed", ["header", "decision_by_retry", "sqlite_autoindex_decision_1", "tally"])
def test_salvage_keeps_every_try(path: Path, destroyed: str) -> None:
    """Tries and follow-ups are those of before, and no row of an index is taken for something else."""
    before = tries(path)
    assert list(before.values()) == [["a"], ["b", "a", "c"]] * 300
    overwrite(path, destroyed)
    salvage(str(path))
    assert tries(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT batch_id FROM moved").fetchall() == [("batch",)]
        assert connection.execute("SELECT count(*) FROM outcome_key").fetchone() == (0,)


def test_salvage_keeps_no_try_of_a_lost_decision(path: Path) -> None:
    """What is left of the decisions keeps its tries; those of lost ones could never be found, nor deleted."""
    before = tries(path)
    overwrite(path, "decision")
    salvage(str(path))
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM attempt WHERE decision_id NOT IN (SELECT id FROM decision)"
        assert connection.execute(query).fetchone() == (0,)
        kept = {decision_id for (decision_id,) in connection.execute("SELECT id FROM decision")}
    assert 0 < len(kept) < len(before)
    with closing(open_store(path)) as store:
        for decision_id in kept:
            decision = store.decisions.get(decision_id)
            assert decision is not None
            assert [each.model_id for each in decision.tries] == before[decision_id]


def overwrite(path: Path, part: str) -> None:
    """Overwrite the header of the file, or the first pages of a table or index, with noise."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path, pages_of(path, part)[:3])
    if part == "header":
        with path.open("r+b") as file:
            file.write(b"\0" * 100)
