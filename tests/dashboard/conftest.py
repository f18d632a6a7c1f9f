"""Stores to look at: with everything in it, empty, with one outcome, with a thousand models."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.retrying import POLICY, Retried, retry_tasks

HOSTILE = "<script>alert('x')</script>\"&/../{{7*7}}"
TESTED = "answer-mail"
"""A task type with A/B tests."""
HOSTILE_TASK = "</title><img src=x onerror=alert(1)>?a=b&c#d %2f é 通义"


def fill(path: Path) -> str:
    """Write four weeks of work with hostile names, a change, a demotion, decisions; return a decision's id."""
    now = datetime.now(UTC)
    numbers = random.Random(3)
    moment = now - timedelta(days=28)
    last = ""
    with mp.ModelPerf({}, store=path, seed=5, clock=lambda: moment) as perf:
        for step in range(600):
            moment = now - timedelta(days=28) + timedelta(days=28) * step / 600
            task_type = ("write-code", HOSTILE_TASK)[step % 2]
            decision = perf.select(task_type, ["good", HOSTILE, "bad", "fading"])
            assert decision is not None
            rates = {"good": 0.85, HOSTILE: 0.7, "bad": 0.05, "fading": 0.95 if step < 300 else 0.3}
            outcome = mp.Outcome(success=numbers.random() < rates[decision.model_id], cost_usd=0.01 * len(rates))
            perf.record(task_type, decision.model_id, outcome, decision)
            last = decision.decision_id
        perf.store.changes.add("fading", "down", (1, 2), (int(moment.timestamp() * 1000) - 86_400_000,) * 2, 5e3, {})
        perf.store.demotions.add("write-code", "bad", int(moment.timestamp() * 1000), 0.5, 25.0, "surely below 50 %")
    _test(path, moment, numbers)
    return last


def _test(path: Path, moment: datetime, numbers: random.Random) -> None:
    """Run one A/B test with a winner, and one that continues."""
    split = {"strategy": "ab_test", "incumbent": "good", "challenger": ["fading", HOSTILE], "share": 0.5}
    rates = {"good": 0.4, "fading": 0.95, HOSTILE: 0.42}
    config = {"task_types": {TESTED: {"exploration": split}}}
    with mp.ModelPerf(config, store=path, seed=7, clock=lambda: moment) as perf:
        for _ in range(200):
            decision = perf.select(TESTED, list(rates))
            assert decision is not None
            perf.record(TESTED, decision.model_id, {"success": numbers.random() < rates[decision.model_id]}, decision)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the path of a store with everything in it, and the id of a decision."""
    path = tmp_path_factory.mktemp("dashboard") / "filled.db"
    return str(path), fill(path)


@pytest.fixture
def engine(filled: tuple[str, str]) -> Iterator[mp.ModelPerf]:
    """Return an engine on the filled store, as the command opens one."""
    with mp.ModelPerf({}, store=filled[0]) as opened:
        yield opened


@pytest.fixture(scope="session")
def retried(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Retried]:
    """Return the path of a store whose host tries again, and the ids of some decisions."""
    path = tmp_path_factory.mktemp("dashboard") / "retried.db"
    return str(path), retry_tasks(path)


@pytest.fixture
def retrying(retried: tuple[str, Retried]) -> Iterator[mp.ModelPerf]:
    """Return an engine on that store, with the policy of its host."""
    with mp.ModelPerf(POLICY, store=retried[0]) as opened:
        yield opened


@pytest.fixture(params=["empty", "one", "thousand"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine on a store that is empty, has one outcome, or a thousand models."""
    with mp.ModelPerf({}, store=tmp_path / "odd.db") as opened:
        for number in range({"empty": 0, "one": 1, "thousand": 1000}[request.param]):
            opened.tracker.record_outcome("plan", f"vendor/model-{number}", mp.Outcome(success=bool(number % 3)))
        yield opened
