"""Calls that return a stream: one model after the other until there is a first chunk."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any, Final, TypeVar

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.recorder.judging import Options, StreamWatch, check_answer, check_answer_async
from modelperf_plugin.recorder.limits import Worker, limited
from modelperf_plugin.recorder.task import Attempt, Task

_T = TypeVar("_T")
AsyncSource = AsyncIterable[_T] | Awaitable[AsyncIterable[_T]]
"""An asynchronous stream, or what is awaited for one."""

_END: Final[Any] = object()


def stream(
    task: Task, call: Callable[[Attempt], Iterable[_T]], options: Options[list[_T]]
) -> Generator[_T, None, None]:
    """See :meth:`modelperf_plugin.ModelPerf.stream`; ``call`` gets the attempt."""
    with task:
        for model in task:
            with task.attempt(model) as attempt:
                watch: StreamWatch[_T] = StreamWatch(attempt, keeps=options.check is not None)
                yield from _chunks(partial(call, attempt), attempt, watch, options.timeout)
                watch.conclude(task.link, options.usage)
                check_answer(task.link, attempt, options.check, watch.chunks)


async def astream(
    task: Task, call: Callable[[Attempt], AsyncSource[_T]], options: Options[list[_T]]
) -> AsyncGenerator[_T, None]:
    """See :meth:`modelperf_plugin.ModelPerf.astream`; ``call`` gets the attempt."""
    async with task:
        for model in task:
            async with task.attempt(model) as attempt:
                watch: StreamWatch[_T] = StreamWatch(attempt, keeps=options.check is not None)
                away = 0.0
                async with limited(options.timeout):
                    source = await _opened(call(attempt))
                try:
                    chunks = aiter(source)
                    while (chunk := await _next(chunks, options.timeout)) is not _END:
                        watch.see(chunk)
                        left = time.perf_counter()
                        yield chunk
                        away += time.perf_counter() - left
                except BaseException:
                    attempt.stop(excluding=away)
                    await _aclose(source)
                    raise
                attempt.stop(excluding=away)
                watch.conclude(task.link, options.usage)
                await check_answer_async(task.link, attempt, options.check, watch.chunks)


def _chunks(
    call: Callable[[], Iterable[_T]], attempt: Attempt, watch: StreamWatch[_T], timeout: float | None
) -> Generator[_T, None, None]:
    """Yield the chunks of one stream, as they are asked for; closes it if it is not read to its end."""
    away = 0.0
    source: Iterable[_T] = ()
    with Worker(timeout) as worker:
        try:
            source = worker.call(call)
            ask = partial(next, iter(source), _END)
            while (chunk := worker.call(ask)) is not _END:
                watch.see(chunk)
                left = time.perf_counter()
                yield chunk
                away += time.perf_counter() - left
        except BaseException:
            attempt.stop(excluding=away)
            _close(source)
            raise
        attempt.stop(excluding=away)


async def _opened(source: AsyncSource[_T]) -> AsyncIterable[_T]:
    opened = source if hasattr(source, "__aiter__") or not isawaitable(source) else await source
    if not isinstance(opened, AsyncIterable):
        raise InvalidValueError("call", "a function that returns an asynchronous iterator; stream takes others", opened)
    return opened


async def _next(chunks: AsyncIterator[_T], seconds: float | None) -> _T:
    if seconds is None:
        return await anext(chunks, _END)
    async with limited(seconds):
        return await anext(chunks, _END)


def _close(source: Any) -> None:
    with suppress(Exception):  # what ended the stream is what the caller gets to know
        source.close()


async def _aclose(source: Any) -> None:
    with suppress(Exception):
        closing = source.aclose() if hasattr(source, "aclose") else source.close()
        if isawaitable(closing):
            await closing
