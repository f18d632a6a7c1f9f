"""A store whose host tries again: tasks solved by a fallback, given up, retried in a second call, still open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import modelperf_plugin as mp
from modelperf_plugin.store import DecisionOutcome, DecisionRecord
from modelperf_plugin.values import PlannedTry, to_milliseconds

TASK_TYPE: Final = "fix-bug"
MODELS: Final = ["small", "medium", "large"]
POLICY: Final = {"retries": {"attempts": 3}, "cost": {"objective": "cheapest_within"}}
PLAN: Final = (
    PlannedTry("small", 1.0, 0.5, 0.002), PlannedTry("medium", 0.5, 0.4, 0.02), PlannedTry("large", 0.3, 0.2, None),
)  # fmt: skip
_COSTS: Final = {"small": 0.002, "medium": 0.02, "large": 0.2}


class Retried(NamedTuple):
    """The ids of some decisions."""

    solved: str
    """Its second try solved the task, as planned."""
    failed: str
    """All three tries failed."""
    first: str
    """Its two tries failed; the next decision follows it, and solved the task."""
    second: str
    waiting: str
    """Its first try has failed, the rest of its plan is due."""


def retry_tasks(path: Path | str) -> Retried:
    """Write an hour of tries, and these decisions at its end."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    with mp.ModelPerf(POLICY, store=path, seed=3, clock=lambda: moment) as perf:
        for number in range(60):
            moment += timedelta(seconds=50)
            _work(perf, _choose(perf), number % 3 == 0, number % 4 == 1, True)
        solved = _follow(perf, "5017ed", False, True)
        failed = _work(perf, _choose(perf), False, False, False)
        first = _work(perf, _choose(perf), False, False)
        second = _work(perf, _choose(perf, retry_of=first), True)
        waiting = _follow(perf, "3a171e9", False)
    return Retried(solved, failed, first, second, waiting)


def _choose(perf: mp.ModelPerf, **context: Any) -> mp.Decision:
    decision = perf.select(TASK_TYPE, MODELS, context)
    assert decision is not None
    return decision


def _follow(perf: mp.ModelPerf, decision_id: str, *successes: bool) -> str:
    """Log a decision with a plan and the tries that it led to, and return its id."""
    template = perf.explain(TASK_TYPE, MODELS)
    assert template is not None
    decision = replace(template, decision_id=decision_id, plan=PLAN, order=tuple(MODELS))
    at_ms = to_milliseconds(decision.created_at)
    tries = [DecisionOutcome(decision_id, *each, at_ms) for each in _outcomes(MODELS, successes)]
    perf.store.decisions.write([DecisionRecord.of(decision)], tries)
    return decision_id


def _work(perf: mp.ModelPerf, decision: mp.Decision, *successes: bool) -> str:
    """Report the tries of a decision up to its success, and return its id."""
    for model_id, outcome in _outcomes(decision, successes):
        perf.record(TASK_TYPE, model_id, outcome, decision)
    return decision.decision_id


def _outcomes(models: Sequence[str], successes: Sequence[bool]) -> Iterator[tuple[str, mp.Outcome]]:
    """Yield the outcome of each try, up to the first success."""
    for model_id, success in zip(models, successes, strict=False):
        outcome = mp.Outcome(
            success=success, timeout=not success and model_id == "small", tokens_used=1200, duration_seconds=12.5,
            cost_usd=_COSTS[model_id],
        )  # fmt: skip
        yield model_id, outcome
        if success:
            return
