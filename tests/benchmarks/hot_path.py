"""One record and one choice through the hooks, beside the raw transaction in plain sqlite3.

Then what each feature adds: the same call with and without it, in turn, as a ratio of medians.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pluggy

import modelperf_plugin as mp
from tests.benchmarks.timing import interleaved, verdict

RECORD_GOAL = 0.95
CHOICE_GOAL_MICROSECONDS = 40.0
FRESH_CHOICE_GOAL_MICROSECONDS = 60.0
COUNT = 4000
FEATURE_COUNT, FEATURE_ROUNDS = 200, 15
WARM_UP = 1000
MODELS = [f"model-{number}" for number in range(10)]

DOCUMENT_SCHEMA = """
CREATE TABLE model_outcomes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_type TEXT NOT NULL, model_id TEXT NOT NULL, success INTEGER NOT NULL,
    timeout INTEGER NOT NULL DEFAULT 0, tokens_used INTEGER NOT NULL DEFAULT 0, cost_usd REAL NOT NULL DEFAULT 0.0,
    timestamp TEXT NOT NULL, FOREIGN KEY (task_type, model_id) REFERENCES model_stats(task_type, model_id)
);
CREATE INDEX idx_outcomes_task_model ON model_outcomes(task_type, model_id);
CREATE INDEX idx_outcomes_timestamp ON model_outcomes(timestamp DESC);
CREATE TABLE model_stats (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_type TEXT NOT NULL, model_id TEXT NOT NULL,
    successes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, timeouts INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0, total_cost REAL NOT NULL DEFAULT 0.0, last_used TEXT,
    UNIQUE(task_type, model_id)
);
CREATE INDEX idx_stats_task_model ON model_stats(task_type, model_id);
"""
INSERT = (
    "INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
UPSERT = (
    "INSERT INTO model_stats (task_type, model_id, successes, failures, timeouts, total_tokens, total_cost, last_used) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(task_type, model_id) DO UPDATE SET "
    "successes = successes + excluded.successes, failures = failures + excluded.failures, "
    "timeouts = timeouts + excluded.timeouts, total_tokens = total_tokens + excluded.total_tokens, "
    "total_cost = total_cost + excluded.total_cost, last_used = excluded.last_used"
)


class Raw:
    """The plain transaction with the document's schema, as one would write it: WAL, and the time of each outcome."""

    def __init__(self, path: Path, synchronous: str = "NORMAL") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.connection.executescript(DOCUMENT_SCHEMA)

    def record(self, number: int) -> None:
        """Record one outcome."""
        model_id, success, now = MODELS[number % 10], int(number % 3 > 0), datetime.now(UTC).isoformat()
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        execute(INSERT, ("execute-task", model_id, success, 0, 1200, 0.012, now))
        execute(UPSERT, ("execute-task", model_id, success, 1 - success, 0, 1200, 0.012, now))
        execute("COMMIT")


class Engine:
    """An engine with some outcomes, for the calls that are compared."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.engine = mp.ModelPerf(config, store=path, seed=1)
        for number in range(WARM_UP):
            self.record(number, duration_seconds=1.0 + number % 20)

    def record(self, number: int, decision: mp.Decision | None = None, **details: Any) -> None:
        """Record an outcome, by default of the ten models in turn."""
        model_id = MODELS[number % 10] if decision is None else decision.model_id
        outcome = mp.Outcome(success=number % 3 > 0, tokens_used=1200, cost_usd=0.012, **details)
        self.engine.record(f"task-{number // 10 % 5}", model_id, outcome, decision)

    def choose(self, number: int, context: dict[str, Any] | None = None) -> mp.Decision | None:
        """Choose among the ten models."""
        return self.engine.select(f"task-{number // 10 % 5}", MODELS, context)

    def choose_and_record(self, number: int) -> None:
        """Choose, and record an outcome of the choice."""
        self.record(number, self.choose(number))


def features(folder: Path) -> dict[str, float]:
    """Return for each feature the time of a call with it, as a ratio to the same call without."""
    aliases = {"original": {"aliases": [MODELS[2]]}}
    configs: dict[str, dict[str, Any]] = {
        "plain": {}, "aliases": {"models": aliases}, "budget": {"budget": {"usd": 900_000.0, "per": "day"}},
        "test": {"exploration": {"strategy": "ab_test"}},
    }  # fmt: skip
    with ExitStack() as stack:
        engines = {name: Engine(folder / f"{name}.db", config) for name, config in configs.items()}
        for each in engines.values():
            stack.enter_context(each.engine)
        plain, budget = engines["plain"], engines["budget"]
        calls: dict[str, Callable[[int], object]] = {
            "record": plain.record,
            "record, duration": lambda number: plain.record(number, duration_seconds=1.0 + number % 20),
            "record, score": lambda number: plain.record(number, score=number % 100 / 100),
            "record, budget": budget.record,
            "choice": plain.choose,
            "choice, alias": engines["aliases"].choose,
            "choice, budget": budget.choose,
            "choice, max_seconds": lambda number: plain.choose(number, {"max_seconds": 30.0}),
            "choice and record": plain.choose_and_record,
            "choice and record, A/B test": engines["test"].choose_and_record,
        }
        found = interleaved(calls, FEATURE_COUNT, FEATURE_ROUNDS)
    return {name: found[name] / found[name.partition(",")[0]] for name in found if "," in name}


def main() -> None:
    """Print p50 of a record (as a ratio to the raw transaction) and of a choice among ten candidates."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Raw(Path(folder) / "raw.db")
        pm = pluggy.PluginManager("benchmark")
        plugin = mp.register(pm, config={}, store=Path(folder) / "ours.db")

        def record(number: int) -> None:
            outcome = mp.Outcome(success=number % 3 > 0, tokens_used=1200, cost_usd=0.012)
            pm.hook.on_task_complete(
                task_type="execute-task", model_id=MODELS[number % 10], outcome=outcome, decision=None
            )

        def choose(_: int) -> object:
            return pm.hook.select_model(task_type="execute-task", candidates=MODELS, context=None)

        def record_and_choose(number: int) -> None:
            record(number)
            choose(number)

        found = interleaved(
            {"raw": raw.record, "record": record, "choose": choose, "record and choose": record_and_choose},
            COUNT,
        )
        if plugin.failure_count():
            raise SystemExit(f"{plugin.failure_count()} hook calls failed: the figures mean nothing")
        plugin.close()
        raw.connection.close()
    ratio = found["record"] / found["raw"]
    fresh = found["record and choose"] - found["record"]
    print(f"raw transaction          {found['raw']:7.1f} µs")
    print(
        f"record through the hook  {found['record']:7.1f} µs = {ratio:.2f} × raw "
        f"(goal ≤ {RECORD_GOAL} ×: {verdict(ratio, RECORD_GOAL)})"
    )
    for name, figure, goal in (
        ("choice of 10, nothing new", found["choose"], CHOICE_GOAL_MICROSECONDS),
        ("choice of 10 after a record", fresh, FRESH_CHOICE_GOAL_MICROSECONDS),
    ):
        print(f"{name:<28} {figure:5.1f} µs (goal ≤ {goal:g} µs: {verdict(figure, goal)})")
    with tempfile.TemporaryDirectory() as folder:
        for name, ratio in features(Path(folder)).items():
            print(f"{name:<28} {ratio:5.2f} × the same call without it")
