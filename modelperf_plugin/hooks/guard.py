"""An engine that hooks can call: opened when the store allows, and never raising."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.hooks.failures import Failures
from modelperf_plugin.store import forks
from modelperf_plugin.store.background import at_process_end
from modelperf_plugin.store.deadline import BUSY_SECONDS, NO_WAIT, within
from modelperf_plugin.values import Decision, Outcome
from modelperf_plugin.values.backoff import Backoff
from modelperf_plugin.values.locks import attempt

CLOSE_SECONDS: Final = 5.0
"""How long closing waits for a thread that is opening the engine."""

_T = TypeVar("_T")


class GuardedEngine:
    """An engine behind hooks: failures are counted instead of raised, and opening it is retried."""

    def __init__(self, open_engine: Callable[[Failures], ModelPerf]) -> None:
        self._open_engine = open_engine
        self.failures = Failures()
        self._lock = threading.Lock()
        self._engine: ModelPerf | None = None
        self._closed = False
        self._backoff = Backoff()
        self._error: Exception = StoreError("the store is being opened")
        forks.renew(self, GuardedEngine._renew)
        at_process_end(self, GuardedEngine._finish)

    def _finish(self) -> None:
        """Save the counts of failures when the process ends without ``close``."""
        engine = self._engine
        if engine is not None:
            self.failures.save(engine.store.problems, at_once=True)

    def _renew(self) -> None:
        """Start over in a forked process: a thread that does not exist there may have held the lock."""
        self._lock = threading.Lock()

    def start(self) -> None:
        """Open the engine; a failing store is counted, a bad configuration is raised."""
        try:
            self.get(BUSY_SECONDS)
        except StoreError as error:
            self.failures.note("opening the store", error)

    def get(self, seconds: float = NO_WAIT) -> ModelPerf:
        """Return the engine, opening it if an attempt is due; otherwise raise the last error.

        One thread opens it, and the others do not wait. Opening waits ``seconds`` at most for others that write.
        """
        engine = self._engine
        if engine is not None:
            return engine
        attempt(self._lock, lambda: within(seconds, self._open_if_closed))
        engine = self._engine
        if engine is None:
            raise self._last_error()
        return engine

    def record(
        self, task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any], decision: Decision | str | None
    ) -> None:
        """Record an outcome; a failure is counted. Afterwards the store is known to work, so earlier ones are saved.

        An error kind that is not known loses no outcome: it is counted as a failure, and as ``other``.
        """
        try:
            (self._engine or self.get()).record(task_type, model_id, outcome, decision)
        except InvalidValueError as error:
            if error.field != "error_kind" or not isinstance(outcome, Mapping):
                self._note("on_task_complete", error)
                return
            requirement = f"{error.requirement} (this outcome was recorded with another one)"
            self._note("on_task_complete", InvalidValueError(error.field, requirement, error.value, typed=True))
            self.record(task_type, model_id, _with_known_kind(outcome), decision)
        except Exception as error:  # noqa: BLE001 - a hook never raises into its host
            self._note("on_task_complete", error)
        else:
            if self.failures.unsaved:
                self._save()

    def call(self, where: str, action: Callable[[ModelPerf], _T]) -> _T | None:
        """Return what ``action`` returns; a failure is counted and answered with None."""
        try:
            return action(self.get())
        except Exception as error:  # noqa: BLE001 - a hook never raises into its host
            self._note(where, error)
            return None

    def close(self) -> None:
        """Save the counts of failures and close the engine."""
        self._closed = True
        attempt(self._lock, self._close_if_open, CLOSE_SECONDS)

    def _open_if_closed(self) -> None:
        if self._closed:
            raise StoreError("the plugin is closed")
        if self._engine is not None:
            return
        if not self._backoff.due:
            raise self._last_error()
        try:
            self._engine = self._open_engine(self.failures)
        except Exception as error:
            self._error = error
            self._backoff.failed()
            raise
        if self._closed:  # meanwhile, and without waiting for this
            self._close_if_open()

    def _close_if_open(self) -> None:
        engine = self._engine
        if engine is not None:
            within(engine.patience, lambda: self._close(engine))
            self._engine = None  # last: should it be interrupted, closing again ends it

    def _close(self, engine: ModelPerf) -> None:
        self.failures.save(engine.store.problems, at_once=True)
        engine.close()

    def _last_error(self) -> Exception:
        # raised repeatedly: its traceback would grow each time, and keep the host's frames alive
        return self._error.with_traceback(None)

    def _note(self, where: str, error: Exception) -> None:
        with suppress(Exception):  # a handler or filter of the host's logging may raise
            self.failures.note(where, error)
        if not isinstance(error, StoreError):  # a store that has just failed would make the host wait again
            self._save()

    def _save(self) -> None:
        engine = self._engine
        if engine is not None:
            within(NO_WAIT, lambda: self.failures.save(engine.store.problems))


def _with_known_kind(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return an outcome whose error kind is not known with one that is."""
    rest = {key: value for key, value in outcome.items() if key not in {"error_kind", "errorKind"}}
    kind = outcome.get("error_kind", outcome.get("errorKind"))
    return {**rest, "timeout": True} if kind == "timeout" else {**rest, "error_kind": "other"}
