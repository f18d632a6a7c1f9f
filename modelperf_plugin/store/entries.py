"""Small values that stores take and return."""

from __future__ import annotations

from typing import Any, NamedTuple

from modelperf_plugin.values import Outcome


class Entry(NamedTuple):
    """An outcome to be recorded, already validated."""

    task_type: str
    model_id: str
    outcome: Outcome
    ended_ms: int
    """In milliseconds since the Unix epoch."""


class CountedProblem(NamedTuple):
    """A kind of failure that a host did not notice."""

    kind: str
    """Where it happened: ``on_task_complete``, for example."""
    message: str
    """The first error of this kind."""
    times: int
    first_ms: int
    last_ms: int
    """First and last time, in milliseconds since the Unix epoch."""


class Finding(NamedTuple):
    """One result of a health check."""

    name: str
    """What was checked: ``integrity``, for example."""
    ok: bool
    message: str
    """One sentence: the result and, if it is not ok, what to do."""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return self._asdict()


class DroppedStep(NamedTuple):
    """The result of one step of retention."""

    looked_at: int
    """How many events were examined; fewer than a thousand at the end of the log."""
    dropped: int
    """How many of them were deleted."""
    last_id: int
    """The event after which the next step begins."""
