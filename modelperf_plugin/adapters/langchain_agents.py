"""The middleware for ``create_agent`` of the package ``langchain``: one model, and one outcome, for each run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

from modelperf_plugin.adapters.common import TICKET_KEY
from modelperf_plugin.adapters.langchain_calls import Setup, error_kind_of
from modelperf_plugin.adapters.steps import Steps
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.recorder import tokens_of
from modelperf_plugin.recorder.limits import Worker, limited
from modelperf_plugin.values import ErrorKind

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
        steps = self._steps_of(request)
        with Worker(self._setup.options.timeout) as worker:
            while True:
                asking = request.override(model=self._models[steps.begin_sync()])
                try:
                    response = worker.call(partial(handler, asking))
                except BaseException as error:
                    if steps.fail_sync(error) is None:
                        raise
                    continue
                kind = _noted(response, steps)
                if kind is None or steps.reject_sync(kind) is None:
                    return _with_update(request, response, steps)

    async def awrap_model_call(self, request: ModelRequest, handler: _AsyncHandler) -> Any:
        """Do the same as :meth:`wrap_model_call`, asynchronously."""
        steps = self._steps_of(request)
        while True:
            asking = request.override(model=self._models[await steps.begin()])
            try:
                async with limited(self._setup.options.timeout):
                    response = await handler(asking)
            except BaseException as error:
                if await steps.fail(error) is None:
                    raise
                continue
            kind = _noted(response, steps)
            if kind is None or await steps.reject(kind) is None:
                return _with_update(request, response, steps)

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002 - langchain's signature
        """Record the run, and hand out its ticket."""
        if (steps := _steps_in(state)) is None:
            return None
        steps.judge_sync(self._setup.options.check, state)
        return {TICKET_KEY: steps.ticket}

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Do the same as :meth:`after_agent`, asynchronously."""
        if (steps := _steps_in(state)) is None:
            return None
        await steps.judge(self._setup.options.check, state)
        return {TICKET_KEY: steps.ticket}

    def _steps_of(self, request: ModelRequest) -> Steps:
        """Return the steps of the run under way, or those of a new one."""
        steps = _steps_in(request.state)
        if steps is not None and not steps.is_over:
            return steps
        config = ensure_config(get_config())
        context: dict[str, Any] = {}
        if (last := request.state.get(_MODEL)) in self._models:
            is_resumed = bool(request.messages) and isinstance(request.messages[-1], ToolMessage)
            context["pin" if is_resumed else "current_model"] = last
        return Steps(self._setup.task(self._models, config, config["metadata"].get("lc_agent_name"), **context))


class _Run(str):
    """A run in the state of its agent: a text for those who encode what an agent streams."""

    __slots__ = ("steps",)

    steps: Steps

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Copy the text only: a copy is not under way."""
        return str, (str(self),)


def _steps_in(state: Mapping[str, Any]) -> Steps | None:
    """Return the steps of the run under way, if the state of an agent has one."""
    run = state.get(_RUN)
    return run.steps if isinstance(run, _Run) else None


def _noted(response: ModelResponse, steps: Steps) -> ErrorKind | None:
    """End a request with its response; return why that is no answer, or None."""
    messages = [each for each in response.result if isinstance(each, AIMessage)]
    steps.pause(sum(tokens_of(each.usage_metadata) for each in messages))
    return next((kind for kind in map(error_kind_of, messages) if kind is not None), None)


def _with_update(request: ModelRequest, response: Any, steps: Steps) -> Any:
    """Return a response with what the agent has to remember, unless it knows that already."""
    if _steps_in(request.state) is steps and request.state.get(_MODEL) == steps.model:
        return response
    run = _Run("under way")
    run.steps = steps
    return ExtendedModelResponse(response, Command(update={_RUN: run, _MODEL: steps.model, TICKET_KEY: None}))
