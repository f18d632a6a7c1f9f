"""Values for queries over time."""

from __future__ import annotations

from typing import Final, NamedTuple

from modelperf_plugin.values import Tally

DAY_MS: Final = 86_400_000
"""Milliseconds of a day."""
MAX_SAMPLED_DECISIONS: Final = 10_000
"""Rows of decisions are long, and there may be millions: only the newest are read."""


class Days(NamedTuple):
    """A stretch of whole days in UTC, counted from the Unix epoch, divided into steps from its end."""

    first: int
    """The first day."""
    end: int
    """The day after the last one."""
    step: int = 1
    """How many days are one step; the first step may be shorter."""

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return -((self.first - self.end) // self.step)

    def of(self, position: int) -> Days:
        """Return the days of one step, counted from 0 at the oldest."""
        end = self.end - (self.steps - 1 - position) * self.step
        return Days(max(self.first, end - self.step), end)

    @property
    def first_ms(self) -> int:
        """When the first day begins, in milliseconds since the Unix epoch."""
        return self.first * DAY_MS

    @property
    def end_ms(self) -> int:
        """When the last day has ended."""
        return self.end * DAY_MS


class TrendStep(NamedTuple):
    """What was counted in one step of a stretch of days."""

    position: int
    """Which step, counted from 0 at the oldest."""
    tally: Tally
    """The counts; ``model_id`` is empty if they are those of all models."""


class DecisionSums(NamedTuple):
    """The newest decisions of one task type and mode, in numbers."""

    task_type: str
    """The class of work."""
    mode: str
    """``apply`` or ``observe``."""
    decisions: int
    """How many."""
    with_outcome: int
    """How many of them have their outcome."""
    overdue: int
    """How many have none and were made more than an hour ago."""
    explored: int
    """How many chose something else than the best, to learn about it."""
    exploring: float
    """How many would have, by their probabilities."""
    cost_nano_usd: int
    """What their outcomes cost, in nano-dollars."""
    explored_cost_nano_usd: int
    """What the outcomes of those cost that explored."""
    oldest_ms: int
    """When the oldest of them was made."""
