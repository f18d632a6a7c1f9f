"""The recorder's way to the engine: nothing that fails there breaks the call of a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from modelperf_plugin.config import Config
from modelperf_plugin.config.rules import Labels
from modelperf_plugin.errors import InvalidValueError, StoreBusyError
from modelperf_plugin.recorder.turns import Turns
from modelperf_plugin.store.deadline import within
from modelperf_plugin.values import Context, Decision, Outcome, check_id, check_ids

LOOP_SECONDS: Final = 0.01
"""How long an event loop waits for others that write. After the first wait outcomes are spooled without any."""

_T = TypeVar("_T")
CostOf = Callable[[str, int, int | None, str | None], float]


class Engine(Protocol):
    """What the recorder needs of :class:`~modelperf_plugin.engine.core.ModelPerf`."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    def select(
        self, task_type: str, candidates: Iterable[str], context: Mapping[str, Any] | None = None
    ) -> Decision | None:
        """Choose among ``candidates``; None for no opinion."""

    def record(
        self,
        task_type: str,
        model_id: str,
        outcome: Outcome | Mapping[str, Any],
        decision: Decision | str | None = None,
    ) -> bool:
        """Write an outcome; return whether the store has changed."""


class Order(NamedTuple):
    """Which models to try for a task."""

    decision: Decision | None
    """None without an opinion: the models are in the host's own order."""
    models: tuple[str, ...]
    tries: int
    """How many tries that say something about a model are worth making."""


class EngineLink:
    """Chooses and records. Any thread may call any method; a failure of the store is reported and never raised.

    Without ``waits`` a call returns within :data:`LOOP_SECONDS`, also while others keep the store busy.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now_ms: Callable[[], int],
        note: Callable[[str, Exception], None],
        cost_of: CostOf,
        hand_out: Callable[[str], None],
    ) -> None:
        """Call ``engine``; ``note`` reports a failure and what follows from it, once, and never raises."""
        self._engine = engine
        self.now_ms = now_ms
        """Returns the engine's time, in milliseconds since the Unix epoch."""
        self.note = note
        self.cost_of = cost_of
        """Estimates what the tokens of a call have cost, by model, output tokens and served model; 0 if unknown."""
        self._hand_out = hand_out
        self.turns = Turns()
        """When to choose and record without waiting."""

    @property
    def pass_score(self) -> float:
        """The score from which a result is a success."""
        return self._engine.config.quality.pass_score

    def task_type_for(self, labels: Labels) -> str | None:
        """Return the task type that the labels of a call name, or a rule for them; None if neither does."""
        return self._engine.config.rules.task_type_for(labels)

    def choose(
        self, task_type: str, models: tuple[str, ...], context: Mapping[str, Any] | None, *, waits: bool
    ) -> Order:
        """Return the models to try, in their order: the host's own if the engine has no opinion.

        Raises:
            InvalidValueError: an argument is invalid, or no model is permitted.
        """
        select = self._engine.select
        decision = None
        try:
            if waits:
                decision = select(task_type, models, context)
            else:
                decision = self._at_once(partial(select, task_type, models, context))
        except InvalidValueError:
            raise
        except Exception as error:  # noqa: BLE001 - a choice is help, and the host's call works without
            self.note("models are tried in the host's own order", error)
        if decision is None:
            own = _own_order(task_type, models, context)
            return Order(None, own, len(own))
        return Order(decision, decision.order, len(decision.plan) or len(decision.order))

    def hand_out(self, decision_id: str, *, waits: bool) -> None:
        """Have a decision written before others learn its id: whatever ends this process, its verdict finds it."""
        write = partial(self._hand_out, decision_id)
        if waits:
            write()
        else:
            self._at_once(write)

    def record(
        self, task_type: str, model_id: str, outcome: Outcome, decision: Decision | str | None, *, waits: bool
    ) -> bool:
        """Record an outcome; return whether the store has changed."""
        write = partial(self._engine.record, task_type, model_id, outcome, decision)
        try:
            if waits:
                return write()
            try:
                return self._at_once(write)
            except StoreBusyError:  # a store in memory spools nothing, and is only kept busy for moments
                return write()
        except Exception as error:  # noqa: BLE001 - the host has its result
            self.note("an outcome was not recorded", error)
            return False

    def _at_once(self, action: Callable[[], _T]) -> _T:
        started = time.perf_counter()
        try:
            return within(LOOP_SECONDS, action)
        finally:
            self.turns.spend(time.perf_counter() - started)


def check_models(models: Iterable[str]) -> tuple[str, ...]:
    """Return the models in their order, without duplicates; raise InvalidValueError unless there are valid ones."""
    checked = check_ids("models", models)
    if not checked:
        raise InvalidValueError("models", "at least one model id", checked)
    return checked


def _own_order(task_type: str, models: tuple[str, ...], context: Mapping[str, Any] | None) -> tuple[str, ...]:
    check_id("task_type", task_type)
    wishes = Context.from_mapping(context)
    permitted = tuple(model for model in models if model not in wishes.exclude)
    if not permitted:
        raise InvalidValueError("models", "at least one model that context['exclude'] permits", models)
    if wishes.pin in permitted:
        return check_ids("models", (wishes.pin, *permitted))
    return permitted
