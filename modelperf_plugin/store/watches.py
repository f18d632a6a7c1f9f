"""The values of watching models over time."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from modelperf_plugin.values import from_milliseconds

Direction = Literal["up", "down", "announced"]


class Event(NamedTuple):
    """One recorded outcome, as the watches see it."""

    event_id: int
    """In the order of recording."""
    task_type: str
    """The class of work."""
    model_id: str
    """The model that did it."""
    success: bool
    """Whether it was done well."""
    counts: bool
    """Whether it says something about the model: neither an outage nor the caller's error."""
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""
    outage: bool = False
    """Whether the provider failed."""
    timed_out: bool = False
    """Whether it failed and ran out of time."""


class Change(NamedTuple):
    """A change of a model over all its task types: silent and noticed, or announced."""

    change_id: int
    """Numbered in the order of noticing."""
    model_id: str
    """The model that changed."""
    direction: Direction
    """Whether it succeeds more or less often since; or an operator has said that it changed."""
    since_event_id: int
    """The last outcome before the change."""
    noticed_event_id: int
    """The outcome at which it was noticed."""
    since_ms: int
    """When the first outcome after it ended, about; in milliseconds since the Unix epoch."""
    noticed_ms: int
    """When it was noticed."""
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
    """The counts of a pair from before the last change of its model: they are evidence no more."""

    successes: int
    """Successes before the change."""
    failures: int
    """Failures before it that say something about the model."""
    rate: float | None
    """What the rate was expected to be after it; None if nothing was known."""
    timeout_failures: int = 0
    """Those of the failures that ran out of time."""
    since_ms: int = 0
    """When the first outcome after the change ended, about; in milliseconds since the Unix epoch."""


class Faded(NamedTuple):
    """What the dated outcomes of a pair weigh on some day, of the days after the last change of its model.

    Each tuple holds successes, failures that say something about the model, and those of them that ran out of time.
    """

    weights: tuple[float, float, float]
    """What they weigh."""
    counts: tuple[int, int, int]
    """How many they are."""
    days: int
    """On how many days they ended."""


class Demotion(NamedTuple):
    """A model taken out of the ranking of one task type, by evidence."""

    demotion_id: int
    """Numbered in the order of demoting."""
    task_type: str
    """Where."""
    model_id: str
    """Who."""
    since_ms: int
    """Since when, in milliseconds since the Unix epoch."""
    threshold: float
    """The rate that it is surely below."""
    e_value: float
    """A model at the threshold ever reaches an e-value of E with a probability of at most 1/E."""
    reason: str
    """One sentence for a person."""
    ended_ms: int | None = None
    """When it was reinstated; None while the demotion lasts."""
    ended_by: str | None = None
    """``evidence`` or ``operator``."""
    event_id: int = 0
    """The newest outcome when it was made, or ended: only later ones count for what comes next."""

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


class WatchState(NamedTuple):
    """The state of one watch, for going on after a restart."""

    kind: str
    """``change``, ``fall`` or ``probation``; ``pool`` for parts of the fit over all task types."""
    task_type: str
    """The task type; empty for a watch over all of a model's task types, and for parts of the fit."""
    model_id: str
    """The model; empty for parts of the fit."""
    state: tuple[float, ...]
    """Its numbers."""
