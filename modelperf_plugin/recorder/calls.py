"""Calls that return: with one model after the other, until an answer is good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import TypeVar

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.recorder.judging import Options, check_answer, check_answer_async, examine
from modelperf_plugin.recorder.limits import Worker, limited
from modelperf_plugin.recorder.task import Attempt, Task

_R = TypeVar("_R")


def run(task: Task, call: Callable[[Attempt], _R], options: Options[_R]) -> _R:
    """See :meth:`modelperf_plugin.ModelPerf.run`; ``call`` gets the attempt."""
    result: _R
    with task:
        for model in task:
            with task.attempt(model) as attempt:
                result = _call(call, attempt, options.timeout)
                attempt.stop()
                if iscoroutine(result):
                    result.close()
                    raise InvalidValueError("call", "a function that returns a result; arun takes coroutines", result)
                examine(task.link, attempt, result, options.usage)
                check_answer(task.link, attempt, options.check, result)
    return result


async def arun(task: Task, call: Callable[[Attempt], Awaitable[_R]], options: Options[_R]) -> _R:
    """See :meth:`modelperf_plugin.ModelPerf.arun`; ``call`` gets the attempt."""
    result: _R
    async with task:
        for model in task:
            async with task.attempt(model) as attempt:
                async with limited(options.timeout):
                    result = await _awaitable(call(attempt))
                attempt.stop()
                examine(task.link, attempt, result, options.usage)
                await check_answer_async(task.link, attempt, options.check, result)
    return result


def _awaitable(result: Awaitable[_R]) -> Awaitable[_R]:
    """Return what a call has returned; raise InvalidValueError if it cannot be awaited."""
    if not isawaitable(result):
        raise InvalidValueError("call", "a function that returns an awaitable; run takes others", result)
    return result


def _call(call: Callable[[Attempt], _R], attempt: Attempt, timeout: float | None) -> _R:
    if timeout is None:
        return call(attempt)
    with Worker(timeout) as worker:
        return worker.call(partial(call, attempt))
