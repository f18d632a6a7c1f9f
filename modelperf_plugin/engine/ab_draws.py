"""The choices that A/B tests drew, remembered until their outcome comes."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple, Self

from modelperf_plugin.store import LoggedDecision
from modelperf_plugin.values import Assignment, Decision
from modelperf_plugin.values.locks import first

MAX_DRAWS: Final = 10_000
"""Maximum number of draws, and of counted decisions, that are remembered."""


class Draw(NamedTuple):
    """A choice that a test drew, with what it takes to judge its outcome."""

    assignment: Assignment
    model_id: str
    shares: dict[str, float]
    """The probability of each model to be drawn; those with 0 are left out."""

    @classmethod
    def of(cls, decision: Decision | LoggedDecision | None) -> Self | None:
        """Return the draw of a decision; None if no test made it."""
        if decision is None or decision.assignment is None:
            return None
        if isinstance(decision, Decision):
            shares = decision.propensities
        else:
            shares = {row.model_id: row.propensity for row in decision.candidates}
        return cls(decision.assignment, decision.model_id, {name: share for name, share in shares.items() if share})


class Draws:
    """The draws of this process without an outcome, and the decisions whose outcome has been counted."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.open: dict[str, Draw] = {}
        """By decision id, which may be all that a host passes to record."""
        self.counted: dict[str, None] = {}

    def add(self, decision: Decision) -> None:
        """Remember the draw of a decision, if a test made it."""
        draw = Draw.of(decision)
        if draw is None:
            return
        with self._lock:
            self.open[decision.decision_id] = draw
            _limit(self.open)

    def count(self, decision_id: str) -> bool:
        """Mark the outcome of a decision as counted; return False if it was before."""
        with self._lock:
            if decision_id in self.counted:
                return False
            self.counted[decision_id] = None
            self.open.pop(decision_id, None)
            _limit(self.counted)
            return True


def _limit(remembered: dict[str, Draw] | dict[str, None]) -> None:
    if len(remembered) > MAX_DRAWS:
        remembered.pop(first(remembered, ""), None)
