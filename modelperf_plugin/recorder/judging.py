"""Whether the answer of a call is good, and what the call has used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from inspect import isawaitable, iscoroutine
from numbers import Real
from typing import Any, Final, Generic, NamedTuple, TypeVar

from modelperf_plugin.errors import HostCodeError, InvalidValueError
from modelperf_plugin.recorder.link import EngineLink
from modelperf_plugin.recorder.task import Attempt
from modelperf_plugin.recorder.usage import Usage, field, usage_as_given, usage_field, usage_in
from modelperf_plugin.values import check_amount

Judgement = bool | float | None
"""Whether an answer is good: a bool, a score from 0 to 1, or None for no objection."""

_FILTERED: Final = "content_filter"
"""The ``finish_reason`` of an answer that a filter has cut or emptied."""

_R = TypeVar("_R")
_T = TypeVar("_T")


class Options(NamedTuple, Generic[_R]):
    """What a host says about its calls, whose answers are of type ``_R``."""

    context: Mapping[str, Any] | None = None
    check: Callable[[_R], Judgement | Awaitable[Judgement]] | None = None
    usage: Callable[[Any], Any] | None = None
    timeout: float | None = None

    def checked(self, call: Callable[[str], Any] | None = None) -> Options[_R]:
        """Return these options; raise InvalidValueError if one of them, or ``call``, is not possible."""
        for name, value in (("call", call), ("check", self.check), ("usage", self.usage)):
            if value is not None and not callable(value):
                raise InvalidValueError(name, "a function", value)
        seconds = 0.0
        with suppress(InvalidValueError):
            seconds = 1.0 if self.timeout is None else check_amount("timeout", self.timeout)
        if seconds <= 0.0:
            raise InvalidValueError("timeout", "a positive number of seconds, or None", self.timeout)
        return self


def examine(link: EngineLink, attempt: Attempt, result: Any, usage: Callable[[Any], Any] | None) -> None:
    """Note what a result says by itself: what was used, and whether a filter has refused it."""
    try:
        found = usage_in(result) if usage is None else usage_as_given(usage(result))
    except Exception as error:  # noqa: BLE001 - it is the host's code
        link.note("an outcome lacks tokens and cost", HostCodeError("usage", error, "tokens and cost are unknown"))
        found = Usage()
    attempt.tokens_used, attempt.cost_usd = found.tokens, found.cost_usd
    attempt.output_tokens, attempt.served_model = found.output, found.served or attempt.served_model
    if found.error_kind is not None:
        _fail(link, attempt, found.error_kind)
    if _FILTERED in _finish_reasons(result):
        attempt.fail("refused")


def check_answer(link: EngineLink, attempt: Attempt, check: Callable[[_R], Any] | None, answer: _R) -> None:
    """Ask the host whether an answer is good, unless the attempt has failed already.

    An exception of ``check`` is raised, and the attempt has failed.
    """
    if check is None or attempt.failure is not None:
        return
    verdict = _asked(attempt, check, answer)
    if iscoroutine(verdict):
        verdict.close()
        raise InvalidValueError("check", "a function that is not asynchronous; arun and astream take one", verdict)
    _take(link, attempt, verdict)


async def check_answer_async(link: EngineLink, attempt: Attempt, check: Callable[[_R], Any] | None, answer: _R) -> None:
    """As :func:`check_answer`; the check may be asynchronous."""
    if check is None or attempt.failure is not None:
        return
    verdict = _asked(attempt, check, answer)
    if isawaitable(verdict):
        try:
            verdict = await verdict
        except Exception:
            attempt.fail("other")
            raise
    _take(link, attempt, verdict)


class StreamWatch(Generic[_T]):
    """Follows the chunks of a stream, to judge it at its end. Keeps the chunks only if they are asked for."""

    def __init__(self, attempt: Attempt, *, keeps: bool) -> None:
        """Follow the stream of an attempt."""
        self.chunks: list[_T] = []
        """All chunks, if they are kept."""
        self._attempt = attempt
        self._keeps = keeps
        self._last: Any = None
        self._last_with_usage: Any = None
        self._has_choices = False
        self._finish_reason: Any = None

    def see(self, chunk: _T) -> None:
        """Take in a chunk: from now on no other model follows."""
        self._attempt.commit()
        self._last = chunk
        if self._keeps:
            self.chunks.append(chunk)
        if isinstance(chunk, (str, bytes)):
            return
        if usage_field(chunk) is not None:
            self._last_with_usage = chunk
        if field(chunk, "choices") is not None:
            self._has_choices = True
            self._finish_reason = next(filter(None, _finish_reasons(chunk)), self._finish_reason)

    def conclude(self, link: EngineLink, usage: Callable[[Any], Any] | None) -> None:
        """Note what the whole stream says by itself: without a ``finish_reason`` it was cut off."""
        with_usage = self._last if self._last_with_usage is None or usage is not None else self._last_with_usage
        if self._attempt.is_committed:
            examine(link, self._attempt, with_usage, usage)
        if self._finish_reason == _FILTERED:
            self._attempt.fail("refused")
        elif (self._has_choices and self._finish_reason is None) or not (self._attempt.is_committed or self._keeps):
            self._attempt.fail("server_error")


def _fail(link: EngineLink, attempt: Attempt, kind: Any) -> None:
    """Note why an answer is none; a reason that is not known is another one."""
    try:
        attempt.fail(kind)
    except InvalidValueError as error:
        link.note("the answer of a call counts as a failure of the kind other", error)
        attempt.fail("other")


def _asked(attempt: Attempt, check: Callable[[_R], Any], answer: _R) -> Any:
    try:
        return check(answer)
    except Exception:
        attempt.fail("other")  # the answer cannot be used, whatever kind of error says so
        raise


def _take(link: EngineLink, attempt: Attempt, verdict: Any) -> None:
    """Note what a check has said."""
    if verdict is True or verdict is None:
        return
    if isinstance(verdict, Real) and not isinstance(verdict, int):  # numpy's numbers, too
        try:
            attempt.score(float(verdict))
        except InvalidValueError as error:
            link.note("an answer counts as good, because its check has returned no score", error)
    elif not verdict:
        attempt.fail()


def _finish_reasons(result: Any) -> list[Any]:
    """Return why the choices of an answer or a chunk ended, as openai's say it; none if it has no choices."""
    choices = None if isinstance(result, (str, bytes)) else field(result, "choices")
    return [field(choice, "finish_reason") for choice in choices] if isinstance(choices, (list, tuple)) else []
