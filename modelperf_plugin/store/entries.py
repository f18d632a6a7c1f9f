"""Small values that stores take and return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from modelperf_plugin.values import Outcome, Tried


class Entry(NamedTuple):
    """An outcome to be recorded, already validated."""

    task_type: str
    model_id: str
    outcome: Outcome
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    tried: Tried = ()
    """The models that had failed on the same task before; empty for a first try."""


def without_known(entries: Iterable[Entry], known: set[str]) -> list[Entry]:
    """Return the outcomes whose id is not in ``known``, each id once; the new ids are added to ``known``."""
    new = []
    for entry in entries:
        outcome_id = entry.outcome.outcome_id
        if outcome_id is not None:
            if outcome_id in known:
                continue
            known.add(outcome_id)
        new.append(entry)
    return new


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
    """How many events were examined."""
    dropped: int
    """How many of them were deleted: at most a thousand."""
    last_id: int
    """The event after which the next step begins."""
    at_end: bool
    """Whether the log ends there."""
