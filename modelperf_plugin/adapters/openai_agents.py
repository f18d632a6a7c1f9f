"""openai-agents: a provider whose models are chosen for each run, fall back, and record what became of the run."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from traceback import walk_tb
from types import FrameType
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, finalize

from modelperf_plugin.adapters.common import Perf, engine_of, offered_by_name, task_type_of
from modelperf_plugin.adapters.openai_events import HARMLESS, failure_in, is_refusal, limited_events
from modelperf_plugin.adapters.steps import Steps
from modelperf_plugin.errors import InvalidValueError, MissingExtraError
from modelperf_plugin.recorder.classifying import FailureKind, classify
from modelperf_plugin.recorder.limits import limited
from modelperf_plugin.values import check_amount, check_id

try:
    from agents import (
        InputGuardrailTripwireTriggered,
        MaxTurnsExceeded,
        Model,
        ModelBehaviorError,
        ModelProvider,
        MultiProvider,
        OutputGuardrailTripwireTriggered,
    )
    from agents.exceptions import ModelRefusalError, ModelTimeoutError
except ImportError as error:
    raise MissingExtraError("openai-agents", "openai-agents") from error
try:
    from agents.models._run_context import get_model_run_owner as _run_owner

    _ = Model._cleanup_on_run_end  # noqa: SLF001 - only to see whether it is there
except (ImportError, AttributeError):  # neither is public: without them each request is a task of its own

    def _run_owner() -> object | None:
        return None


__all__ = ["learned", "ticket_of"]

_PREFIX: Final = "auto"
_TASK_TYPE_KEY: Final = "modelperf_task_type"
_VERDICTS: Final[tuple[tuple[type[BaseException], FailureKind | None], ...]] = (
    (MaxTurnsExceeded, None),
    (OutputGuardrailTripwireTriggered, None),
    (ModelBehaviorError, "other"),
    (ModelRefusalError, "refused"),
    (ModelTimeoutError, "timeout"),
    (InputGuardrailTripwireTriggered, "cancelled"),
    (Exception, "caller_error"),  # the host's own code; errors of requests have been recorded already
    (BaseException, "cancelled"),
)
"""What the exception that ends a run says of the model; the first one counts. None: no more than that it has failed."""
_STEPS_BY_ITEM: Final[dict[int, Steps]] = {}
"""To whom the items of an answer belong, by their identity, as long as they live."""


def learned(
    perf: Perf,
    models: Iterable[str] | Mapping[str, Model | str],
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    provider: ModelProvider | None = None,
) -> ModelProvider:
    """Return a provider of models, for ``RunConfig(model_provider=learned(perf, models))``.

    An agent with the model ``"auto/qa"`` gets one that is chosen for the task type ``qa``, once for each run. So does
    one with ``"auto"`` or no model, for ``task_type``. All other names are looked up in ``provider``.

    Args:
        perf: the engine, or a function that returns it.
        models: names as ``provider`` knows them, or a mapping from model ids to models or names.
        task_type: by default what the metadata of the model settings say, or ``"default"``.
        context: as for ``select``.
        timeout: seconds for each request; in a stream, the longest wait for each event.
        provider: looks up names; by default ``MultiProvider()``.

    Raises:
        InvalidValueError: there are no models, or an argument is invalid.
    """
    offered = offered_by_name(models)
    if task_type is not None:
        check_id("task_type", task_type)
    if timeout is not None and check_amount("timeout", timeout) <= 0.0:
        raise InvalidValueError("timeout", "a positive number of seconds, or None", timeout)
    return _LearnedProvider(perf, offered, task_type, context, timeout, provider)


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of a run, for ``perf.report``: None without one, or before the run has ended.

    Takes the result of a run, or one of its ``raw_responses``.
    """
    responses = getattr(answer, "raw_responses", None)
    items = [item for response in responses or [answer] for item in getattr(response, "output", None) or ()]
    steps = next(filter(None, (_STEPS_BY_ITEM.get(id(item)) for item in reversed(items))), None)
    return None if steps is None else steps.ticket


class _LearnedProvider(ModelProvider):
    """Gives out one model for each task type."""

    def __init__(
        self,
        perf: Perf,
        offered: dict[str, Model | str],
        task_type: str | None,
        context: Mapping[str, Any] | None,
        timeout: float | None,
        provider: ModelProvider | None,
    ) -> None:
        self.timeout = timeout
        self._perf = perf
        self._offered = offered
        self._task_type = task_type
        self._context = context
        self._provider = MultiProvider() if provider is None else provider
        self._models: dict[str | None, _LearnedModel] = {}

    def get_model(self, model_name: str | None) -> Model:
        """Return a model to be chosen, or the one of another name."""
        prefix, _, task_type = (model_name or _PREFIX).partition("/")
        if prefix != _PREFIX:
            return self._provider.get_model(model_name)
        named = task_type or self._task_type
        return self._models.setdefault(named, _LearnedModel(self, named))

    async def aclose(self) -> None:
        """Close the provider that looks up names."""
        await self._provider.aclose()

    def offered(self, model: str) -> Model:
        """Return a model that is offered, by its id."""
        known = self._offered[model]
        return self._provider.get_model(known) if isinstance(known, str) else known

    def start(self, task_type: str | None, metadata: Mapping[str, Any]) -> Steps:
        """Begin a task."""
        engine = engine_of(self._perf)
        return Steps(engine.task(task_type_of(engine, task_type, metadata), self._offered, self._context))


class _Request(NamedTuple):
    """The arguments of a request, and the task that it belongs to."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    steps: Steps
    is_alone: bool
    """Whether it is all there is of the task: it was not made by a runner."""


class _LearnedModel(Model):
    """Asks the model that is chosen for a run, and the next one if it fails."""

    def __init__(self, provider: _LearnedProvider, task_type: str | None) -> None:
        self._provider = provider
        self._task_type = task_type
        self._runs: WeakKeyDictionary[Any, dict[Any, Steps]] = WeakKeyDictionary()
        """The tasks of the runs under way, by what the metadata of their requests say."""

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return a response of the first model that has one."""
        request = self._request(args, kwargs)
        async with _ended(request):
            return await self._respond(*request[:3])

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        """Yield the events of the first model that has any."""
        request = self._request(args, kwargs)
        async with _ended(request), aclosing(self._stream(*request[:3])) as events:
            async for event in events:
                yield event

    def get_retry_advice(self, request: Any) -> Any:
        """Return what the model that was asked last says about a retry."""
        owner = _run_owner()
        tasks = {} if owner is None else self._runs.get(owner, {})
        asked = [steps.model for steps in tasks.values() if steps.model is not None]
        return self._provider.offered(asked[-1]).get_retry_advice(request) if asked else None

    async def _cleanup_on_run_end(self, owner: object) -> None:
        """Record the verdict of the runner, which calls this in a ``finally``: the exception that ends it is known."""
        error = _ending_error(sys._getframe(1))  # noqa: SLF001 - there is no other way to see the caller
        for steps in self._runs.pop(owner, {}).values():
            if error is None:
                await steps.judge(None, None)
            else:
                await steps.end(error, next(kind for cause, kind in _VERDICTS if isinstance(error, cause)))
            for model in steps.asked:
                await self._provider.offered(model)._cleanup_on_run_end(owner)  # noqa: SLF001 - passed on

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Request:
        """Take our metadata out of the arguments, and find the task."""
        settings = kwargs["model_settings"] if "model_settings" in kwargs else args[2]
        metadata = dict(settings.metadata or {})
        if _TASK_TYPE_KEY in metadata:
            ours = replace(settings, metadata={k: v for k, v in metadata.items() if k != _TASK_TYPE_KEY} or None)
            if "model_settings" in kwargs:
                kwargs = {**kwargs, "model_settings": ours}
            else:
                args = (*args[:2], ours, *args[3:])
        owner = _run_owner()
        if owner is None:
            return _Request(args, kwargs, self._provider.start(self._task_type, metadata), is_alone=True)
        tasks = self._runs.setdefault(owner, {})
        key = tuple(sorted(metadata.items()))
        if key not in tasks:
            tasks[key] = self._provider.start(self._task_type, metadata)
        return _Request(args, kwargs, tasks[key], is_alone=False)

    async def _respond(self, args: tuple[Any, ...], kwargs: dict[str, Any], steps: Steps) -> Any:
        await _prepare(steps)
        while True:
            await steps.begin()
            try:
                async with limited(self._provider.timeout):
                    response = await self._chosen(steps).get_response(*args, **kwargs)
            except Exception as error:
                if await steps.fail(error) is None:
                    raise
                continue
            steps.pause(response.usage)
            if not is_refusal(response.output) or await steps.reject("refused") is None:
                _mark(response.output, steps)
                return response

    async def _stream(self, args: tuple[Any, ...], kwargs: dict[str, Any], steps: Steps) -> AsyncGenerator[Any, None]:
        await _prepare(steps)
        is_followed = True
        while is_followed:
            await steps.begin()
            is_followed = is_committed = False
            stream = self._chosen(steps).stream_response(*args, **kwargs)
            try:
                async with aclosing(limited_events(stream, self._provider.timeout)) as events:
                    async for event in events:
                        _observe(event, steps)
                        kind = failure_in(event)
                        if kind is not None and not is_committed and await steps.reject(kind) is not None:
                            is_followed = True
                            break
                        if kind is not None:
                            steps.doubt(kind)
                        is_committed = is_committed or event.type not in HARMLESS
                        yield event
            except Exception as error:
                if is_committed:
                    await steps.end(error, classify(error))
                is_followed = not is_committed and await steps.fail(error) is not None
                if not is_followed:
                    raise
            else:
                if steps.is_requesting and not is_followed:
                    steps.doubt("server_error")  # it was cut off; the runner raises

    def _chosen(self, steps: Steps) -> Model:
        return self._provider.offered(steps.model or "")


@asynccontextmanager
async def _ended(request: _Request) -> AsyncGenerator[None, None]:
    """End the task with the request if it is all there is of it."""
    try:
        yield
    except BaseException as error:
        if request.is_alone:
            await request.steps.end(error, classify(error))
        raise
    if request.is_alone:
        await request.steps.judge(None, None)


def _ending_error(frame: FrameType | None) -> BaseException | None:
    """Return the exception that is leaving a runner whose frame is above ``frame``.

    Another one may be in sight, which the caller of the run is handling. The runner takes the traceback off some.
    """
    error = sys.exc_info()[1]
    if error is None or error.__traceback__ is None:
        return error
    left = {id(each) for each, _ in walk_tb(error.__traceback__)}
    while frame is not None:
        if id(frame) in left and frame.f_globals.get("__name__", "").startswith("agents."):
            return error
        frame = frame.f_back
    return None


async def _prepare(steps: Steps) -> None:
    """Choose a model; if the runner repeats a request that it has given up, the next one."""
    await steps.choose()
    if steps.is_requesting:
        await steps.reject("timeout")


def _observe(event: Any, steps: Steps) -> None:
    """Note what the model has used, and to whom its answer belongs."""
    if event.type == "response.output_item.done":
        _mark([event.item], steps)
    elif event.type == "response.completed":
        steps.pause(event.response.usage)
        _mark(event.response.output, steps)


def _mark(output: Sequence[Any], steps: Steps) -> None:
    """Remember to which task an answer belongs, as long as it lives: results keep the items of an answer."""
    for item in output[-1:]:
        with suppress(TypeError):  # not all can be referenced weakly
            if id(item) not in _STEPS_BY_ITEM:
                finalize(item, _STEPS_BY_ITEM.pop, id(item), None)
            _STEPS_BY_ITEM[id(item)] = steps
