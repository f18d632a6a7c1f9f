"""Choices whose outcome has not come yet."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

EXPIRY_MS: Final = 3_600_000
"""An outcome that has not come after an hour is not waited for any more."""
MOST: Final = 10_000
"""How many choices are remembered at most, the newest ones."""


class _Choice(NamedTuple):
    pair: tuple[str, str]
    at_ms: int


class Pending:
    """Counts, for each (task type, model), how many choices wait for their outcome; of this process only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._choices: dict[str, _Choice] = {}
        self._ids: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, decision_id: str, task_type: str, model_id: str, at_ms: int) -> None:
        """Remember a choice made at ``at_ms``, in milliseconds since the Unix epoch."""
        with self._lock:
            pair = (task_type, model_id)
            self._choices[decision_id] = _Choice(pair, at_ms)
            self._ids.setdefault(pair, {})[decision_id] = None
            oldest = next(iter(self._choices))
            while self._choices and (len(self._choices) > MOST or self._choices[oldest].at_ms < at_ms - EXPIRY_MS):
                self._drop(oldest)
                oldest = next(iter(self._choices), "")

    def settle(self, decision_id: str | None, task_type: str, model_id: str) -> None:
        """Forget the choice that an outcome belongs to: the one named, else the oldest of the same pair."""
        pair = (task_type, model_id)
        if decision_id is None and pair not in self._ids:
            return
        with self._lock:
            if decision_id is None:
                decision_id = next(iter(self._ids.get(pair, ())), "")
            self._drop(decision_id)

    def count(self, task_type: str, model_id: str) -> int:
        """Return how many choices of this pair wait for their outcome."""
        return len(self._ids.get((task_type, model_id), ()))

    def _drop(self, decision_id: str) -> None:
        choice = self._choices.pop(decision_id, None)
        if choice is None:
            return
        waiting = self._ids[choice.pair]
        del waiting[decision_id]
        if not waiting:
            del self._ids[choice.pair]
