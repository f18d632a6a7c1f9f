"""The tries of a task whose calls a framework makes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import modelperf_plugin as mp
from modelperf_plugin.adapters.common import engine_of, task_type_of
from modelperf_plugin.adapters.steps import Steps
from modelperf_plugin.recorder.ticket import Ticket
from tests.recorder.world import ProviderError, recorded, verdicts


def follow(perf: mp.ModelPerf, play: Callable[[Steps], Awaitable[None]]) -> Steps:
    """Return the steps of a task after ``play``."""
    steps = Steps(perf.task("t", ["a", "b"]))
    asyncio.run(play(steps))  # type: ignore[arg-type]  # all are coroutines
    return steps


def test_requests_to_one_model_are_one_try(perf: mp.ModelPerf) -> None:
    """Their tokens and costs add up, and the time between them is left out."""

    async def play(steps: Steps) -> None:
        for _ in range(2):
            await steps.begin()
            assert steps.is_requesting
            steps.pause({"total_tokens": 5}, 0.25)
            assert not steps.is_requesting
            await asyncio.sleep(0.3)
        await steps.judge(None, None)

    ticket = Ticket.read(follow(perf, play).ticket or "")
    assert recorded(perf)[0][:4] == ("a", "good", 10, 0.5)
    assert ticket.duration_seconds < 0.3


def test_there_is_no_ticket_while_a_model_is_at_work(perf: mp.ModelPerf) -> None:
    """That of an earlier try would be taken for the one of the answer."""

    async def play(steps: Steps) -> None:
        assert steps.ticket is None
        await steps.begin()
        assert await steps.fail(ProviderError(503)) == "b"
        await steps.begin()
        assert steps.ticket is None
        await steps.judge(lambda answer: answer == "x", "x")

    steps = follow(perf, play)
    assert Ticket.read(steps.ticket or "").model_id == "b"
    assert (steps.asked, verdicts(perf)) == (["a", "b"], [("a", "server_error"), ("b", "good")])


def test_the_first_reason_counts(perf: mp.ModelPerf) -> None:
    """What the end of a task says does not replace what an answer has said."""

    async def play(steps: Steps) -> None:
        await steps.begin()
        steps.doubt("refused")
        steps.doubt("server_error")
        await steps.end(ValueError(), "other")
        await steps.end(ValueError(), "other")

    follow(perf, play)
    assert verdicts(perf) == [("a", "refused")]


def test_after_a_wrong_request_none_follows(perf: mp.ModelPerf) -> None:
    """Also if nothing was raised."""

    async def play(steps: Steps) -> None:
        await steps.begin()
        assert await steps.reject("caller_error") is None

    follow(perf, play)
    assert verdicts(perf) == [("a", "caller_error")]


def test_a_task_without_a_request_has_no_outcome(perf: mp.ModelPerf) -> None:
    """A run that ends before its model is asked says nothing."""

    async def play(steps: Steps) -> None:
        await steps.choose()
        await steps.end(ValueError(), "other")
        await steps.judge(None, None)

    assert follow(perf, play).ticket is None
    assert verdicts(perf) == []


def test_an_engine_is_a_modelperf_or_returns_one(perf: mp.ModelPerf) -> None:
    """Everything else is refused with one message."""
    assert engine_of(perf) is engine_of(lambda: perf) is perf
    for wrong in (None, "perf", lambda: None):
        with pytest.raises(mp.InvalidValueError, match=r"^perf must be a ModelPerf"):
            engine_of(wrong)  # type: ignore[arg-type]


def test_what_was_said_comes_before_labels_and_names(perf: mp.ModelPerf) -> None:
    """The task type is the first that is there."""
    labels = {"modelperf_task_type": "label"}
    assert task_type_of(perf, "said", labels, "known") == "said"
    assert task_type_of(perf, None, labels, "known") == "label"
    assert task_type_of(perf, None, {}, "known") == "known"
    assert task_type_of(perf, None, {}) == "default"
