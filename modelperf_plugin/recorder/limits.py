"""Calls with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import copy_context
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Thread
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


def limited(seconds: float | None) -> AbstractAsyncContextManager[object]:
    """Return a context manager that raises TimeoutError after ``seconds``; a cancellation from outside passes as such.

    Without a limit any asynchronous library works, not only asyncio.
    """
    return nullcontext() if seconds is None else asyncio.timeout(seconds)


class Worker:
    """Calls functions with a time limit, in a thread with a copy of the caller's context; a context manager.

    A function that takes too long is abandoned: its thread ends with it, and never keeps the process alive. Without a
    limit there is no thread.
    """

    def __init__(self, seconds: float | None) -> None:
        """Start the thread, if there is a limit."""
        self._seconds = seconds
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        if seconds is None:
            return
        context = copy_context()
        Thread(target=context.run, args=(_work, self._jobs), name="modelperf-call", daemon=True).start()

    def call(self, function: Callable[[], _T]) -> _T:
        """Return what ``function`` returns, or raise what it raises; TimeoutError if it takes too long."""
        if self._seconds is None:
            return function()
        answer: Future[_T] = Future()
        self._jobs.put((function, answer))
        wait((answer,), min(self._seconds, TIMEOUT_MAX))
        if not answer.done():
            raise TimeoutError(f"the call took longer than {self._seconds:g} s")
        return answer.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._jobs.put(None)


def _work(jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (job := jobs.get()) is not None:
        function, answer = job
        try:
            answer.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            answer.set_exception(error)
        del job, function, answer  # the result is the caller's
