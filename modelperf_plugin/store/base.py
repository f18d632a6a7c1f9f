"""What a store promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from modelperf_plugin.types import Outcome, Tally


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


class Store(Protocol):
    """Keeps outcomes and their tallies. Any thread may call any method at any time.

    Promises, to which every store is held by one suite of tests:

    - An outcome is there as a whole (event, tally, daily roll-up) or not at all. When ``record`` returns, it
      survives the death of this process; with ``durability = "full"`` also the loss of power.
    - Tallies and roll-ups are always the aggregate of the events and the imported sums.
    - ``evidence`` holds every outcome that was recorded, by whichever process, before it was called.
    - Failures are :class:`~modelperf_plugin.errors.StoreError`; after one the store is as it was before the call.
    """

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    def record(self, entry: Entry) -> bool:
        """Write one outcome; return False if its ``outcome_id`` is known already and nothing was written."""

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new."""

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, for reading only; models without outcomes are not in it."""

    def tallies(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model."""

    def add_problem(self, problem: CountedProblem) -> None:
        """Add a failure to those of its kind."""

    def problems(self) -> list[CountedProblem]:
        """Return the failures counted so far, newest first."""

    def clear_problems(self) -> None:
        """Forget the failures counted so far."""

    def check(self) -> list[Finding]:
        """Look at the health of the store; may take a while on a large one."""

    def close(self) -> None:
        """Let go of everything; closing twice is fine, and any other call after it is a StoreError."""
