"""A database with rows in every table, some of which other programs then overwrite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import Attached, Entry, Merged, Step, Sums
from modelperf_plugin.store.ab_tests import Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.watches import WatchState
from modelperf_plugin.values import Outcome, Tally

NOON_MS: Final = 1_767_268_800_000
GOOD: Final = ("plan", "a")
"""The pair that nothing happens to."""
VICTIMS: Final = {"x", "y"}
"""The models of the rows that are overwritten."""


def fill(path: Path) -> None:
    """Create a database at ``path`` with rows in every table."""
    with ModelPerf({"log": {"share": 1.0}}, store=path, seed=1) as engine:
        for model_id in ("a", "b", "x", "y"):
            for number in range(3):
                decision = engine.select("plan", ["a", "b", "x", "y"])
                outcome = Outcome(
                    success=number > 0, tokens_used=5, cost_usd=0.1, outcome_id=f"{model_id}-{number}",
                    served_model=f"{model_id}-2026" if number else None,
                )  # fmt: skip
                engine.record("plan", model_id, outcome, decision)
        engine.record("plan", "x", Outcome(success=False, error_kind="other"))
    with closing(open_file(path)) as store:
        store.changes.add("x", "down", (1, 2), (NOON_MS, NOON_MS), 20.0, {"plan": 0.5})
        store.changes.add("y", "up", (3, 4), (NOON_MS, NOON_MS), 20.0, {"plan": 0.5})
        store.demotions.add("plan", "x", NOON_MS, 0.5, 30.0, "it fails")
        store.demotions.end("plan", "x", NOON_MS, "operator")
        store.watch_states.save(5, [WatchState("change", "", "x", (1.0, 2.0, 3.0, 4.0))])
        contests = (StoredContest("x", ()), StoredContest("y", ()))
        test = StoredTest(
            task_type="plan", fingerprint="f", incumbent="a", share=0.3, salt="s", alpha=0.05, min_samples=0,
            max_samples=10, promote=False, started_ms=NOON_MS, contests=contests,
        )  # fmt: skip
        store.ab_tests.begin(test)
        store.imports.add_sums(Step("json", "old.json", "d", 1, 0, 0, NOON_MS), [Sums("plan", "x", 7, 3)])
        store.imports.add_sums(Step("json", "more.json", "e", 1, 0, 0, NOON_MS), [Sums("plan", "y", 7, 3)])
        row = (store.imports.pair_id("plan", "b"), NOON_MS, 1, 0, 5, 0, None, None, None, ())
        store.imports.add_events(Step("csv", "history.csv", "f", 1, 0, 0, NOON_MS), [row])
        store.attachments.add(Attached(str(path.with_name("none.db")), "outcomes", {}, NOON_MS))
        merged = Merged(0, "theirs", "0123", "d", 10.0, NOON_MS, 0, 0)
        store.merged.add(merged, [Tally("plan", "a", 5, 5), Tally("plan", "x", 5, 5)])
        store.problems.add(CountedProblem("on_task_complete", "it failed", 1, NOON_MS, NOON_MS))
        for model_id in ("a", "x"):
            store.spending.mark_estimated(model_id, 20_000)
        for model_id in ("b", "x"):
            store.outcomes.record(Entry("plan", model_id, Outcome(success=False), NOON_MS, ("a", "y")))
        store.outcomes.record(Entry("plan", "y", Outcome(success=True), NOON_MS, ("a", "x")))
        store.outcomes.ingest_batch("batch", [Entry("plan", "x", Outcome(success=True), NOON_MS)])
        store.outcomes.record(Entry("plan", "b", Outcome(success=False, error_kind="other", outcome_id="b-2"), NOON_MS))
        store.outcomes.record(Entry("plan", "b", Outcome(success=True, outcome_id="b-2"), NOON_MS))
        store.decisions.report("0" * 20, Outcome(success=True), NOON_MS)
        counted = (1.0, 1.0, *[0.0] * 7)
        store.ab_tests.advance(
            store.ab_tests.all()[0].test_id,
            None,
            lambda test: [contest._replace(state=counted) for contest in test.contests],
            lambda: (store.decisions.newest()[0].decision_id, NOON_MS, {"x": Stake(1.0, "A", 0.5, True, ())}),
        )
        store.decisions.write([], [DecisionOutcome("not-logged", "x", Outcome(success=True), NOON_MS)])
        for first in store.decisions.newest():
            failed = [DecisionOutcome(first.decision_id, each, Outcome(success=False), NOON_MS) for each in "xy"]
            follow_up = DecisionRecord(
                f"after-{first.decision_id}", NOON_MS, "plan", "x", 1.0, False, 0.0, "apply", "p", "{}",
                first.decision_id,
            )  # fmt: skip
            store.decisions.write([follow_up], failed)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO edit (kind, edited_ms, subject, outcomes) VALUES ('forget', ?, '{}', 0)", (NOON_MS,)
        )


def columns_of(path: Path, *kinds: str) -> list[tuple[str, str]]:
    """Return every column of these types in the file, with its table."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
        return [
            (table, column)
            for (table,) in tables.fetchall()
            for column, kind in connection.execute(f"SELECT name, type FROM pragma_table_info('{table}')")
            if kind in kinds
        ]


def overwrite(path: Path, table: str, column: str, content: bytes | float) -> bool:
    """Write ``content``, bytes as text, into a column of the last row; return whether SQLite accepts it.

    Last in the order of the rows, so that it is one of the victims, wherever the table has names.
    """
    keys = "rowid" if _has_row_ids(path, table) else ", ".join(_key(path, table))
    value = "CAST(? AS TEXT)" if isinstance(content, bytes) else "?"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = {value} WHERE ({keys}) = "
                f"(SELECT {keys} FROM {table} ORDER BY {keys} DESC LIMIT 1)",
                (content,),
            )
        except sqlite3.IntegrityError:
            return False
        return True


def _has_row_ids(path: Path, table: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT NOT wr FROM pragma_table_list WHERE name = ? AND schema = 'main'"
        found: bool = connection.execute(query, (table,)).fetchone()[0]
        return found


def _key(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
        return [name for (name,) in connection.execute(query, (table,))]
