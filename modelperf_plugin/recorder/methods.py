"""The recorder as methods of :class:`modelperf_plugin.ModelPerf`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from modelperf_plugin.config.rules import Labels
from modelperf_plugin.recorder import calls, streams
from modelperf_plugin.recorder.judging import Judgement, Options
from modelperf_plugin.recorder.learned import learned
from modelperf_plugin.recorder.link import EngineLink, check_models
from modelperf_plugin.recorder.streams import AsyncSource
from modelperf_plugin.recorder.task import Task, Verdict
from modelperf_plugin.values import check_id

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


class CallRecorder:
    """Runs a host's calls: chooses a model, falls back to the next, and records every try.

    The arguments mean the same everywhere:

    - ``models``: the candidates; in their order without an opinion of the engine (mode ``observe`` or ``off``, or a
      store that fails).
    - ``call``: called with a model id. With a plan (``[retries]``), as many tries as it has; otherwise the whole
      decision. Outages use up no try.
    - ``context``: as for ``select``.
    - ``check``: gets the answer and returns a bool, a score from 0 to 1, or None for no objection. An exception means
      that the answer cannot be used: the next model is tried.
    - ``usage``: gets the answer and returns a usage object of a client library, a number of tokens, or a mapping with
      ``tokens_used`` and ``cost_usd``, and with an ``error_kind`` if the answer is none, such as a refusal. By default
      it is looked up in the answer.
    - ``timeout``: seconds for each try. Do not set a limit around the call instead: it would look like a cancellation.

    If no model succeeds, the last exception is raised as it was, or the last answer returned that failed its check.
    ``caller_error`` and cancellation are raised at once. An invalid argument raises InvalidValueError; a failing store
    is logged once, and the call continues without it.
    """

    _link: EngineLink

    def task_type_for(self, labels: Labels, default: str = "default") -> str:
        """Return the task type of a call by its labels, for frameworks that have no task types.

        ``labels`` are a list of tags, or a mapping of metadata whose ``tags`` are tags. The metadata
        ``modelperf_task_type`` is a task type itself. Otherwise the first rule of ``[task_type_rules]`` that holds
        counts, and ``default`` if there is none. Values that are not text, numbers, truth values or lists of them
        match no rule, and neither does a text of more than 512 characters.

        Raises:
            InvalidValueError: an argument is invalid.
        """
        return self._link.task_type_for(labels) or check_id("default", default)

    def run(
        self,
        task_type: str,
        models: Iterable[str],
        call: Callable[[str], _R],
        *,
        context: Mapping[str, Any] | None = None,
        check: Callable[[_R], Judgement] | None = None,
        usage: Callable[[_R], Any] | None = None,
        timeout: float | None = None,
    ) -> _R:
        """Return what ``call(model)`` returns with the first model whose answer is good.

        With a ``timeout`` each call runs in a thread with a copy of the context; it is abandoned when the time is up.
        """
        options: Options[_R] = Options(context, check, usage, timeout)
        return calls.run(
            self._call(task_type, models, context), lambda attempt: call(attempt.model), options.checked(call)
        )

    async def arun(
        self,
        task_type: str,
        models: Iterable[str],
        call: Callable[[str], Awaitable[_R]],
        *,
        context: Mapping[str, Any] | None = None,
        check: Callable[[_R], Judgement | Awaitable[Judgement]] | None = None,
        usage: Callable[[_R], Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is for each try, not for the call
    ) -> _R:
        """Return what ``await call(model)`` returns with the first model whose answer is good.

        ``check`` may be asynchronous. The event loop never waits for others that use the store.
        """
        options: Options[_R] = Options(context, check, usage, timeout)
        return await calls.arun(
            self._call(task_type, models, context), lambda attempt: call(attempt.model), options.checked(call)
        )

    def stream(
        self,
        task_type: str,
        models: Iterable[str],
        call: Callable[[str], Iterable[_T]],
        *,
        context: Mapping[str, Any] | None = None,
        check: Callable[[list[_T]], Judgement] | None = None,
        usage: Callable[[_T], Any] | None = None,
        timeout: float | None = None,
    ) -> Generator[_T, None, None]:
        """Yield the chunks of ``call(model)``, of the first model with a chunk; it is recorded at the end.

        Chunks are read one at a time, when they are asked for. Closing early closes the stream, and is recorded as
        ``cancelled``. ``check`` gets the list of all chunks, which are only kept for it; what it says is recorded, but
        no other model follows. ``usage`` gets the last chunk. ``timeout`` is for the stream to begin and for each
        chunk. A stream of chunks with ``choices`` (openai) is a ``server_error`` without ``finish_reason``, and so is
        one without chunks.
        """
        options: Options[list[_T]] = Options(context, check, usage, timeout)
        return streams.stream(
            self._call(task_type, models, context), lambda attempt: call(attempt.model), options.checked(call)
        )

    def astream(
        self,
        task_type: str,
        models: Iterable[str],
        call: Callable[[str], AsyncSource[_T]],
        *,
        context: Mapping[str, Any] | None = None,
        check: Callable[[list[_T]], Judgement | Awaitable[Judgement]] | None = None,
        usage: Callable[[_T], Any] | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[_T, None]:
        """Do the same as :meth:`stream`, asynchronously: ``call`` returns an asynchronous iterator, or awaits one."""
        options: Options[list[_T]] = Options(context, check, usage, timeout)
        return streams.astream(
            self._call(task_type, models, context), lambda attempt: call(attempt.model), options.checked(call)
        )

    def task(
        self,
        task_type: str,
        models: Iterable[str],
        context: Mapping[str, Any] | None = None,
        verdict: Verdict = "call",
    ) -> Task:
        """Return a task for a loop of the host's own; a context manager, also with ``async with``.

        With ``verdict="call"`` an attempt without an exception is a success at once. With ``"later"`` it is not
        recorded before its verdict comes: by ``task.report``, or by :meth:`report` with ``task.ticket``.
        """
        return Task(self._link, task_type, models, context, verdict)

    def learned(
        self,
        task_type: str,
        models: Iterable[str],
        *,
        context: Mapping[str, Any] | None = None,
        check: Callable[[Any], Any] | None = None,
        usage: Callable[[Any], Any] | None = None,
        timeout: float | None = None,
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Decorate a function that takes ``model`` by keyword; it is run as by the method for its kind.

        For functions, coroutine functions, generators and asynchronous generators. Give ``model`` a default, so that
        type checkers let callers leave it out. A caller that passes ``model`` gets that one; it is recorded, too.
        """
        options: Options[Any] = Options(context, check, usage, timeout)
        offered = check_models(models)
        return learned(self._link, check_id("task_type", task_type), offered, options.checked())

    def _call(self, task_type: str, models: Iterable[str], context: Mapping[str, Any] | None) -> Task:
        """Return the task of one call: nobody asks for its ticket."""
        return Task(self._link, task_type, models, context, has_tickets=False)
