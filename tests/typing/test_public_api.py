"""What a type checker sees of the public API. mypy and pyright check this file in CI; pytest runs it.

An unused ``type: ignore`` is an error for both, so each of them states that a wrong call is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, assert_type

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.recorder import Attempt, Task, classify, tokens_of
from modelperf_plugin.values import ErrorKind


def test_the_engine_is_typed() -> None:
    """Selecting, recording and explaining have exact types, and the engine is a context manager of its own type."""
    with mp.ModelPerf(store=":memory:", seed=1, clock=lambda: datetime.now(UTC)) as perf:
        assert_type(perf, mp.ModelPerf)
        assert_type(perf.config, mp.Config)
        decision = perf.select("execute-task", ["a", "b"], {"pin": "a"})
        assert_type(decision, mp.Decision | None)
        assert decision is not None
        assert_type(perf.record("execute-task", decision.model_id, mp.Outcome(success=True), decision), bool)
        assert_type(perf.record("execute-task", "a", {"success": False}, decision.decision_id), bool)
        assert_type(perf.record_many([("execute-task", "a", {"success": True})]), int)
        assert_type(perf.explain("execute-task"), mp.Decision | None)


def test_a_decision_is_a_typed_sequence() -> None:
    """A decision is a sequence of model ids; its ranking is a sequence of rows."""
    with mp.ModelPerf({"mode": "apply"}, store=":memory:", seed=1) as perf:
        decision = perf.select("execute-task", ("a", "b"), {"exclude": ["b"]})
    assert decision is not None
    assert_type(decision[0], str)
    assert_type(decision[1:], tuple[str, ...])
    assert_type(list(decision), list[str])
    assert_type(decision.model_id, str)
    assert_type(decision.propensity, float)
    assert_type(decision.propensities, dict[str, float])
    assert_type(decision.explored, bool)
    assert_type(decision.excluded, tuple[mp.Exclusion, ...])
    assert_type(decision.mode, Literal["apply", "observe", "off"])
    assert_type(decision.created_at, datetime)
    assert_type(decision.as_dict(), dict[str, Any])
    assert_type(decision.ranking, mp.Ranking)
    row = decision.ranking[0]
    assert_type(row, mp.RankedModel)
    assert_type(row.score, float | None)
    assert_type(row.interval, tuple[float, float] | None)
    assert_type(row.tally, mp.Tally)
    assert_type(row.tally.success_rate, float | None)
    assert_type(row.tally.last_used, datetime | None)


def test_the_tracker_is_typed() -> None:
    """The four questions of the tracker have exact types."""
    with mp.ModelPerformanceTracker(":memory:") as tracker:
        assert_type(tracker, mp.ModelPerformanceTracker)
        assert_type(tracker.record_outcome("execute-task", "a", mp.Outcome(success=True)), bool)
        assert_type(tracker.get_ranked_models("execute-task"), list[mp.Tally])
        assert_type(tracker.should_demote("execute-task", "a"), bool)
        assert_type(tracker.get_ab_test_candidates("execute-task"), mp.ABCandidates | None)


def test_registration_is_typed() -> None:
    """Registering returns the plugin, and the plugin gives access to the engine."""
    plugin = mp.register(pluggy.PluginManager("anyhost"), config={}, store=":memory:", seed=1)
    assert_type(plugin, mp.Plugin)
    assert_type(plugin.engine(), mp.ModelPerf)
    assert_type(plugin.failure_count(), int)
    assert_type(plugin.limitations, tuple[str, ...])
    plugin.close()


def test_errors_are_typed() -> None:
    """The attributes of errors have exact types, and every error is a ModelPerfError."""
    with pytest.raises(mp.ConfigError) as refused:
        mp.ModelPerf({"mod": "apply"}, store=":memory:")
    assert_type(refused.value.problems, tuple[mp.Problem, ...])
    error: mp.ModelPerfError = refused.value
    assert str(error)


def test_wrong_calls_are_refused() -> None:
    """Fields are keyword-only, error kinds are known names, values are frozen."""
    with pytest.raises(TypeError):
        mp.Outcome(True)  # type: ignore[call-arg]
    with pytest.raises(mp.InvalidValueError):
        mp.Outcome(success=True, error_kind="bad luck")  # type: ignore[arg-type]
    outcome = mp.Outcome(success=True)
    with pytest.raises(AttributeError):
        outcome.success = False  # type: ignore[misc]
    untyped: Mapping[str, object] = {"success": True}
    with mp.ModelPerf({}, store=":memory:") as perf:
        assert perf.record("execute-task", "a", untyped)
        with pytest.raises(mp.InvalidValueError):
            perf.select(7, ["a"])  # type: ignore[arg-type]


def test_the_recorder_is_typed() -> None:
    """A call's result is that of the function, chunks are those of its stream, and a decorator keeps the signature."""
    with mp.ModelPerf({}, store=":memory:", seed=1) as perf:
        assert_type(perf.run("qa", ["a"], len, check=lambda answer: answer > 0), int)
        with pytest.raises(AttributeError):
            perf.run("qa", ["a"], len, check=lambda answer: answer.upper())  # type: ignore[attr-defined]
        assert_type(list(perf.stream("qa", ["a"], lambda model: [model, model])), list[str])

        @perf.learned("qa", ["a"])
        def answer(question: str, *, model: str = "") -> int:
            return len(question + model)

        assert_type(answer("how long?"), int)
        with pytest.raises(TypeError):
            answer()  # type: ignore[call-arg]
        with perf.task("qa", ["a"], verdict="later") as task:
            assert_type(task, Task)
            for model in task:
                assert_type(model, str)
                with task.attempt(model) as attempt:
                    assert_type(attempt, Attempt)
        assert_type(task.decision, mp.Decision | None)
        assert_type(task.ticket, str)
        assert_type(task.report(True), bool)
        assert_type(perf.report(task.ticket, success=False), bool)
        with pytest.raises(mp.InvalidValueError):
            perf.task("qa", ["a"], verdict="never")  # type: ignore[arg-type]


async def answer_later(model: str) -> float:
    """Return a number that depends on the model."""
    return float(len(model))


async def chunks_later(model: str) -> AsyncIterator[bytes]:
    """Yield the model's name."""
    yield model.encode()


def test_the_asynchronous_recorder_is_typed() -> None:
    """What is awaited has the type of the coroutine's result; a coroutine is refused where none is awaited."""

    async def host(perf: mp.ModelPerf) -> None:
        assert_type(await perf.arun("qa", ["a"], answer_later, timeout=10.0), float)
        assert_type([chunk async for chunk in perf.astream("qa", ["a"], chunks_later)], list[bytes])
        with pytest.raises(mp.InvalidValueError):
            await perf.arun("qa", ["a"], len)  # type: ignore[arg-type]
        async with perf.task("qa", ["a"]) as task, task.attempt("a") as attempt:
            assert_type(attempt, Attempt)

    with mp.ModelPerf({}, store=":memory:", seed=1) as perf:
        asyncio.run(host(perf))


def test_errors_and_usage_are_typed() -> None:
    """What an error and a usage object say has an exact type."""
    assert_type(classify(TimeoutError()), ErrorKind | Literal["timeout"])
    assert_type(tokens_of(None), int)
