"""Small values that stores take and return."""

from __future__ import annotations

from typing import Any, NamedTuple

from modelperf_plugin.values import Outcome


class Entry(NamedTuple):
    """One outcome on its way into a store; its values were checked before."""

    task_type: str
    """The class of work."""
    model_id: str
    """The model that did it."""
    outcome: Outcome
    """How it ended."""
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""


class CountedProblem(NamedTuple):
    """A kind of failure that a host did not notice."""

    kind: str
    """Where it happened, for example ``on_task_complete``."""
    message: str
    """What happened, when it first did."""
    times: int
    """How often."""
    first_ms: int
    """When first, in milliseconds since the Unix epoch."""
    last_ms: int
    """When last, in milliseconds since the Unix epoch."""


class Finding(NamedTuple):
    """One thing that a health check looked at."""

    name: str
    """What was looked at, for example ``integrity``."""
    ok: bool
    """Whether it is as it should be."""
    message: str
    """One sentence for a person: what was found, and what to do if it is not ok."""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return self._asdict()


class DroppedStep(NamedTuple):
    """What one step of dropping did."""

    looked_at: int
    """How many events it looked at; fewer than a thousand at the end."""
    dropped: int
    """How many of them were too old."""
    last_id: int
    """Where the next step begins."""
