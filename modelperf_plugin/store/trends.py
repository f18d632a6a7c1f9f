"""Values for queries over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from modelperf_plugin.values import DAY_MS, Tally

if TYPE_CHECKING:
    from modelperf_plugin.store.decisions import LoggedDecision

MAX_SAMPLED_DECISIONS: Final = 10_000
"""Rows of decisions are long, and there may be millions: only the newest are read."""


class Days(NamedTuple):
    """A period of whole days in UTC, counted from the Unix epoch and divided into steps from its end."""

    first: int
    end: int
    """The day after the last one."""
    step: int = 1
    """Days per step; the first step may be shorter."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return -((self.first - self.end) // self.step)

    def of(self, position: int) -> Days:
        """Return the days of one step; the oldest is step 0."""
        end = self.end - (self.steps - 1 - position) * self.step
        return Days(max(self.first, end - self.step), end)

    @property
    def first_ms(self) -> int:
        """The beginning of the first day, in milliseconds since the Unix epoch."""
        return self.first * DAY_MS

    @property
    def end_ms(self) -> int:
        """The end of the last day, in milliseconds since the Unix epoch."""
        return self.end * DAY_MS


class TrendStep(NamedTuple):
    """The counts of one step of a period."""

    position: int
    """The oldest step is 0."""
    tally: Tally
    """``model_id`` is empty in counts of all models."""


class LatestChoice(NamedTuple):
    """The model that the newest decisions of a task type chose; those that explored and retries are left out."""

    task_type: str
    model_id: str
    since_ms: int
    """Time of the oldest decision since which no other model was chosen, in milliseconds since the Unix epoch."""
    decisions: int
    is_first: bool
    """Whether no other model was chosen before, among the decisions in the sample."""


class DecisionSums(NamedTuple):
    """Counts over the newest decisions of one task type and mode."""

    task_type: str
    mode: str
    """``apply`` or ``observe``."""
    decisions: int
    with_outcome: int
    overdue: int
    """How many are older than an hour and have none."""
    explored: int
    """How many chose a model other than the best, to learn about it."""
    exploring: float
    """The expected number of those: the sum of their probabilities of exploring."""
    cost_nano_usd: int
    """Cost of their outcomes, in nano-dollars."""
    explored_cost_nano_usd: int
    """Cost of the outcomes of those that explored, in nano-dollars."""
    oldest_ms: int
    """Time of the oldest one, in milliseconds since the Unix epoch."""


Ending = Literal["succeeded", "failed", "none"]
"""How a decision ended: with a success, with failures only, without an outcome."""
SortOrder = Literal["newest", "oldest", "rarest", "costliest", "slowest"]
"""``rarest`` begins with the choices that were least likely."""


class DecisionSearch(NamedTuple):
    """A search among the newest decisions of some time; None matches all."""

    first_ms: int
    end_ms: int
    """In milliseconds since the Unix epoch; not included."""
    task_type: str | None = None
    models: tuple[str, ...] | None = None
    explored: bool | None = None
    ending: Ending | None = None
    text: str = ""
    """Part of an id, a task type or a model, in upper or lower case."""
    order: SortOrder = "newest"
    offset: int = 0
    limit: int = 50


class FoundDecisions(NamedTuple):
    """What a search found."""

    decisions: list[LoggedDecision]
    """At most ``limit`` of the matches, in order."""
    matches: int
    searched: int
    """How many decisions were searched: at most :data:`MAX_SAMPLED_DECISIONS`."""
    oldest_ms: int | None
    """Time of the oldest one of these."""
