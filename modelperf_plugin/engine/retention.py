"""Dropping old outcomes while new ones are recorded, a small step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from modelperf_plugin.store.roles import Events
from modelperf_plugin.values import DAY_MS

STEP_SECONDS: Final = 0.1
"""Between two steps other writers have their turn."""
REST_SECONDS: Final = 3600.0
"""How often it is looked for outcomes that have become too old."""


class Retention:
    """Drops outcomes that are older than so many days. Their sums stay in the tallies and in the daily roll-up."""

    def __init__(self, events: Events, days: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep ``days`` days in ``store``; None keeps everything. ``clock`` gives seconds that never go back."""
        self._events = events
        self._days = days
        self._clock = clock
        self._next_at = 0.0
        self._after_id = 0

    def step_if_due(self, now_ms: Callable[[], int]) -> None:
        """Take one step, if it is time; called on the recording side.

        Outcomes lie in the order of recording. So the too old ones are at the beginning, and a thousand without any
        of them are the end of it.
        """
        if self._days is None or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + REST_SECONDS  # a store that fails is left alone
        step = self._events.drop(now_ms() - self._days * DAY_MS, self._after_id)
        if step.dropped:
            self._after_id = step.last_id
            self._next_at = self._clock() + STEP_SECONDS
        else:
            self._after_id = 0
