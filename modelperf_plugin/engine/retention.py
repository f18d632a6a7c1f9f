"""Drops old outcomes while new ones are recorded, in small steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from modelperf_plugin.store.roles import Events
from modelperf_plugin.values import DAY_MS

STEP_SECONDS: Final = 0.1
"""The time between two steps, in which others can write."""
REST_SECONDS: Final = 3600.0
"""How long to wait after the last step, or after a failure."""


class Retention:
    """Drops outcomes older than the configured number of days; tallies and the daily roll-up keep their sums."""

    def __init__(self, events: Events, days: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep ``days`` days in ``events``; None keeps everything."""
        self._events = events
        self._days = days
        self._clock = clock
        self._next_at = 0.0
        self._after_id = 0

    def step_if_due(self, now_ms: Callable[[], int]) -> None:
        """Take a step if it is due; called after an outcome was recorded.

        Outcomes are stored in the order of recording, so the old ones come first, and the first thousand without an old
        one end the search.
        """
        if self._days is None or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + REST_SECONDS  # also if the store fails now
        step = self._events.drop(now_ms() - self._days * DAY_MS, self._after_id)
        if step.dropped:
            self._after_id = step.last_id
            self._next_at = self._clock() + STEP_SECONDS
        else:
            self._after_id = 0
