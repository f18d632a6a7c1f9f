"""pydantic-ai: a capability that chooses the model of each run, falls back, and records what became of the run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, Final, Self

from modelperf_plugin.adapters.common import TICKET_KEY, Perf, engine_of, offered_by_name, task_type_of
from modelperf_plugin.adapters.steps import Steps
from modelperf_plugin.errors import InvalidValueError, MissingExtraError
from modelperf_plugin.recorder.classifying import FailureKind, classify
from modelperf_plugin.recorder.judging import Judgement
from modelperf_plugin.values import check_id

try:
    from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
    from pydantic_ai.exceptions import (
        AgentRunError,
        ConcurrencyLimitExceeded,
        ContentFilterError,
        ModelAPIError,
        RetryModelRequest,
        RunCancelled,
        UsageLimitExceeded,
    )
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.wrapper import WrapperModel
except ImportError as error:
    raise MissingExtraError("pydantic-ai", "pydantic-ai") from error

__all__ = ["learned", "ticket_of"]

_LIMITS: Final = (UsageLimitExceeded, ConcurrencyLimitExceeded)
"""Limits of the host's own: no other model would change them."""


def learned(
    perf: Perf,
    models: Iterable[str] | Mapping[str, Model | str],
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    check: Callable[[Any], Judgement | Awaitable[Judgement]] | None = None,
) -> AbstractCapability[Any]:
    """Return a capability that chooses the model of each run: ``Agent(…, capabilities=[learned(perf, models)])``.

    A model is chosen once for each run. Another one follows if a request fails or is refused, and is used for the rest
    of the run. A run, or ``agent.override``, that names a model gets that one, and is not recorded.

    Args:
        perf: the engine, or a function that returns it.
        models: names as pydantic-ai knows them, or a mapping from model ids to models.
        task_type: by default what the metadata of the run say, by ``modelperf_task_type`` or by the rules of the
            configuration, or else the name of the agent.
        context: as for ``select``.
        check: gets the output of a run and says whether it is good: a bool, a score from 0 to 1, or None for no
            objection. It may be asynchronous. If it raises, the run counts as failed, and nothing is raised.

    Raises:
        InvalidValueError: there are no models, or an argument is invalid.
    """
    offered = offered_by_name(models)
    if task_type is not None:
        check_id("task_type", task_type)
    if check is not None and not callable(check):
        raise InvalidValueError("check", "a function", check)
    return _LearnedModel(perf, offered, task_type, context, check)


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of a run, for ``perf.report``: None without one, or before the run has ended.

    Takes the result of a run, its last response, or messages: the ticket is in the metadata of the response, and so in
    a history that was stored.
    """
    response = answer if isinstance(answer, ModelResponse) else _last_response(answer)
    ticket = None if response is None else (response.metadata or {}).get(TICKET_KEY)
    return ticket if isinstance(ticket, str) else None


class _Marked(WrapperModel):
    """Gives the responses of streams metadata in which a ticket can be put once the run has ended."""

    def __init__(self, wrapped: Model, metadata: dict[str, Any]) -> None:
        super().__init__(wrapped)
        self._metadata = metadata

    @asynccontextmanager
    async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        """Open a stream of the wrapped model."""
        async with self.wrapped.request_stream(*args, **kwargs) as stream:
            if stream.metadata is None:
                stream.metadata = self._metadata
            yield stream


class _LearnedModel(AbstractCapability[Any]):
    """Translates what happens in a run into the tries of a task."""

    def __init__(
        self,
        perf: Perf,
        offered: dict[str, Model | str],
        task_type: str | None,
        context: Mapping[str, Any] | None,
        check: Callable[[Any], Judgement | Awaitable[Judgement]] | None,
    ) -> None:
        super().__init__()
        self._perf = perf
        self._offered = offered
        self._task_type = task_type
        self._context = context
        self._check = check
        self.steps: Steps | None = None
        """The tries of one run; None outside of one."""
        self._is_serving = False
        """Whether the request under way goes to the model that was chosen."""
        self.stream_metadata: dict[str, Any] = {}
        """Shared by the responses of all streams of one run."""

    def get_ordering(self) -> CapabilityOrdering:
        """Be the first to hear of errors and answers, before other capabilities change them."""
        return CapabilityOrdering(position="innermost")

    async def for_run(self, ctx: Any) -> Self:
        """Return a copy for one run."""
        engine = engine_of(self._perf)
        agent = None if ctx.agent is None else ctx.agent.name
        labels = {"agent": agent, **(ctx.metadata or {})}
        task_type = task_type_of(engine, self._task_type, labels, agent)
        run = copy(self)
        run.stream_metadata = {}
        run.steps = Steps(engine.task(task_type, self._offered, self._context))
        return run

    def get_model(self) -> Any:
        """Return how to select a model; before the run, any of them will do."""
        return next(iter(self._offered.values())) if self.steps is None else self._select

    async def _select(self, _ctx: Any) -> Model | str:
        # Asked only if the run names no model of its own.
        assert self.steps is not None  # noqa: S101 - get_model has seen to it
        return self._offered[await self.steps.choose()]

    def get_wrapper_model(self, model: Model) -> Model | None:
        """Have streams carry the ticket."""
        return _Marked(model, self.stream_metadata) if self._is_serving else None

    async def prepare_model_request(self, ctx: Any, request_context: Any) -> Any:  # noqa: ARG002
        """Note that a model is asked."""
        steps = self.steps
        self._is_serving = steps is not None and steps.model is not None and self._is_chosen(request_context)
        if steps is not None and self._is_serving:
            await steps.begin()
        return request_context

    async def on_model_request_error(self, ctx: Any, *, request_context: Any, error: Exception) -> Any:  # noqa: ARG002
        """Record an error, and have the next model asked."""
        if self.steps is not None and self._is_serving and not isinstance(error, _LIMITS):
            following = await self.steps.fail(error)
            if following is not None:
                raise RetryModelRequest(self._offered[following])
        raise error

    async def after_model_request(self, ctx: Any, *, request_context: Any, response: Any) -> Any:  # noqa: ARG002
        """Note what a response has used, and whether it is one."""
        steps = self.steps
        if steps is None or not self._is_serving:
            return response
        steps.pause(response.usage, response.usage.cost, response.model_name)
        kind = _failure_in(request_context, response)
        if kind is not None and request_context.streaming:
            steps.doubt(kind)
        elif kind is not None and (following := await steps.reject(kind)) is not None:
            raise RetryModelRequest(self._offered[following])
        return response

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Awaitable[Any]]) -> Any:
        """Record the verdict of the framework on the whole run."""
        steps = self.steps
        if steps is None:
            return await handler()
        try:
            result = await handler()
        except BaseException as error:
            await steps.end(error, _kind_of(error, ctx, is_requesting=steps.is_requesting))
            raise
        await steps.judge(self._check, result.output)
        if (ticket := steps.ticket) is not None:
            self.stream_metadata[TICKET_KEY] = ticket
            if (response := _last_response(result)) is not None:
                response.metadata = {**(response.metadata or {}), TICKET_KEY: ticket}
        return result

    def _is_chosen(self, request_context: Any) -> bool:
        """Return whether a request goes to the model that was chosen, and not to one that something else put there."""
        assert self.steps is not None  # noqa: S101
        chosen = self._offered[self.steps.model or ""]
        if isinstance(chosen, str):
            return bool(request_context.model_id == chosen)
        return _unwrapped(request_context.model) is _unwrapped(chosen)


def _last_response(answer: Any) -> Any:
    """Return the last response of a result or of messages; None without one."""
    messages = answer if isinstance(answer, Sequence) else answer.all_messages()
    return next((each for each in reversed(messages) if isinstance(each, ModelResponse)), None)


def _kind_of(error: BaseException, ctx: Any, *, is_requesting: bool) -> FailureKind | None:
    """Return why a run failed, by the exception that ended it; None for no more than that it has failed.

    Errors of requests have been recorded already, except those in the middle of a stream.
    """
    if isinstance(error, RunCancelled) or not isinstance(error, Exception):
        return "timeout" if _is_overdue(ctx) else "cancelled"
    if isinstance(error, UsageLimitExceeded):
        return None
    if isinstance(error, AgentRunError) and not isinstance(error, (ModelAPIError, ConcurrencyLimitExceeded)):
        return "refused" if isinstance(error, ContentFilterError) else "other"  # the verdict of the framework
    kind = classify(error) if is_requesting else "other"
    return "caller_error" if kind == "other" else kind  # the host's own code, or an agent that a tool has run


def _is_overdue(ctx: Any) -> bool:
    """Return whether the time limit of a run is over."""
    remaining = ctx.remaining_time()
    return remaining is not None and bool(remaining <= 0)


def _failure_in(request_context: Any, response: Any) -> FailureKind | None:
    """Return why a response is a failure, although nothing was raised; None if it is none."""
    if response.finish_reason == "content_filter":
        return "refused"
    return "server_error" if request_context.streaming and _is_cut(request_context, response) else None


def _is_cut(request_context: Any, response: Any) -> bool:
    """Return whether a stream was cut off: its provider has not said why it ended.

    pydantic-ai fills in "stop" for a stream of OpenAI's protocol, and leaves the provider's own word out.
    """
    if response.state != "complete" or "finish_reason" in (response.provider_details or {}):
        return False
    if response.finish_reason is None:
        return response.provider_response_id is not None
    ancestors = type(_unwrapped(request_context.model)).__mro__
    return response.finish_reason == "stop" and any(each.__name__ == "OpenAIChatModel" for each in ancestors)


def _unwrapped(model: Model) -> Model:
    while isinstance(model, WrapperModel):
        model = model.wrapped
    return model
