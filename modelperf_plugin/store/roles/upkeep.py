"""The store itself: where it is, whether it is sound, and what went wrong."""

from __future__ import annotations

from typing import Protocol

from modelperf_plugin.store.entries import CountedProblem, Finding


class Connection(Protocol):
    """Where the store is, in which state, and how to close it."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    @property
    def is_remote(self) -> bool:
        """Whether answers come from a server, so that choices use those that the process has; see ``store.local``."""

    @property
    def behind(self) -> float | None:
        """For how many seconds nothing could be read of what other hosts record; None if it can, or there are none."""

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be used and a fallback is in use; None if the database works."""

    @property
    def busy(self) -> bool:
        """Whether others have kept the database busy for so long that outcomes wait to be moved into it."""

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only."""

    @property
    def note(self) -> str | None:
        """What the answers do not include, if anything."""

    def close(self) -> None:
        """Release all resources. Closing twice is fine; any other call afterwards is a StoreError."""


class Problems(Protocol):
    """Failures that a host did not notice, counted by kind."""

    def add(self, problem: CountedProblem) -> None:
        """Add a failure to the count of its kind."""

    def all(self) -> list[CountedProblem]:
        """Return the failures, newest first."""

    def clear(self) -> None:
        """Delete all failures."""


class Maintenance(Protocol):
    """The health of the store."""

    def check(self) -> list[Finding]:
        """Examine the store; may take a while on a large one."""
