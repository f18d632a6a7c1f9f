"""One call of the LangChain runnable: its settings, its run for callbacks, and what is seen of its tries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import reduce
from operator import add
from typing import Any, Final, TypeAlias

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    patch_config,
)

from modelperf_plugin.adapters.common import TICKET_KEY, Perf, engine_of, task_type_of
from modelperf_plugin.recorder import tokens_of
from modelperf_plugin.recorder.classifying import failure_by
from modelperf_plugin.recorder.judging import Judgement, Options
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.recorder.usage import field
from modelperf_plugin.values import ErrorKind, check_id

Check: TypeAlias = Callable[[Any], Judgement | Awaitable[Judgement]] | Runnable[Any, Any] | None
_ENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("finish_reason", "status"),
    "anthropic": ("stop_reason",),
}
"""Where a provider says why an answer has ended. Of one that says nothing there, the connection was cut."""
_REFUSALS: Final = frozenset({"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"})
"""Why an answer has ended that is none: openai, anthropic, google."""


class Setup:
    """What a user says about calls."""

    def __init__(
        self, perf: Perf, task_type: str | None, context: Mapping[str, Any] | None, check: Check, timeout: float | None
    ) -> None:
        """Check what can be checked before there is an engine."""
        self._perf = perf
        self._task_type = None if task_type is None else check_id("task_type", task_type)
        judge = _parses(check) if isinstance(check, Runnable) else check
        self.options: Options[Any] = Options(context, judge, None, timeout).checked()

    def task(self, models: Iterable[str], config: RunnableConfig, known: str | None, **more: Any) -> Task:
        """Return the task of a call with a ``config``; ``known`` is its task type if nobody names one."""
        engine = engine_of(self._perf)
        task_type = task_type_of(engine, self._task_type, {**config["metadata"], "tags": config["tags"]}, known)
        context = self.options.context
        return engine.task(task_type, models, {**more, **(context or {})} if more else context)


class Call:
    """One call: a run for the callbacks of the user, with a child for each try of its task."""

    _run: Any
    _attempt: Attempt

    def __init__(self, setup: Setup, models: Mapping[str, Any], config: RunnableConfig | None) -> None:
        self._models = models
        self._config = ensure_config(config)
        self.task = setup.task(models, self._config, self._config["metadata"].get("langgraph_node"))
        self.options = setup.options._replace(usage=self._usage)

    def start(self, given: Any, name: str) -> Any:
        """Return the run of this call."""
        manager = get_callback_manager_for_config(self._config)
        self._run = manager.on_chain_start(None, given, **self._names(name))
        return self._run

    async def astart(self, given: Any, name: str) -> Any:
        """Return the run of this call."""
        manager = get_async_callback_manager_for_config(self._config)
        self._run = await manager.on_chain_start(None, given, **self._names(name))
        return self._run

    def model(self, attempt: Attempt) -> Any:
        """Return the model of an attempt."""
        return self._models[attempt.model]

    def config(self, attempt: Attempt) -> RunnableConfig:
        """Return the configuration of an attempt, which is observed."""
        self._attempt = attempt
        callbacks = self._run.get_child()
        callbacks.add_handler(_Observer(attempt), inherit=True)
        return patch_config(self._config, callbacks=callbacks)

    @property
    def stream_options(self) -> Options[list[Any]]:
        """The options of a stream: its check gets the sum of the chunks, as in a call that returns."""
        check = self.options.check
        return self.options if check is None else self.options._replace(check=lambda chunks: check(_sum(chunks)))

    def _names(self, name: str) -> dict[str, Any]:
        """Return the name and the id of the run, as the user wants them."""
        return {"name": self._config.get("run_name") or name, "run_id": self._config.get("run_id")}

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
        generation = next((each for several in response.generations for each in several), None)
        message = getattr(generation, "message", None)
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
    incomplete = metadata.get("incomplete_details")
    reasons = [metadata.get("finish_reason"), metadata.get("stop_reason"), incomplete and field(incomplete, "reason")]
    if any(isinstance(reason, str) and reason in _REFUSALS for reason in reasons) or _has_refusal(message):
        return "refused"
    ends = _ENDS.get(str(metadata.get("model_provider")), ())
    return "server_error" if ends and not any(metadata.get(name) for name in ends) else None


def _has_refusal(message: AIMessage) -> bool:
    """Return whether a message says that it is a refusal, as those of openai do."""
    content = message.content if isinstance(message.content, list) else ()
    return bool(message.additional_kwargs.get("refusal")) or any(field(part, "type") == "refusal" for part in content)


def _parses(parser: Runnable[Any, Any]) -> Callable[[Any], None]:
    """Return a check that objects to what ``parser`` raises for, whatever it returns otherwise."""

    def check(answer: Any) -> None:
        parser.invoke(answer)

    return check


def with_ticket(answer: Any, ticket: str) -> Any:
    """Return an answer with its ticket, if it is a message, or has or ends with one; others have no place for it."""
    if isinstance(answer, AIMessage):  # a copy: a cache may return the same message again
        return answer.model_copy(update={"response_metadata": {**answer.response_metadata, TICKET_KEY: ticket}})
    if isinstance(answer, dict):
        raw, messages = answer.get("raw"), answer.get("messages")
        if isinstance(raw, AIMessage):
            return {**answer, "raw": with_ticket(raw, ticket)}
        if isinstance(messages, list) and messages and isinstance(messages[-1], AIMessage):
            return {**answer, "messages": [*messages[:-1], with_ticket(messages[-1], ticket)]}
    return answer


class Chunks:
    """The chunks of a stream: the last one, and all of them if somebody is told their sum."""

    def __init__(self, task: Task, *, keeps: bool) -> None:
        self._task = task
        self._keeps = keeps
        self._all: list[Any] = []
        self._last: Any = None

    def add(self, chunk: Any) -> Any:
        """Return a chunk, which has been seen."""
        self._last = chunk
        if self._keeps:
            self._all.append(chunk)
        return chunk

    @property
    def has_ticket(self) -> bool:
        """Whether the ticket can follow: only messages have a place for it."""
        return isinstance(self._last, AIMessageChunk)

    def ticket_chunk(self) -> AIMessageChunk:
        """Return the chunk with the ticket, which follows the last one."""
        empty: Any = "" if isinstance(self._last.content, str) else []
        return AIMessageChunk(content=empty, id=self._last.id, response_metadata={TICKET_KEY: self._task.ticket})

    def sum(self) -> Any:
        """Return the chunks as one answer, if they were kept."""
        return _sum(self._all)


def _sum(chunks: list[Any]) -> Any:
    """Return the chunks of a stream as one answer; the last one if they cannot be added, as LangChain does."""
    if not chunks:
        return None
    if all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
        return chunks[0] + chunks[1:]  # in one go
    try:
        return reduce(add, chunks)
    except TypeError:
        return chunks[-1]
