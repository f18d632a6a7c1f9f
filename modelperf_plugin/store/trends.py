"""The values of looking at a store over time, and what a store promises to who looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.values import Tally

DAY_MS: Final = 86_400_000
"""Milliseconds of a day."""
MOST_SAMPLED: Final = 10_000
"""Of the decisions that were kept the newest so many are looked at: their rows are long, and there may be millions."""


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


class Trends(Protocol):
    """The part of a store that is looked at over time. Any thread may call any method at any time.

    Counts come from the daily roll-up, so no question takes longer because there are more outcomes. Sums that were
    imported belong to no day, and are in none of them.
    """

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        """Return what was counted for each pair on these days, sorted by task type and model.

        ``last_used_ms`` is None: days do not know it.
        """

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        """Return what was counted for each pair in each step that has outcomes, the oldest first for each pair."""

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        """Return what was counted for each task type, over all models, on these days."""

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        """Return what was counted for each task type, over all models, in each step that has outcomes, in no order."""

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        """Return the newest decisions made on these days, :data:`MOST_SAMPLED` at most, in numbers."""

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        """Return the newest decisions made on these days, newest first.

        Only the newest :data:`MOST_SAMPLED` are looked at: ``task_type`` and ``model_id`` choose among them.
        """
