"""One task whose calls a framework makes, step by step: the recorder's loop, turned inside out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from modelperf_plugin.recorder.classifying import RAISED_AT_ONCE, FailureKind
from modelperf_plugin.recorder.judging import check_answer_async
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.recorder.usage import cost_of, tokens_of


class Steps:
    """The tries of a task: one try is all requests to one model, until it fails or the task ends.

    The time between requests, in which tools run, is not the model's.
    """

    def __init__(self, task: Task) -> None:
        """Choose a model for ``task`` when it is asked for."""
        self.model: str | None = None
        """The model to ask; None until it is chosen."""
        self.asked: list[str] = []
        """The models that were asked, in order."""
        self._task = task
        self._models: Iterator[str] = iter(())
        self._attempt: Attempt | None = None
        self._away = 0.0
        self._left: float | None = None
        """When the last request ended; None during one."""
        self._has_ended = False

    @property
    def is_requesting(self) -> bool:
        """Whether a model is being asked."""
        return self._attempt is not None and self._left is None

    @property
    def ticket(self) -> str | None:
        """The ticket of the last try; None before one has ended."""
        return self._task.ticket if self._has_ended else None

    async def choose(self) -> str:
        """Return the model to ask; it is chosen once."""
        if self.model is None:
            await self._task.__aenter__()
            self._models = iter(self._task)
            self.model = next(self._models)
        return self.model

    async def begin(self) -> None:
        """Begin a request to the model."""
        if self._attempt is None:
            self.asked.append(await self.choose())
            self._attempt = self._task.attempt(self.asked[-1])
            await self._attempt.__aenter__()
        self._resume()

    def pause(self, usage: Any, cost_usd: Any = None) -> None:
        """End a request, which has used ``usage``."""
        if self._attempt is not None:
            self._attempt.tokens_used += tokens_of(usage)
            self._attempt.cost_usd += cost_of(cost_usd)
            self._left = time.perf_counter()

    async def fail(self, error: BaseException) -> str | None:
        """Record the try, which has ended with ``error``; return the model that follows, if any."""
        is_followed = await self._record(error)
        return self._next() if is_followed else None

    async def reject(self, kind: FailureKind) -> str | None:
        """Record the try, whose answer is none although nothing was raised; return the model that follows, if any."""
        self.doubt(kind)
        await self._record(None)
        return None if kind in RAISED_AT_ONCE else self._next()

    def doubt(self, kind: FailureKind | None) -> None:
        """Note that the try has failed, although nothing was raised; the first reason counts, and no model follows."""
        if self._attempt is not None and self._attempt.failure is None:
            self._attempt.fail(kind)

    async def judge(self, check: Any, answer: Any) -> None:
        """End the task with an answer, record the try, and say what ``check`` thinks of it; never raises."""
        if self._attempt is None:
            return
        self._stop()
        try:
            await check_answer_async(self._task.link, self._attempt, check, answer)
        except Exception:  # noqa: BLE001 - the check has failed the attempt; the caller gets its answer
            self.doubt("other")
        await self._record(None)

    async def end(self, error: BaseException, kind: FailureKind | None) -> None:
        """End the task with an error that says ``kind`` of the model, and record the try."""
        self.doubt(kind)
        await self._record(error)

    def _next(self) -> str | None:
        following = next(self._models, None)
        if following is not None:
            self.model = following
        return following

    def _resume(self) -> None:
        if self._left is not None:
            self._away += time.perf_counter() - self._left
            self._left = None

    def _stop(self) -> None:
        self._resume()
        if self._attempt is not None:
            self._attempt.stop(excluding=self._away)
        self._away = 0.0

    async def _record(self, error: BaseException | None) -> bool:
        """Record the try; return whether another model follows after ``error``."""
        if self._attempt is None:
            return False
        self._stop()
        attempt, self._attempt = self._attempt, None
        if error is None:
            is_followed = await attempt.__aexit__(None, None, None)
        else:
            is_followed = await attempt.__aexit__(type(error), error, error.__traceback__)
        self._has_ended = True
        return is_followed
