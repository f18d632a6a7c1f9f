"""Decisions still waiting for their outcome."""

from __future__ import annotations

import threading
from typing import Final

EXPIRY_MS: Final = 3_600_000
"""How long a decision waits for its outcome, in milliseconds."""
MAX_DECISIONS: Final = 10_000
"""Maximum number of decisions that are remembered; the oldest are dropped."""


class Pending:
    """Counts the decisions of this process that wait for their outcome, for each (task type, model)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[tuple[str, str], int]] = {}
        """The pair of each decision, and when it was made."""
        self._ids: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, decision_id: str, task_type: str, model_id: str, at_ms: int) -> None:
        """Remember a decision made at ``at_ms``, in milliseconds since the Unix epoch."""
        with self._lock:
            pair = (task_type, model_id)
            self._waiting[decision_id] = (pair, at_ms)
            self._ids.setdefault(pair, {})[decision_id] = None
            oldest = next(iter(self._waiting))
            expired_ms = at_ms - EXPIRY_MS
            while self._waiting and (len(self._waiting) > MAX_DECISIONS or self._waiting[oldest][1] < expired_ms):
                self._drop(oldest)
                oldest = next(iter(self._waiting), "")

    def settle(self, decision_id: str | None, task_type: str, model_id: str) -> None:
        """Forget the decision of an outcome: the one with this id, else the oldest of the same pair."""
        pair = (task_type, model_id)
        if decision_id is None and pair not in self._ids:
            return
        with self._lock:
            if decision_id is None:
                decision_id = next(iter(self._ids.get(pair, ())), "")
            self._drop(decision_id)

    def count(self, task_type: str, model_id: str) -> int:
        """Return how many decisions of this pair wait for their outcome."""
        return len(self._ids.get((task_type, model_id), ()))

    def _drop(self, decision_id: str) -> None:
        decision = self._waiting.pop(decision_id, None)
        if decision is None:
            return
        pair, _ = decision
        del self._ids[pair][decision_id]
        if not self._ids[pair]:
            del self._ids[pair]
