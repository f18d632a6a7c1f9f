"""Values for change detection, demotion and fading."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from modelperf_plugin.values import Blame, Tried, from_milliseconds

Direction = Literal["up", "down", "announced"]


class Event(NamedTuple):
    """One recorded outcome, as the watches read it."""

    event_id: int
    task_type: str
    model_id: str
    success: bool
    blame: Blame | None
    """Who caused a failure; None for a success."""
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    timed_out: bool = False
    """Whether it failed and ran out of time."""
    tried: Tried = ()
    """The models that had failed on the same task before."""
    score: float | None = None
    """How good the result is, from 0 to 1, if the host graded it."""
    retry_after_ms: int | None = None
    """How long the provider asked to wait, in milliseconds."""
    error_kind: str | None = None
    """The error kind of a failure, as the host reported it."""

    @property
    def grade(self) -> float:
        """The score or, without one, 1 for a success and 0 for a failure."""
        return float(self.success) if self.score is None else self.score


class Revision(NamedTuple):
    """A verdict that was replaced, as the watches read it."""

    number: int
    """In the order of replacing."""
    before: Event
    after: Event


class Change(NamedTuple):
    """A change of a model on all its task types: detected, or announced by an operator."""

    change_id: int
    model_id: str
    direction: Direction
    """Better or worse since then, or announced."""
    since_event_id: int
    """The last outcome before the change."""
    noticed_event_id: int
    """The outcome at which it was detected."""
    since_ms: int
    """When the first outcome after it ended, approximately; in milliseconds since the Unix epoch."""
    noticed_ms: int
    """When it was detected, in milliseconds since the Unix epoch."""
    likelihood_ratio: float | None
    """How many times likelier the outcomes since are with the change than without; None if it was announced."""

    def as_dict(self) -> dict[str, Any]:
        """Return the change as plain JSON values."""
        return {
            "model_id": self.model_id,
            "direction": self.direction,
            "since": from_milliseconds(self.since_ms).isoformat(),
            "noticed": from_milliseconds(self.noticed_ms).isoformat(),
            "evidence": self.likelihood_ratio,
        }


class Baseline(NamedTuple):
    """The counts of a pair up to the last noticed change of its model, which no longer count as evidence.

    Those that raised the alarm are among them: they were selected for it, and would make a false alarm final.
    """

    successes: int
    failures: int
    """Informative failures."""
    rate: float | None
    """The success rate expected after the change; None if it was not noted."""
    timeout_failures: int = 0
    """The failures that timed out."""
    since_ms: int = 0
    """When the change was noticed, in milliseconds since the Unix epoch."""
    direction: Direction = "announced"
    """Better or worse since then, or announced."""
    later_successes: int = 0
    """The successes that were later tries."""
    later_failures: int = 0
    """The failures that were later tries."""
    later_timeout_failures: int = 0
    """The later failures that timed out."""
    score_shift: int = 0
    """The scores less the successes, summed up over the outcomes with a score, in millionths."""
    later_score_shift: int = 0
    """The part of it in later tries."""


class Faded(NamedTuple):
    """The discounted counts of a pair on some day, from the days after the last change of its model.

    Each tuple holds successes, informative failures, and how many of these timed out.
    """

    weights: tuple[float, float, float]
    """Discounted by age."""
    counts: tuple[int, int, int]
    """Undiscounted."""
    days: int
    """On how many days there are outcomes."""
    later_weights: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The part of the weights that were later tries."""
    later_counts: tuple[int, int, int] = (0, 0, 0)
    """The part of the counts that were later tries."""
    score_shift: tuple[float, int] = (0.0, 0)
    """The scores less the successes, discounted and undiscounted, in millionths."""
    later_score_shift: tuple[float, int] = (0.0, 0)
    """The part of it in later tries."""


class PastCosts(NamedTuple):
    """What tasks of one type have cost, of the outcomes since the last announced change of each model."""

    sums: dict[str, CostSums]
    """Dated costs by model."""
    newest: list[tuple[str, int]]
    """The model and the cost in nano-dollars of the newest outcomes, oldest first; 0: none was reported."""


class CostSums(NamedTuple):
    """The reported costs of one pair on days that count, in nano-dollars."""

    weighed_nano_usd: float
    """Discounted by age."""
    weighed: float
    """Number of these costs, discounted by age."""
    nano_usd: int
    """Undiscounted."""
    priced: int
    """Undiscounted."""
    reset_ms: int | None
    """Since when costs count, in milliseconds since the Unix epoch; None: all do."""


class Demotion(NamedTuple):
    """The demotion of a model on one task type."""

    demotion_id: int
    task_type: str
    model_id: str
    since_ms: int
    """In milliseconds since the Unix epoch."""
    threshold: float
    """The success rate that the model is below."""
    e_value: float
    """A model at the threshold ever reaches an e-value of E with a probability of at most 1/E."""
    reason: str
    ended_ms: int | None = None
    """When the model was reinstated; None while the demotion is in force."""
    ended_by: str | None = None
    """``evidence`` or ``operator``."""
    event_id: int = 0
    """The newest outcome at the time of the demotion or reinstatement: only later ones count for the next step."""

    def as_dict(self) -> dict[str, Any]:
        """Return the demotion as plain JSON values."""
        return {
            "task_type": self.task_type,
            "model_id": self.model_id,
            "since": from_milliseconds(self.since_ms).isoformat(),
            "threshold": self.threshold,
            "evidence": self.e_value,
            "reason": self.reason,
            "ended": None if self.ended_ms is None else from_milliseconds(self.ended_ms).isoformat(),
            "ended_by": self.ended_by,
        }


WatchKey = tuple[str, str, str]
"""Kind, task type and model of a watch."""


class WatchState(NamedTuple):
    """The state of one watch, to resume after a restart."""

    kind: str
    """``change``, ``fall`` or ``probation``; ``pool`` for rows of the fit over all task types."""
    task_type: str
    """Empty for a watch over all task types of a model, and for rows of the fit."""
    model_id: str
    """Empty for what a fit has in common for all models."""
    state: tuple[float, ...]
