"""Fixtures and helpers of the command-line tests."""

from __future__ import annotations

import csv
import io
import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

import modelperf_plugin as mp
from modelperf_plugin.cli import modelperf
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, open_store
from modelperf_plugin.values import Decision, Outcome
from tests.retrying import Retried, retry_tasks

Run = Callable[..., Result]
RunJson = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove variables that affect colours and widths; restore the logger."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    logger = logging.getLogger("modelperf_plugin")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def run() -> Run:
    """Return a function that runs a command in this process; its output is not a terminal."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(modelperf, arguments, prog_name="modelperf", catch_exceptions=False)

    return invoke


@pytest.fixture
def run_json(run: Run) -> RunJson:
    """Return a function that runs a command with ``--json`` and returns what it printed."""

    def invoke(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
        result = run(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (exit_code, "")
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    return invoke


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Return the path of a store with outcomes of two task types."""
    path = str(tmp_path / "outcomes.db")
    with ModelPerformanceTracker(path) as tracker:
        for model_id, successes, failures in (("gpt-4o", 9, 3), ("claude-opus", 11, 1), ("llama-70b", 2, 10)):
            for number in range(successes + failures):
                outcome = Outcome(success=number < successes, tokens_used=1000, cost_usd=0.01)
                tracker.record_outcome("execute-task", model_id, outcome)
        tracker.record_outcome("plan-slice", "gpt-4o", Outcome(success=False, timeout=True))
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)  # so that no model is in back-off now
        outage = Outcome(success=False, error_kind="rate_limit", timestamp=an_hour_ago)
        tracker.record_outcome("plan-slice", "gpt-4o", outage)
    return path


RANDOM_POLICY = """# mine
[ranking]
strategy = "success_rate"
min_samples = 1000
[demotion]
strategy = "never"
[exploration]
strategy = "epsilon_greedy"
epsilon = 0.5
"""


@pytest.fixture
def live(tmp_path: Path) -> tuple[str, str]:
    """Return a configuration that draws at random, and the store with its log."""
    config, path, rng = tmp_path / "live.toml", str(tmp_path / "log.db"), Random(0)
    config.write_text(RANDOM_POLICY)
    with mp.ModelPerf(str(config), store=path, seed=0) as perf:
        for _ in range(600):
            decision = perf.select("plan", ["a", "b"])
            assert decision is not None
            success = rng.random() < {"a": 0.95, "b": 0.2}[decision[0]]
            perf.record("plan", decision[0], mp.Outcome(success=success), decision)
    return str(config), path


AB_TEST_CONFIG = """
[exploration]
strategy = "ab_test"
incumbent = "old"
challenger = ["[red]new", "newer"]
share = 0.5
"""


@pytest.fixture
def tested(tmp_path: Path) -> str:
    """Return a store with a test of two challengers, one of which has won."""
    (tmp_path / "modelperf.toml").write_text(AB_TEST_CONFIG)
    path = tmp_path / "tested.db"
    world, rates = random.Random(1), {"old": 0.4, "[red]new": 0.95, "newer": 0.42, "other": 0.5}
    with mp.ModelPerf(tmp_path / "modelperf.toml", store=path, seed=1) as perf:
        for _ in range(300):
            decision = perf.select("t", list(rates))
            assert decision is not None
            outcome = mp.Outcome(success=world.random() < rates[decision.model_id], tokens_used=2000, cost_usd=0.01)
            perf.record("t", decision.model_id, outcome, decision)
        perf.record("t", "other", mp.Outcome(success=False, timeout=True, error_kind="network"))
    return str(path)


CANDIDATES = ["gpt-4o", "claude-opus", "llama-70b"]
Choose = Callable[..., Decision]


@pytest.fixture
def choose(store: str) -> Choose:
    """Return a function that lets a host choose, some time ago, and record an outcome."""

    def _choose(
        outcome: Outcome | None = None, *, ago: timedelta = timedelta(0), task_type: str = "execute-task"
    ) -> Decision:
        moment = datetime.now(UTC) - ago
        with ModelPerf({}, store=store, clock=lambda: moment, seed=1) as engine:
            decision = engine.select(task_type, CANDIDATES, {"exclude": ["llama-70b"]})
            assert decision is not None
            if outcome is not None:
                engine.record(task_type, decision.model_id, outcome, decision)
        return decision

    return _choose


def log_copy(store: str, decision: Decision, decision_id: str, model_id: str | None = None) -> None:
    """Keep a decision like another under an id of its own, with an outcome if there is a model."""
    record = DecisionRecord.of(decision)._replace(decision_id=decision_id)
    ended = [] if model_id is None else [DecisionOutcome(decision_id, model_id, Outcome(success=True), record.made_ms)]
    with closing(open_store(store)) as opened:
        opened.decisions.write([record], ended)


@pytest.fixture
def watched(tmp_path: Path) -> str:
    """Return a store in which one model was demoted, and another has changed."""
    path = tmp_path / "watched.db"
    numbers = random.Random(1)
    with mp.ModelPerf({}, store=path) as perf:
        for rate in [0.9] * 300 + [0.2] * 60:
            perf.record("plan", "good", mp.Outcome(success=numbers.random() < 0.9))
            perf.record("plan", "[red]bad", mp.Outcome(success=numbers.random() < 0.1))
            perf.record("build", "fallen", mp.Outcome(success=numbers.random() < rate))
    return str(path)


def entry(days: int = 0) -> Entry:
    """Return an outcome that ended on some day of 1970."""
    return Entry("execute-task", "gpt-4o", Outcome(success=True), days * 86_400_000)


def samples(path: Path | str) -> int:
    """Return how many outcomes count in a file that is sound."""
    store = open_store(path)
    try:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
        return sum(tally.samples for tally in store.tallies.all())
    finally:
        store.close()


@pytest.fixture
def weeks(tmp_path: Path) -> str:
    """Return a store with three weeks of outcomes."""
    path = str(tmp_path / "weeks.db")
    now = datetime.now(UTC)
    with ModelPerformanceTracker(path) as tracker:
        for day in range(21):
            for model_id, rate in (("gpt-4o", 3), ("[red]x", 1)):
                for number in range(4):
                    moment = now - timedelta(days=day)
                    outcome = Outcome(success=number < rate, cost_usd=0.01, timestamp=moment)
                    tracker.record_outcome("plan", model_id, outcome)
        tracker.record_outcome("build", "gpt-4o", Outcome(success=True, timestamp=now))
    return path


@pytest.fixture
def retried(tmp_path: Path) -> tuple[str, Retried]:
    """Return a store whose host tries again, and the ids of some decisions."""
    path = str(tmp_path / "retried.db")
    return path, retry_tasks(path)


def csv_records(text: str) -> list[dict[str, str]]:
    """Return the records of a CSV answer."""
    return list(csv.DictReader(io.StringIO(text)))
