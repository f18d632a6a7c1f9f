"""Decisions still waiting for their outcome."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from modelperf_plugin.values.locks import first

EXPIRY_MS: Final = 3_600_000
"""How long a decision waits for its outcome, in milliseconds."""
MAX_DECISIONS: Final = 8_000
"""Maximum number of decisions that are remembered; the oldest are dropped."""

_NEVER: Final = (("", ""), 2**63)


class Pending:
    """Counts the decisions of this process that wait for their outcome, for each (task type, model)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: OrderedDict[str, tuple[tuple[str, str], int]] = OrderedDict()
        """The pair of each decision, and when it was made. A plain dict would be slow to find the oldest of many."""
        self._ids: dict[tuple[str, str], list[str]] = {}
        """The decisions of each pair, oldest first: usually there are few, so a list saves memory and costs no time."""

    def add(self, decision_id: str, task_type: str, model_id: str, at_ms: int) -> None:
        """Remember a decision made at ``at_ms``, in milliseconds since the Unix epoch."""
        with self._lock:
            pair = (task_type, model_id)
            self._waiting[decision_id] = (pair, at_ms)
            self._ids.setdefault(pair, []).append(decision_id)
            oldest = first(self._waiting, "")
            expired_ms = at_ms - EXPIRY_MS
            while len(self._waiting) > MAX_DECISIONS or self._waiting.get(oldest, _NEVER)[1] < expired_ms:
                self._drop(oldest)
                oldest = first(self._waiting, "")

    def settle(self, decision_id: str | None, task_type: str, model_id: str) -> None:
        """Forget the decision of an outcome: the one with this id, else the oldest of the same pair."""
        pair = (task_type, model_id)
        if decision_id is None and pair not in self._ids:
            return
        with self._lock:
            if decision_id is None:
                decision_id = first(self._ids.get(pair, ()), "")
            self._drop(decision_id)

    def counts(self, task_type: str, model_ids: Iterable[str]) -> list[int]:
        """Return for each model how many decisions wait for their outcome; empty if none waits at all."""
        ids = self._ids
        return [len(ids.get((task_type, model_id), ())) for model_id in model_ids] if ids else []

    def count(self, task_type: str, model_id: str) -> int:
        """Return how many decisions of this pair wait for their outcome."""
        return len(self._ids.get((task_type, model_id), ()))

    @property
    def total(self) -> int:
        """How many decisions wait for their outcome."""
        return len(self._waiting)

    def waiting(self) -> list[tuple[tuple[str, str], int]]:
        """Return for each pair with decisions that wait for their outcome how many do."""
        return [(pair, len(ids)) for pair, ids in self._ids.copy().items()] if self._ids else []

    def _drop(self, decision_id: str) -> None:
        pair, _ = self._waiting.get(decision_id, (None, 0))
        if pair is None:
            return
        ids = self._ids.get(pair, [])
        if decision_id in ids:  # unless the call that added it was interrupted
            ids.remove(decision_id)
        if not ids:
            self._ids.pop(pair, None)
        self._waiting.pop(decision_id, None)  # last: should it be interrupted, it is done again
