"""LangChain and LangGraph: a runnable that chooses its model, falls back, and records every try.

For ``create_agent`` there is a middleware, in :mod:`modelperf_plugin.adapters.langchain_agents`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from modelperf_plugin.errors import MissingExtraError

try:
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import Runnable, RunnableConfig
except ImportError as error:
    raise MissingExtraError("langchain", "langchain") from error

from modelperf_plugin.adapters.common import TICKET_KEY, Perf
from modelperf_plugin.adapters.langchain_calls import Call, Check, Chunks, Setup, with_ticket
from modelperf_plugin.recorder import calls, streams
from modelperf_plugin.recorder.link import check_models

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

__all__ = ["learned", "middleware", "ticket_of"]


def learned(
    perf: Perf,
    models: Iterable[str] | Mapping[str, Runnable[Any, Any]],
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    check: Check = None,
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
        check: gets the answer and says whether it is good: a bool, a score from 0 to 1, or None for no objection; or a
            parser, which raises if it is not. It may be asynchronous for asynchronous calls. If it raises, or says no,
            the next model is tried; in a stream only the verdict is recorded.
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
    check: Check = None,
    timeout: float | None = None,
) -> AgentMiddleware[Any, Any, Any]:
    """Return a middleware for ``create_agent`` that chooses the model once for each run of the agent.

    Another model follows if a request fails, and is used for the rest of the run. A run is one outcome, recorded at its
    end. The arguments are those of :func:`learned`, except that the name of the agent is its task type, that ``check``
    gets the final state, of which it can only say whether it is good, and that ``timeout`` is for each request to a
    model.

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
        call = Call(self._setup, self._models, config)
        run = call.start(input, self.get_name())
        try:
            answer = calls.run(
                call.task,
                lambda attempt: call.model(attempt).invoke(input, call.config(attempt), **kwargs),
                call.options,
            )
            answer = with_ticket(answer, call.task.ticket)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(answer)
        return answer

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Return the first good answer."""
        call = Call(self._setup, self._models, config)
        run = await call.astart(input, self.get_name())
        try:
            answer = await calls.arun(
                call.task,
                lambda attempt: call.model(attempt).ainvoke(input, call.config(attempt), **kwargs),
                call.options,
            )
            answer = with_ticket(answer, call.task.ticket)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(answer)
        return answer

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Generator[Any, None, None]:
        """Yield the chunks of the first model that has one; for messages, an empty chunk with the ticket follows."""
        call = Call(self._setup, self._models, config)
        run = call.start(input, self.get_name())
        seen = Chunks(call.task, keeps=bool(run.handlers))
        source = streams.stream(
            call.task,
            lambda attempt: call.model(attempt).stream(input, call.config(attempt), **kwargs),
            call.stream_options,
        )
        try:
            with closing(source) as chunks:
                for chunk in chunks:
                    yield seen.add(chunk)
            if seen.has_ticket:
                yield seen.add(seen.ticket_chunk())
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(seen.sum())

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[Any, None]:
        """Do the same as :meth:`stream`, asynchronously."""
        call = Call(self._setup, self._models, config)
        run = await call.astart(input, self.get_name())
        seen = Chunks(call.task, keeps=bool(run.handlers))
        source = streams.astream(
            call.task,
            lambda attempt: call.model(attempt).astream(input, call.config(attempt), **kwargs),
            call.stream_options,
        )
        try:
            async with aclosing(source) as chunks:
                async for chunk in chunks:
                    yield seen.add(chunk)
            if seen.has_ticket:
                yield seen.add(seen.ticket_chunk())
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(seen.sum())

    def bind_tools(self, tools: Any, **kwargs: Any) -> LearnedRunnable:
        """Return the same choice among these models with tools bound."""
        return self._with(lambda model: model.bind_tools(tools, **kwargs))

    def with_structured_output(self, schema: Any, **kwargs: Any) -> LearnedRunnable:
        """Return the same choice among these models with structured output: an answer that is not is a failure."""
        return self._with(lambda model: model.with_structured_output(schema, **kwargs))

    def _with(self, change: Callable[[Any], Runnable[Any, Any]]) -> LearnedRunnable:
        return LearnedRunnable(self._setup, {name: change(model) for name, model in self._models.items()})


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
