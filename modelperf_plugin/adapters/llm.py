"""simonw's llm: a model that chooses among others. The plugin that llm loads is :mod:`modelperf_plugin.llm_plugin`.

llm imports this when it lists its models; what a call needs is imported by the first call.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelperf_plugin.errors import MissingExtraError

try:
    import llm
except ImportError as error:
    raise MissingExtraError("llm", "llm") from error

if TYPE_CHECKING:
    from modelperf_plugin import ModelPerf
    from modelperf_plugin.recorder import Attempt, Task
    from modelperf_plugin.recorder.judging import Options as StreamOptions

__all__ = ["learned", "learned_async", "ticket_of"]

TICKET_KEY: Final = "modelperf_ticket"
"""Where the ticket is in the ``response_json`` of an answer, which llm also logs."""

Models = Iterable[str] | Mapping[str, Any]
"""Names of llm's models, or our model ids, each with a model of llm."""


class Choice(NamedTuple):
    """What a learned model chooses among, and how its answers are judged."""

    perf: ModelPerf | Callable[[], ModelPerf]
    models: Models | Callable[[], Models]
    task_type: str
    check: Callable[[str], Any] | None
    timeout: float | None
    context: Mapping[str, Any] | None

    def engine(self) -> ModelPerf:
        """Return the engine."""
        return self.perf() if callable(self.perf) else self.perf

    def offered(self, aliases: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return our model ids, each with llm's model, or None if llm does not know it."""
        models = self.models() if callable(self.models) else self.models
        if isinstance(models, Mapping):
            return dict(models)
        known = aliases()
        return {name: known.get(name) for name in models}


def learned(
    perf: ModelPerf | Callable[[], ModelPerf],
    models: Models | Callable[[], Models],
    *,
    task_type: str | None = None,
    model_id: str = "learned",
    check: Callable[[str], Any] | None = None,
    timeout: float | None = None,
    context: Mapping[str, Any] | None = None,
) -> LearnedModel:
    """Return a model for llm that chooses among ``models`` for each prompt, and records how it went.

    Args:
        perf: the engine, or a function that returns it, called by the first prompt.
        models: names of llm's models, or a mapping from our model ids to its models; or a function that returns them.
        task_type: the class of work; ``"default"`` if there is none.
        model_id: the name of this model in llm.
        check: gets the text of an answer; as for :meth:`modelperf_plugin.ModelPerf.stream`.
        timeout: seconds until an answer begins, and for each chunk.
        context: as for ``select``.
    """
    return LearnedModel(model_id, Choice(perf, models, task_type or "default", check, timeout, context))


def learned_async(
    perf: ModelPerf | Callable[[], ModelPerf],
    models: Models | Callable[[], Models],
    *,
    task_type: str | None = None,
    model_id: str = "learned",
    check: Callable[[str], Any] | None = None,
    timeout: float | None = None,
    context: Mapping[str, Any] | None = None,
) -> LearnedAsyncModel:
    """Return the asynchronous form of :func:`learned`; ``check`` may be asynchronous."""
    return LearnedAsyncModel(model_id, Choice(perf, models, task_type or "default", check, timeout, context))


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of an answer that has arrived completely; of a chain of answers, that of the last one.

    None if it is from another model, or not complete.
    """
    steps = getattr(answer, "_responses", None)
    content = getattr(steps[-1] if steps else answer, "response_json", None)
    ticket = content.get(TICKET_KEY) if isinstance(content, dict) else None
    return ticket if isinstance(ticket, str) else None


class _Options(llm.Options):
    """Options of whichever model is chosen."""

    model_config = {"extra": "allow"}  # noqa: RUF012 - pydantic's way


class _Learned:
    """What both forms have in common."""

    can_stream = True
    supports_schema = True
    supports_tools = True
    Options = _Options

    def __init__(self, model_id: str, choice: Choice) -> None:
        self.model_id = model_id
        self._choice = choice

    @property
    def attachment_types(self) -> set[str]:
        """What any of the models accepts."""
        models = self._choice.offered(self._aliases).values()
        return {kind for model in models if model is not None for kind in model.attachment_types}

    @staticmethod
    def _aliases() -> Mapping[str, Any]:
        raise NotImplementedError

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the key that was given: the chosen model looks for its own otherwise."""
        return explicit_key

    def _begin(self, call: _Call) -> tuple[Task, dict[str, _Prepared]]:
        """Return a task, and what each of the models that can answer this prompt needs."""
        ready = _able(self._choice.offered(self._aliases), call)
        previous = _model_before(call.conversation)
        context = dict(self._choice.context or {})
        if previous in ready:
            # the results of tools go to the model that asked for them
            context.setdefault("pin" if call.prompt.tool_results else "current_model", previous)
        return self._choice.engine().task(self._choice.task_type, ready, context or None), ready

    def _options(self) -> StreamOptions[list[Any]]:
        """Return what the recorder does with the stream."""
        from modelperf_plugin.recorder.judging import Options as StreamOptions

        check = self._choice.check
        judge = None if check is None else lambda chunks: check(_text(chunks))
        return StreamOptions[list[Any]](check=judge, timeout=self._choice.timeout).checked()


class LearnedModel(_Learned, llm.KeyModel):
    """A model that chooses among others."""

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: Any, key: str | None = None
    ) -> Iterator[Any]:
        """Yield the chunks of the chosen model, as the recorder's ``stream`` does."""
        from modelperf_plugin.recorder import streams

        task, ready = self._begin(_Call(prompt, stream, response, conversation, key))

        def call(attempt: Attempt) -> Generator[Any, None, None]:
            prepared, is_empty = ready[attempt.model], True
            for chunk in prepared.execute():
                is_empty = False
                yield chunk
            yield from prepared.end(attempt.model, response, is_empty=is_empty)

        with closing(streams.stream(task, call, self._options())) as chunks:
            for chunk in chunks:
                if not isinstance(chunk, _End):
                    yield chunk
        _attach(task, response)

    @staticmethod
    def _aliases() -> Mapping[str, Any]:
        aliases: Mapping[str, Any] = llm.get_model_aliases()
        return aliases


class LearnedAsyncModel(_Learned, llm.AsyncKeyModel):
    """A model that chooses among others, asynchronously."""

    async def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.AsyncResponse, conversation: Any, key: str | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks of the chosen model, as the recorder's ``astream`` does."""
        from modelperf_plugin.recorder import streams

        task, ready = self._begin(_Call(prompt, stream, response, conversation, key))

        async def call(attempt: Attempt) -> AsyncGenerator[Any, None]:
            prepared, is_empty = ready[attempt.model], True
            async with aclosing(prepared.execute()) as chunks:
                async for chunk in chunks:
                    is_empty = False
                    yield chunk
            for end in prepared.end(attempt.model, response, is_empty=is_empty):
                yield end

        async with aclosing(streams.astream(task, call, self._options())) as chunks:
            async for chunk in chunks:
                if not isinstance(chunk, _End):
                    yield chunk
        _attach(task, response)

    @staticmethod
    def _aliases() -> Mapping[str, Any]:
        aliases: Mapping[str, Any] = llm.get_async_model_aliases()
        return aliases


class _Call(NamedTuple):
    """What llm asks of the learned model."""

    prompt: Any
    stream: bool
    response: Any
    conversation: Any
    key: str | None


class _End(NamedTuple):
    """Follows the last chunk, for the recorder: what was used, and why the answer has ended."""

    usage: dict[str, int | None]
    choices: list[Any] | None


class _Prepared(NamedTuple):
    """A model, with a prompt and a response of its own, so that what one try leaves behind is not in the next."""

    model: Any
    call: _Call
    key: dict[str, str | None]

    def execute(self) -> Any:
        """Return the chunks of the model."""
        prompt, stream, response, conversation, _ = self.call
        return self.model.execute(prompt, stream=stream, response=response, conversation=conversation, **self.key)

    def end(self, model_id: str, response: Any, *, is_empty: bool) -> Iterator[_End]:
        """Hand over to ``response`` what belongs to the answer, and yield its end, unless there is no answer."""
        mine = self.call.response
        response.response_json = mine.response_json
        response._prompt_json = mine._prompt_json  # noqa: SLF001 - where llm's models put it
        response.set_usage(input=mine.input_tokens, output=mine.output_tokens, details=mine.token_details)
        response.set_resolved_model(mine.resolved_model or model_id)
        calls = mine._tool_calls  # noqa: SLF001 - the method would ask the model
        for each in calls:
            response.add_tool_call(each)
        choices = _choices(mine.response_json)
        if calls or choices or not is_empty:
            yield _End({"input_tokens": mine.input_tokens, "output_tokens": mine.output_tokens}, choices)


def _able(models: Mapping[str, Any], call: _Call) -> dict[str, _Prepared]:
    """Return those models that can answer this prompt; if there is none, raise what llm would for the first."""
    ready: dict[str, _Prepared] = {}
    errors: list[Exception] = []
    for model_id, model in models.items():
        try:
            ready[model_id] = _prepared(model_id, model, call)
        except (llm.ModelError, llm.UnknownModelError, ValueError) as error:
            errors.append(error)
    if errors and not ready:
        raise errors[0]
    return ready


def _prepared(model_id: str, model: Any, call: _Call) -> _Prepared:
    """Return what to call a model with; raises unless it exists, has a key, and can do what the prompt needs."""
    if model is None:
        raise llm.UnknownModelError(f"Unknown model: {model_id}")
    model._validate_attachments(call.prompt.attachments)  # noqa: SLF001 - as llm's own prompt() does
    key = {"key": model.get_key(call.key)} if isinstance(model, (llm.KeyModel, llm.AsyncKeyModel)) else {}
    given = {name: value for name, value in dict(call.prompt.options).items() if value is not None}
    prompt = copy.copy(call.prompt)
    prompt.model, prompt.options = model, model.Options(**{**_defaults(model), **given})
    stream = call.stream and model.can_stream
    response = type(call.response)(prompt, model, stream, call.conversation, call.key)
    return _Prepared(model, _Call(prompt, stream, response, call.conversation, call.key), key)


def _defaults(model: Any) -> Mapping[str, Any]:
    """Return the options that the user has set for a model, which only llm's command line uses."""
    command_line = sys.modules.get("llm.cli")
    return {} if command_line is None else command_line.get_model_options(model.model_id)


def _choices(content: Any) -> list[Any] | None:
    """Return why an answer has ended, as openai says it; None if its model does not say."""
    if not isinstance(content, dict):
        return None
    choices = content.get("choices")
    if isinstance(choices, list):
        return choices if any(isinstance(each, dict) and each.get("finish_reason") for each in choices) else None
    if content.get("object") == "chat.completion.chunk":  # the chunks of a stream, combined by llm
        return [{"finish_reason": content.get("finish_reason")}]
    details = content.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return None if reason is None else [{"finish_reason": reason}]


def _attach(task: Task, response: Any) -> None:
    """Put the ticket into an answer."""
    content = response.response_json
    if content is None or isinstance(content, dict):
        response.response_json = {**(content or {}), TICKET_KEY: task.ticket}


def _model_before(conversation: Any) -> str | None:
    """Return our id of the model that gave the previous answer of a conversation; None if there is none."""
    from modelperf_plugin.recorder.ticket import Ticket

    answers = getattr(conversation, "responses", None)
    ticket = ticket_of(answers[-1]) if answers else None
    return None if ticket is None else Ticket.read(ticket).model_id


def _text(chunks: Iterable[Any]) -> str:
    """Return the text of an answer: chunks are texts or events."""
    return "".join(
        chunk if isinstance(chunk, str) else chunk.chunk
        for chunk in chunks
        if isinstance(chunk, str) or getattr(chunk, "type", None) == "text"
    )
