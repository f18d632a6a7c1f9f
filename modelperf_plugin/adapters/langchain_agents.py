"""The middleware for ``create_agent`` of the package ``langchain``: one model, and one outcome, for each run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Annotated, Any, Final

from modelperf_plugin.adapters.common import TICKET_KEY
from modelperf_plugin.adapters.langchain_calls import Setup, error_kind_of
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.recorder import Attempt, Task, tokens_of
from modelperf_plugin.recorder.judging import check_answer, check_answer_async
from modelperf_plugin.recorder.limits import Worker, limited

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import (
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        OmitFromSchema,
        PrivateStateAttr,
    )
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.runnables.config import ensure_config
    from langgraph.channels import UntrackedValue
    from langgraph.config import get_config
    from langgraph.types import Command
except ImportError as error:
    raise MissingExtraError("create_agent", "langchain") from error

_RUN: Final = "modelperf_run"
_MODEL: Final = "modelperf_model"
_Handler = Callable[[ModelRequest], ModelResponse]
_AsyncHandler = Callable[[ModelRequest], Awaitable[ModelResponse]]


class LearnedState(AgentState):
    """What an agent remembers between its steps."""

    modelperf_run: Annotated[Any, UntrackedValue, PrivateStateAttr]
    """The run under way. No checkpoint has it: an agent that is resumed begins another one."""
    modelperf_model: Annotated[str, PrivateStateAttr]
    """The model of the last step."""
    modelperf_ticket: Annotated[str | None, OmitFromSchema(input=True, output=False)]
    """The ticket of a run that has ended."""


class LearnedMiddleware(AgentMiddleware):
    """Chooses the model of a run; see :func:`modelperf_plugin.adapters.langchain.middleware`."""

    state_schema = LearnedState
    tools = ()

    def __init__(self, setup: Setup, models: Mapping[str, Any]) -> None:
        """Choose among ``models``."""
        super().__init__()
        self._setup = setup
        self._models = models

    def wrap_model_call(self, request: ModelRequest, handler: _Handler) -> Any:
        """Ask the model of the run; the next one if it fails."""
        run, response = self._run_of(request), None
        with Worker(self._setup.options.timeout) as worker:
            while (model := run.resume()) is not None:
                try:
                    response = worker.call(partial(handler, request.override(model=self._models[model])))
                except BaseException as error:
                    if not run.end(error):
                        raise
                    continue
                if run.pause(response):
                    break
                run.end()
        return _with_update(request, response, run)

    async def awrap_model_call(self, request: ModelRequest, handler: _AsyncHandler) -> Any:
        """Do the same as :meth:`wrap_model_call`, asynchronously."""
        run, response = self._run_of(request), None
        await run.abegin()
        while (model := run.resume()) is not None:
            try:
                async with limited(self._setup.options.timeout):
                    response = await handler(request.override(model=self._models[model]))
            except BaseException as error:
                if not await run.aend(error):
                    raise
                continue
            if run.pause(response):
                break
            await run.aend()
        return _with_update(request, response, run)

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002 - langchain's signature
        """Record the run, and hand out its ticket."""
        run = _run_in(state)
        if run is None:
            return None
        if run.is_open:
            run.stop()
            try:
                check_answer(run.task.link, run.attempt, self._setup.options.check, state)
            except BaseException as error:
                run.end(error)
                raise
            run.end()
        return {TICKET_KEY: run.task.ticket}

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Do the same as :meth:`after_agent`, asynchronously."""
        run = _run_in(state)
        if run is None:
            return None
        if run.is_open:
            run.stop()
            try:
                await check_answer_async(run.task.link, run.attempt, self._setup.options.check, state)
            except BaseException as error:
                await run.aend(error)
                raise
            await run.aend()
        return {TICKET_KEY: run.task.ticket}

    def _run_of(self, request: ModelRequest) -> _Run:
        """Return the run under way, or a new one."""
        run = _run_in(request.state)
        if run is not None and not run.is_over:
            return run
        config = ensure_config(get_config())
        context: dict[str, Any] = {}
        if (last := request.state.get(_MODEL)) in self._models:
            is_resumed = bool(request.messages) and isinstance(request.messages[-1], ToolMessage)
            context["pin" if is_resumed else "current_model"] = last
        return _Run(self._setup.task(self._models, config, config["metadata"].get("lc_agent_name"), **context))


class _Run:
    """One run of an agent: all its steps with one model are one attempt. The time between steps is not the model's."""

    attempt: Attempt
    """The attempt under way, if :attr:`is_open`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model = ""
        """The model of the last step."""
        self.is_open = False
        self.is_over = False
        """Whether no model is left."""
        self._models: Iterator[str] | None = None
        self._left: float | None = None
        self._away = 0.0

    def resume(self) -> str | None:
        """Return the model for a step: the one of the step before or, if it has failed, the next; None without one."""
        if self.is_open:
            self._come_back()
            return self.model
        if self._models is None:
            self._models = iter(self.task)
        model = next(self._models, None)
        if model is None:
            self.is_over = True
            return None
        self.model = model
        self.attempt = self.task.attempt(model).__enter__()
        self.is_open, self._left, self._away = True, None, 0.0
        return model

    async def abegin(self) -> None:
        """Choose without blocking the event loop."""
        if self._models is None:
            await self.task.__aenter__()

    def pause(self, response: ModelResponse) -> bool:
        """Note what the response of a step says by itself; return whether it is an answer."""
        messages = [each for each in response.result if isinstance(each, AIMessage)]
        self.attempt.tokens_used += sum(tokens_of(each.usage_metadata) for each in messages)
        kind = next((kind for kind in map(error_kind_of, messages) if kind is not None), None)
        if kind is not None:
            self.attempt.fail(kind)
        self._left = time.perf_counter()
        return kind is None

    def stop(self) -> None:
        """Stop the time."""
        self._come_back()
        self.attempt.stop(excluding=self._away)

    def end(self, error: BaseException | None = None) -> bool:
        """Record the attempt; return whether another model follows after an error."""
        return self._ended().__exit__(*_details(error))

    async def aend(self, error: BaseException | None = None) -> bool:
        """Do the same as :meth:`end`, without blocking the event loop."""
        return await self._ended().__aexit__(*_details(error))

    def _ended(self) -> Attempt:
        self.stop()
        self.is_open = False
        return self.attempt

    def _come_back(self) -> None:
        """Leave out the time since the last step."""
        if self._left is not None:
            self._away += time.perf_counter() - self._left
            self._left = None


class _RunInState(str):
    """A run in the state of its agent: a text for those who encode what an agent streams."""

    __slots__ = ("run",)

    run: _Run

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Copy the text only: a copy is not under way."""
        return str, (str(self),)


def _run_in(state: Mapping[str, Any]) -> _Run | None:
    """Return the run under way, if the state of an agent has one."""
    kept = state.get(_RUN)
    return kept.run if isinstance(kept, _RunInState) else None


def _details(
    error: BaseException | None,
) -> tuple[type[BaseException] | None, BaseException | None, TracebackType | None]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def _with_update(request: ModelRequest, response: Any, run: _Run) -> Any:
    """Return a response with what the agent has to remember, unless it knows that already."""
    if _run_in(request.state) is run and request.state.get(_MODEL) == run.model:
        return response
    kept = _RunInState("under way")
    kept.run = run
    return ExtendedModelResponse(response, Command(update={_RUN: kept, _MODEL: run.model, TICKET_KEY: None}))
