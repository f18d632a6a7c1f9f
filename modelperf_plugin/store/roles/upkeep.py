"""The store itself: where it is, whether it is sound, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from modelperf_plugin.store.edits import Edited, Selection
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


class Editing(Protocol):
    """Takes out what was recorded by mistake, and renames.

    All sums are afterwards what they would be if the outcomes had never been recorded, or under the other name. Watches
    over what was edited start over, in every process: :meth:`last_edit` tells.
    """

    def count(self, selection: Selection) -> Edited:
        """Return what forgetting a selection would change."""

    def forget(self, selection: Selection, edited_ms: int) -> Edited:
        """Take a selection out of the store: events with their sums, ids and decisions.

        A selection of task type or model alone takes out all that is known about them: also sums without events,
        demotions and, without the other one, A/B tests or changes. Otherwise what is known as sums only stays, and so
        do running A/B tests with the outcomes that they have counted.
        """

    def rename_task_type(self, old: str, new: str, edited_ms: int) -> Edited:
        """Give all that is known about a task type to another one, which may exist."""

    def rename_model(
        self, old: str, new: str, edited_ms: int, fingerprint: Callable[[str, bool, str], str]
    ) -> Edited:  # fmt: skip
        """Give all that is known about a model to another one, which may exist.

        ``fingerprint`` returns that of an A/B test by its incumbent, whether its challengers are named, and its salt.
        """

    def unannounce(self, model_id: str, edited_ms: int) -> bool:
        """Take back the announcement that a model has changed; return False if that is not its last change.

        Demotions that ended with the announcement are in force again.
        """

    def last_edit(self) -> int:
        """Return the number of the last edit; 0 if there was none."""
