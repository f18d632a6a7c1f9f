"""One task whose calls a framework makes, step by step: the recorder's loop, turned inside out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.recorder.classifying import RAISED_AT_ONCE, FailureKind
from modelperf_plugin.recorder.judging import check_answer, check_answer_async
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.recorder.usage import cost_of, tokens_of


class Steps:
    """The tries of a task: one try is all requests to one model, until it fails or the task ends.

    The time between requests, in which tools run, is not the model's. Methods that end in ``_sync`` do the same as the
    others, for a framework that is not asynchronous.
    """

    def __init__(self, task: Task) -> None:
        """Choose a model for ``task`` when it is asked for."""
        self.model: str | None = None
        """The model to ask; None until it is chosen."""
        self.asked: list[str] = []
        """The models that were asked, in order."""
        self.is_over = False
        """Whether a try has failed, and no model follows."""
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
        """The ticket of the last try; None before it has ended."""
        return self._task.ticket if self._has_ended and self._attempt is None else None

    async def choose(self) -> str:
        """Return the model to ask; it is chosen once."""
        if self.model is None:
            await self._task.__aenter__()
        return self._chosen()

    def choose_sync(self) -> str:
        """Return the model to ask; it is chosen once."""
        if self.model is None:
            self._task.__enter__()
        return self._chosen()

    async def begin(self) -> str:
        """Begin a request; return the model to ask."""
        return self._begin(await self.choose())

    def begin_sync(self) -> str:
        """Begin a request; return the model to ask."""
        return self._begin(self.choose_sync())

    def pause(self, usage: Any, cost_usd: Any = None) -> None:
        """End a request, which has used ``usage``."""
        if self._attempt is not None:
            self._attempt.tokens_used += tokens_of(usage)
            self._attempt.cost_usd += cost_of(cost_usd)
            self._left = time.perf_counter()

    async def fail(self, error: BaseException) -> str | None:
        """Record the try, which has ended with ``error``; return the model that follows, if any."""
        return self._next(is_followed=await self._record(error))

    def fail_sync(self, error: BaseException) -> str | None:
        """Record the try, which has ended with ``error``; return the model that follows, if any."""
        return self._next(is_followed=self._record_sync(error))

    async def reject(self, kind: FailureKind) -> str | None:
        """Record the try, whose answer is none although nothing was raised; return the model that follows, if any."""
        self.doubt(kind)
        await self._record(None)
        return self._next(is_followed=kind not in RAISED_AT_ONCE)

    def reject_sync(self, kind: FailureKind) -> str | None:
        """Record the try, whose answer is none although nothing was raised; return the model that follows, if any."""
        self.doubt(kind)
        self._record_sync(None)
        return self._next(is_followed=kind not in RAISED_AT_ONCE)

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

    def judge_sync(self, check: Any, answer: Any) -> None:
        """Do the same as :meth:`judge`; raise InvalidValueError if the check is asynchronous."""
        if self._attempt is None:
            return
        self._stop()
        try:
            check_answer(self._task.link, self._attempt, check, answer)
        except InvalidValueError:
            raise
        except Exception:  # noqa: BLE001 - as above
            self.doubt("other")
        self._record_sync(None)

    async def end(self, error: BaseException, kind: FailureKind | None) -> None:
        """End the task with an error that says ``kind`` of the model, and record the try."""
        self.doubt(kind)
        await self._record(error)

    def _chosen(self) -> str:
        if self.model is None:
            self._models = iter(self._task)
            self.model = next(self._models)
        return self.model

    def _begin(self, model: str) -> str:
        if self._attempt is None:
            self.asked.append(model)
            self._attempt = self._task.attempt(model).__enter__()
        self._resume()
        return model

    def _next(self, *, is_followed: bool) -> str | None:
        following = next(self._models, None) if is_followed else None
        self.is_over = following is None
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
        attempt = self._ended()
        return attempt is not None and await attempt.__aexit__(*_details(error))

    def _record_sync(self, error: BaseException | None) -> bool:
        attempt = self._ended()
        return attempt is not None and attempt.__exit__(*_details(error))

    def _ended(self) -> Attempt | None:
        """Return the try, which has ended and is to be recorded; None without one."""
        if self._attempt is None:
            return None
        self._stop()
        attempt, self._attempt = self._attempt, None
        self._has_ended = True
        return attempt


def _details(
    error: BaseException | None,
) -> tuple[type[BaseException] | None, BaseException | None, TracebackType | None]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)
