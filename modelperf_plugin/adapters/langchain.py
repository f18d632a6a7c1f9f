"""LangChain and LangGraph: a runnable that chooses its model, falls back, and records every try.

For ``create_agent`` there is a middleware, in :mod:`modelperf_plugin.adapters.langchain_agents`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import aclosing, closing
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.adapters.common import DEFAULT_TASK_TYPE, TICKET_KEY, Perf, engine_of
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.recorder import calls, streams, tokens_of
from modelperf_plugin.recorder.classifying import failure_by
from modelperf_plugin.recorder.judging import Judgement, Options
from modelperf_plugin.recorder.link import check_models
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.values import ErrorKind, check_id

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.runnables.config import ensure_config
except ImportError as error:
    raise MissingExtraError("langchain", "langchain") from error

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

__all__ = ["learned", "middleware", "ticket_of"]

_Check = Callable[[Any], Judgement | Awaitable[Judgement]] | None
_ENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("finish_reason", "status"),
    "anthropic": ("stop_reason",),
}
"""Where a provider says why an answer has ended. Of one that says nothing there, the connection was cut."""
_REFUSALS: Final = frozenset({"content_filter", "refusal"})
"""Why an answer has ended that is none."""


def learned(
    perf: Perf,
    models: Iterable[str] | Mapping[str, Runnable[Any, Any]],
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    check: _Check = None,
    timeout: float | None = None,
) -> LearnedRunnable:
    """Return a runnable that chooses one of ``models`` for each call, and falls back to the others.

    Args:
        perf: the engine, or a function that returns it.
        models: a mapping from model ids to chat models, or to chains or agents around one; or names, as
            ``init_chat_model`` of the package ``langchain`` knows them.
        task_type: by default ``modelperf_task_type`` in the metadata of the call, the first rule of
            ``[task_type_rules]`` that holds, or the name of the LangGraph node.
        context: as for ``select``.
        check: gets the answer and says whether it is good: a bool, a score from 0 to 1, or None for no objection. It
            may be asynchronous for asynchronous calls. If it raises, or says no, the next model is tried; in a stream
            only the verdict is recorded.
        timeout: seconds for each try, or for each wait in a stream.

    Raises:
        InvalidValueError: there are no models, or an argument is invalid.
    """
    return LearnedRunnable(Setup(perf, task_type, context, check, timeout), runnables(models))


def middleware(
    perf: Perf,
    models: Iterable[str] | Mapping[str, Any],
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    check: _Check = None,
    timeout: float | None = None,
) -> AgentMiddleware[Any, Any, Any]:
    """Return a middleware for ``create_agent`` that chooses the model once for each run of the agent.

    Another model follows if a request fails, and is used for the rest of the run. A run is one outcome, recorded at its
    end. The arguments are those of :func:`learned`, except that the name of the agent is its task type, that ``check``
    gets the final state, and that ``timeout`` is for each request to a model.

    Raises:
        MissingExtraError: the package ``langchain`` is not installed.
        InvalidValueError: there are no models, or an argument is invalid.
    """
    from modelperf_plugin.adapters.langchain_agents import LearnedMiddleware  # noqa: PLC0415 - needs langchain

    return LearnedMiddleware(Setup(perf, task_type, context, check, timeout), runnables(models))


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of an answer, for ``perf.report``; None without one.

    Takes a message, the sum of the chunks of a stream, the state of an agent or a graph with messages, and structured
    output with ``include_raw``.
    """
    if isinstance(answer, BaseMessage):
        ticket = answer.response_metadata.get(TICKET_KEY) if isinstance(answer, AIMessage) else None
    elif isinstance(answer, Mapping):
        messages = answer.get("messages") or ()
        ticket = answer.get(TICKET_KEY) or ticket_of(answer.get("raw")) or ticket_of(messages)
    elif isinstance(answer, (list, tuple)):
        ticket = next(filter(None, map(ticket_of, reversed(answer))), None)
    else:
        ticket = None
    return ticket if isinstance(ticket, str) else None


class LearnedRunnable(Runnable[Any, Any]):
    """Calls one of several models; see :func:`learned`."""

    def __init__(self, setup: Setup, models: Mapping[str, Runnable[Any, Any]]) -> None:
        """Choose among ``models``."""
        self._setup = setup
        self._models = models

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Return the first good answer."""
        call = _Call(self._setup, self._models, config)
        answer = calls.run(
            call.task,
            lambda attempt: self._models[attempt.model].invoke(input, call.next(attempt), **kwargs),
            call.options,
        )
        return _with_ticket(answer, call.task.ticket)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Return the first good answer."""
        call = _Call(self._setup, self._models, config)
        answer = await calls.arun(
            call.task,
            lambda attempt: self._models[attempt.model].ainvoke(input, call.next(attempt), **kwargs),
            call.options,
        )
        return _with_ticket(answer, call.task.ticket)

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Generator[Any, None, None]:
        """Yield the chunks of the first model that has one; for messages, an empty chunk with the ticket follows."""
        call = _Call(self._setup, self._models, config)
        source = streams.stream(
            call.task,
            lambda attempt: self._models[attempt.model].stream(input, call.next(attempt), **kwargs),
            call.stream_options,
        )
        last = None
        with closing(source) as chunks:
            for last in chunks:
                yield last
        if isinstance(last, AIMessageChunk):
            yield _ticket_chunk(last, call.task.ticket)

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[Any, None]:
        """Do the same as :meth:`stream`, asynchronously."""
        call = _Call(self._setup, self._models, config)
        source = streams.astream(
            call.task,
            lambda attempt: self._models[attempt.model].astream(input, call.next(attempt), **kwargs),
            call.stream_options,
        )
        last = None
        async with aclosing(source) as chunks:
            async for last in chunks:
                yield last
        if isinstance(last, AIMessageChunk):
            yield _ticket_chunk(last, call.task.ticket)

    def bind_tools(self, tools: Any, **kwargs: Any) -> LearnedRunnable:
        """Return the same choice among these models with tools bound."""
        return self._with(lambda model: model.bind_tools(tools, **kwargs))

    def with_structured_output(self, schema: Any, **kwargs: Any) -> LearnedRunnable:
        """Return the same choice among these models with structured output: an answer that is not is a failure."""
        return self._with(lambda model: model.with_structured_output(schema, **kwargs))

    def _with(self, change: Callable[[Any], Runnable[Any, Any]]) -> LearnedRunnable:
        return LearnedRunnable(self._setup, {name: change(model) for name, model in self._models.items()})


class Setup:
    """What a user says about calls."""

    def __init__(
        self, perf: Perf, task_type: str | None, context: Mapping[str, Any] | None, check: _Check, timeout: float | None
    ) -> None:
        """Check what can be checked before there is an engine."""
        self._perf = perf
        self._task_type = None if task_type is None else check_id("task_type", task_type)
        self.options: Options[Any] = Options(context, check, None, timeout).checked()

    def task(self, models: Iterable[str], config: RunnableConfig, known: str | None, **more: Any) -> Task:
        """Return the task of a call with a ``config``; ``known`` is its task type if nobody names one."""
        engine = engine_of(self._perf)
        task_type = self._task_type
        if task_type is None:
            labels = {**config["metadata"], "tags": config["tags"]}
            task_type = engine.task_type_for(labels, known or DEFAULT_TASK_TYPE)
        context = self.options.context
        return engine.task(task_type, models, {**more, **(context or {})} if more else context)


class _Call:
    """One call: its task, and how the tries of it are configured and observed."""

    _attempt: Attempt

    def __init__(self, setup: Setup, models: Iterable[str], config: RunnableConfig | None) -> None:
        self._config = ensure_config(config)
        self.task = setup.task(models, self._config, self._config["metadata"].get("langgraph_node"))
        self.options = setup.options._replace(usage=self._usage)

    @property
    def stream_options(self) -> Options[list[Any]]:
        """The options of a stream: its check gets the sum of the chunks, as in a call that returns."""
        check = self.options.check
        return self.options if check is None else self.options._replace(check=lambda chunks: check(_sum(chunks)))

    def next(self, attempt: Attempt) -> RunnableConfig:
        """Return the configuration of the call for an attempt."""
        self._attempt = attempt
        config = self._config
        self._config = {**config, "run_id": None}  # only one run can have it
        return {**config, "callbacks": _with_handler(config["callbacks"], _Observer(attempt))}

    def _usage(self, answer: Any) -> Mapping[str, Any]:
        is_unparsed = isinstance(answer, Mapping) and answer.get("parsing_error") is not None
        return {"tokens_used": self._attempt.tokens_used, "error_kind": "other" if is_unparsed else None}


class _Observer(BaseCallbackHandler):
    """Sees the answers of the models in an attempt: behind a parser, only they tell what was used."""

    run_inline = True
    ignore_chain = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self, attempt: Attempt) -> None:
        """Note in ``attempt`` what is seen."""
        self._attempt = attempt
        self._tokens: list[int] = []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Note what a model has used, and whether its answer is one: the last one counts."""
        message = getattr(response.generations[0][0], "message", None)
        if isinstance(message, AIMessage):
            self._tokens.append(tokens_of(message.usage_metadata))
            kind = error_kind_of(message)
            self._attempt.failure = None if kind is None else failure_by(kind)
        else:
            self._tokens.append(tokens_of((response.llm_output or {}).get("token_usage")))
        self._attempt.tokens_used = sum(self._tokens)


def error_kind_of(message: AIMessage) -> ErrorKind | None:
    """Return why a message is no answer, by what its provider says about its end; None if it is one."""
    metadata = message.response_metadata
    if not _REFUSALS.isdisjoint((metadata.get("finish_reason"), metadata.get("stop_reason"))):
        return "refused"
    ends = _ENDS.get(metadata.get("model_provider", ""), ())
    return "server_error" if ends and not any(metadata.get(name) for name in ends) else None


def runnables(models: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the models by their ids.

    Raises:
        InvalidValueError: there are none.
        MissingExtraError: they are names, and the package ``langchain`` is not installed.
    """
    if isinstance(models, Mapping):
        return {name: models[name] for name in check_models(models)}
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - not needed for models
    except ImportError as error:
        raise MissingExtraError("models given by their names", "langchain") from error
    return {name: init_chat_model(name) for name in check_models(models)}


def _with_handler(callbacks: Any, handler: BaseCallbackHandler) -> Any:
    if callbacks is None or isinstance(callbacks, list):
        return [*(callbacks or ()), handler]
    manager = callbacks.copy()
    manager.add_handler(handler, inherit=True)
    return manager


def _with_ticket(answer: Any, ticket: str) -> Any:
    """Return an answer with its ticket, if it is a message, or has or ends with one; others have no place for it."""
    if isinstance(answer, AIMessage):  # a copy: a cache may return the same message again
        return answer.model_copy(update={"response_metadata": {**answer.response_metadata, TICKET_KEY: ticket}})
    if isinstance(answer, dict):
        raw, messages = answer.get("raw"), answer.get("messages")
        if isinstance(raw, AIMessage):
            return {**answer, "raw": _with_ticket(raw, ticket)}
        if isinstance(messages, list) and messages and isinstance(messages[-1], AIMessage):
            return {**answer, "messages": [*messages[:-1], _with_ticket(messages[-1], ticket)]}
    return answer


def _ticket_chunk(last: AIMessageChunk, ticket: str) -> AIMessageChunk:
    """Return the chunk with a ticket that follows the last one."""
    empty: Any = "" if isinstance(last.content, str) else []
    return AIMessageChunk(content=empty, id=last.id, response_metadata={TICKET_KEY: ticket})


def _sum(chunks: list[Any]) -> Any:
    """Return the chunks of a stream as one answer; the last one if they cannot be added, as LangChain does."""
    try:
        return reduce(add, chunks) if chunks else None
    except TypeError:
        return chunks[-1]
