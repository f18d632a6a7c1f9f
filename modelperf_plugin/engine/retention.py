"""Drops old outcomes while new ones are recorded, in small steps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.roles import Events
from modelperf_plugin.values import DAY_MS

STEP_SECONDS: Final = 0.1
"""The time between two steps, in which others can write."""
REST_SECONDS: Final = 3600.0
"""How long to wait after the last step, or after a failure."""


class Retention:
    """Drops outcomes older than the configured number of days; tallies and the daily roll-up keep their sums.

    Outcomes are stored in the order of recording, so the old ones usually come first. A round begins there, and then
    goes once around the whole log from a random place, because a history may have been imported after newer outcomes.
    The random start lets many short-lived hosts cover a large log together.
    """

    def __init__(self, events: Events, days: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep ``days`` days in ``events``; None keeps everything."""
        self._events = events
        self._days = days
        self._clock = clock
        self._next_at = 0.0
        self._begin_round()

    def step_if_due(self, now_ms: Callable[[], int]) -> None:
        """Take a step if it is due; called after an outcome was recorded."""
        if self._days is None or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + REST_SECONDS  # also if the store fails now
        try:
            step = self._events.drop(now_ms() - self._days * DAY_MS, self._after_id)
        except StoreBusyError:
            self._next_at = self._clock() + STEP_SECONDS
            raise
        if self._is_round_complete(step):
            self._begin_round()
        else:
            self._next_at = self._clock() + STEP_SECONDS

    def _begin_round(self) -> None:
        self._after_id = 0
        self._start_id: int | None = None
        """Where the way around the log began; None while the beginning of the log has old outcomes."""
        self._at_beginning = True
        """Whether the next step is before ``_start_id``."""

    def _is_round_complete(self, step: DroppedStep) -> bool:
        """Move on by a step; return whether the whole log has been examined."""
        self._after_id = step.last_id
        if self._start_id is None:
            if step.at_end:
                return True
            if not step.dropped:
                self._start_id = random.randint(step.last_id, max(step.last_id, self._events.last_id()))
                self._after_id, self._at_beginning = self._start_id, False
            return False
        if self._at_beginning:
            return step.last_id >= self._start_id
        if step.at_end:
            self._after_id, self._at_beginning = 0, True
        return False
