"""The roles of a store for data that comes from elsewhere; what :mod:`~modelperf_plugin.store.roles` promises holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.roles import Span
from modelperf_plugin.values import Tally


class Imports(Protocol):
    """Histories and sums imported from other places, and how far each import has come."""

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        """Return the imports of one kind, or all, newest first."""

    def pair_id(self, task_type: str, model_id: str) -> int:
        """Return the number that stands for a pair in :data:`~modelperf_plugin.store.exchange.EventRow`."""

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        """Write a batch of outcomes together with the position that it brings the import to.

        Args:
            step: the position after the batch.
            rows: the outcomes.
            outcome_ids: empty, or the id or None of each row; rows with a known id are skipped.

        Returns:
            The id of the import, and how many outcomes were new; None if another process has continued this import
            meanwhile (look its position up again).
        """

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        """Write sums, replacing earlier ones from the same source.

        Returns:
            False if the same content was imported before, or with ``once`` anything from that source.
        """

    def add_some_sums(self, step: Step, sums: Sequence[Sums]) -> int | None:
        """Write a part of the sums of a source together with the position that it brings the import to.

        The pairs of all parts must differ.

        Returns:
            The id of the import; None if another process has moved it meanwhile.
        """

    def remove_some_sums(self, step: Step, limit: int) -> int | None:
        """Remove up to ``limit`` sums of the source of an import that is, and stays, at a position.

        Returns:
            How many were removed; None if another process has moved the import meanwhile.
        """

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        """Call ``compress`` and store the path that it returns; return False if there is one already.

        Only one process at a time runs ``compress``. If it raises, nothing is stored.
        """


class Attachments(Protocol):
    """Tables of other programs' databases that count as evidence."""

    def all(self) -> list[Attached]:
        """Return the attached tables."""

    def add(self, attached: Attached) -> None:
        """Attach a table."""

    def remove(self, path: str) -> bool:
        """Detach the database at ``path``; return False if it was not attached."""


class MergedExperience(Protocol):
    """Tallies of other projects, kept apart from one's own."""

    def origin(self) -> str:
        """Return the id that tells this store from others."""

    def all(self) -> list[Merged]:
        """Return the merged sources, by name."""

    def version(self) -> tuple[float, ...]:
        """Return numbers that differ whenever the merged tallies do; all 0 if there are none."""

    def priors(self, within: Span | None = None) -> list[Prior]:
        """Return the tallies of other projects, by task type, model and source; None: those of all task types."""

    def task_types(self, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        """Return up to ``limit`` task types after ``after``, each with the number of a source, in order.

        A task type is returned once, with the first of its sources. Before all of them is ``(0, "")``.
        """

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        """Store another project's tallies, in place of those named ``replaces``."""

    def remove(self, name: str) -> bool:
        """Delete a source; return False if there is none with that name."""
