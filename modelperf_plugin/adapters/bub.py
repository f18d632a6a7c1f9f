"""bub: hooks around its calls that choose the model of a turn, and record how the turn went.

The entry point of bub, :func:`plugin`, takes its models from bub's configuration, and does nothing without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.log import logger

try:
    import bub
    from bub.hooks import hookimpl
    from bub.hooks.interception import LlmCallRequest, LlmCallResult
except ImportError as error:
    raise MissingExtraError("bub 0.5 or later", "bub") from error

if TYPE_CHECKING:
    from modelperf_plugin import ModelPerf
    from modelperf_plugin.recorder import Attempt, Task

__all__ = ["learned", "plugin", "ticket_of"]

TICKET_KEY: Final = "modelperf_ticket"
"""Where the ticket of a turn is in its state."""
_OPEN_KEY: Final = "_modelperf_turn"
_TASK_TYPE_KEY: Final = "modelperf_task_type"
_STORE: Final = "modelperf.db"


def learned(
    perf: ModelPerf | Callable[[], ModelPerf],
    models: Iterable[str],
    *,
    task_type: str | None = None,
    check: Callable[[str], Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> LearnedModels:
    """Return a plugin for bub's plugin manager that chooses among ``models`` for each turn, and records the outcome.

    Args:
        perf: the engine, or a function that returns it, called before the first call of a model.
        models: as bub names them, such as ``"openai:gpt-4o"``. A call with another model is left alone.
        task_type: the class of work; else ``state["modelperf_task_type"]``, a rule for the channel or session, or
            ``"default"``.
        check: gets the text of the last answer of a turn; as for :meth:`modelperf_plugin.ModelPerf.run`.
        context: as for ``select``.
    """
    return LearnedModels(perf, tuple(models), task_type, check, context)


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of a turn, by its ``TurnResult`` or its state; None if no model was chosen for it."""
    state = answer if isinstance(answer, Mapping) else getattr(answer, "state", None)
    ticket = state.get(TICKET_KEY) if isinstance(state, Mapping) else None
    return ticket if isinstance(ticket, str) else None


def plugin(_framework: Any = None) -> LearnedModels:
    """Return the plugin for the models in bub's configuration, ``modelperf: models``; called by bub when it starts."""
    return LearnedModels(_engine, bub.ensure_config(ModelPerfSettings).models or (), None, None, None)


@bub.config("modelperf")
class ModelPerfSettings(bub.Settings):
    """The section ``modelperf`` of bub's configuration, or ``BUB_MODELPERF_MODELS``."""

    model_config = {"env_prefix": "BUB_MODELPERF_", "env_parse_none_str": "null", "extra": "ignore"}  # noqa: RUF012
    models: list[str] | None = None


@cache
def _engine() -> ModelPerf:
    from modelperf_plugin.adapters.opening import engine_with

    return engine_with(Path(bub.home) / _STORE)


class LearnedModels:
    """The hooks. bub logs their exceptions and goes on, but there are none: a failure of ours is logged once."""

    def __init__(
        self, perf: Any, models: Iterable[str], task_type: str | None, check: Any, context: Mapping[str, Any] | None
    ) -> None:
        """See :func:`learned`."""
        self.__name__ = "modelperf_plugin.adapters.bub"  # hosts that list their plugins read this
        self._perf = perf
        self._models = tuple(models)
        self._task_type = task_type
        self._check = check
        self._context = context
        self._has_failed = False

    @hookimpl
    async def before_llm_call(self, request: LlmCallRequest, state: dict[str, Any]) -> LlmCallRequest | None:
        """Choose the model with the first call of a turn; its further calls keep it."""
        if request.model not in self._models:
            return None
        turn = _turn_in(state) or await self._begun(request, state)
        return None if turn is None else replace(request, model=turn.model)

    @hookimpl
    async def after_llm_call(self, request: LlmCallRequest, result: LlmCallResult, state: dict[str, Any]) -> None:
        """Add up what the calls of a turn use; record it with its last one."""
        turn = _turn_in(state)
        if turn is None or request.model != turn.model:  # another plugin has changed it
            return
        turn.add(result)
        if result.error is not None or not result.tool_calls:
            del state[_OPEN_KEY]
            await self._ended(turn, state, result)

    @hookimpl
    async def save_state(self, state: dict[str, Any]) -> None:
        """Note that a turn has ended without an answer: cancelled, or after as many steps as it may have."""
        turn = _turn_in(state)
        if turn is not None:
            del state[_OPEN_KEY]
            turn.attempt.fail("cancelled")
            await self._ended(turn, state, None)

    async def _begun(self, request: LlmCallRequest, state: dict[str, Any]) -> _Turn | None:
        try:
            perf: ModelPerf = self._perf() if callable(self._perf) else self._perf
            task_type = self._task_type or perf.task_type_for(_labels(state))
            context = dict(self._context or {})
            if state.get("model") == request.model:  # the user has named it
                context["pin"] = request.model
            task = await perf.task(task_type, self._models, context or None).__aenter__()
            model = task.decision.model_id if task.decision is not None else request.model
            turn = state[_OPEN_KEY] = _Turn(task, await task.attempt(model).__aenter__(), state)
        except Exception as error:  # noqa: BLE001 - bub works without
            self._note("the model is bub's own", error)
            return None
        return turn

    async def _ended(self, turn: _Turn, state: dict[str, Any], result: LlmCallResult | None) -> None:
        error = None if result is None else result.error
        try:
            turn.attempt.stop()
            turn.attempt.duration_seconds = turn.seconds
            if result is not None and error is None:
                await self._judge(turn, result.text or "")
            await turn.attempt.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
            state[TICKET_KEY] = turn.task.ticket
        except Exception as failure:  # noqa: BLE001 - bub has its answer
            self._note("a turn was not recorded", failure)

    async def _judge(self, turn: _Turn, text: str) -> None:
        """Note whether an answer is good."""
        from modelperf_plugin.recorder.judging import check_answer_async

        if not text:
            turn.attempt.fail()  # filtered, or cut off: bub raises nothing
        with suppress(Exception):  # raised by the check, and noted as a failure
            await check_answer_async(turn.task.link, turn.attempt, self._check, text)

    def _note(self, consequence: str, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error("%s: %s: %s", consequence, type(error).__name__, error)


class _Turn:
    """A turn that has begun: the model of its calls, and what they have used so far."""

    def __init__(self, task: Task, attempt: Attempt, state: Mapping[str, Any]) -> None:
        self.task = task
        self.state = state
        """The state of the turn. That of a subagent is a copy of it."""
        self.attempt = attempt
        self.model = attempt.model
        self.seconds = 0.0

    def add(self, result: LlmCallResult) -> None:
        """Add one call."""
        from modelperf_plugin.recorder import tokens_of

        self.seconds += result.duration_ms / 1000.0
        self.attempt.usage(self.attempt.tokens_used + tokens_of(result.usage))


def _turn_in(state: Mapping[str, Any]) -> _Turn | None:
    """Return the turn under way; that of the agent that has called a subagent is not its own."""
    turn = state.get(_OPEN_KEY)
    return turn if isinstance(turn, _Turn) and turn.state is state else None


def _labels(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what rules for task types may be about: names, no text of the conversation."""
    session = str(state.get("session_id") or "")
    labels = {"session": session, "channel": session.partition(":")[0]}
    own = state.get(_TASK_TYPE_KEY)
    return {**labels, _TASK_TYPE_KEY: own} if isinstance(own, str) else labels
