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
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, decision_id: str, task_type: str, model_id: str, at_ms: int) -> None:
        """Remember a choice made at ``at_ms``, in milliseconds since the Unix epoch."""
        with self._lock:
            pair = (task_type, model_id)
            self._choices[decision_id] = _Choice(pair, at_ms)
            self._counts[pair] = self._counts.get(pair, 0) + 1
            oldest = next(iter(self._choices))
            while self._choices and (len(self._choices) > MOST or self._choices[oldest].at_ms < at_ms - EXPIRY_MS):
                self._drop(oldest)
                oldest = next(iter(self._choices), "")

    def settle(self, decision_id: str | None, task_type: str, model_id: str) -> None:
        """Forget the choice that an outcome belongs to: the one named, else the oldest of the same pair."""
        with self._lock:
            if decision_id is None:
                if not self._counts.get((task_type, model_id)):
                    return
                pair = (task_type, model_id)
                decision_id = next(known for known, choice in self._choices.items() if choice.pair == pair)
            self._drop(decision_id)

    def count(self, task_type: str, model_id: str) -> int:
        """Return how many choices of this pair wait for their outcome."""
        return self._counts.get((task_type, model_id), 0)

    def _drop(self, decision_id: str) -> None:
        choice = self._choices.pop(decision_id, None)
        if choice is None:
            return
        left = self._counts[choice.pair] - 1
        if left:
            self._counts[choice.pair] = left
        else:
            del self._counts[choice.pair]
