"""What a fallback needs to know of the store that it stands in for, beside its roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelperf_plugin.store.entries import Entry, Verdict
from modelperf_plugin.store.roles import Connection, Outcomes, Tallies
from modelperf_plugin.store.store import Store
from modelperf_plugin.values import LaterTries, Tally, Tried


class MainConnection(Connection, Protocol):
    """A connection that tells whether it can be used."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    def ensure_open(self) -> None:
        """Raise StoreError if it is closed."""


class MainOutcomes(Outcomes, Protocol):
    """Outcomes of a store into which spooled ones can be moved."""

    def known_ids(self, outcome_ids: Iterable[str]) -> set[str]:
        """Return which outcome ids are known; waits for no writer."""

    def verdict_of(self, outcome_id: str) -> Verdict | None:
        """Return the verdict of a known outcome, as long as its event exists; waits for no writer."""

    def ingest_batch(self, batch_id: str, entries: Iterable[Entry]) -> int:
        """Write spooled outcomes in one transaction, unless the batch was ingested before; return how many were new."""


class MainTallies(Tallies, Protocol):
    """Tallies that tell which spooled outcomes are part of them."""

    def with_batches(self, task_type: str, batch_ids: Sequence[str]) -> tuple[dict[str, Tally], set[str]]:
        """Return the tallies of ``task_type`` by model id, and which of the spooled batches are part of them."""

    def later_with_batches(
        self, task_type: str, batch_ids: Sequence[str]
    ) -> tuple[dict[str, dict[Tried, LaterTries]], set[str]]:
        """Return the later tries of ``task_type``, and which of the spooled batches are part of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MainStore(Store):
    """A store that a fallback can stand in for."""

    connection: MainConnection
    outcomes: MainOutcomes
    tallies: MainTallies


class Database(Protocol):
    """Where a main store is, whether or not it can be used at the moment."""

    @property
    def location(self) -> str:
        """The path or URL, for messages: without a password."""

    @property
    def is_remote(self) -> bool:
        """Whether it is on a server; see ``store.local``."""

    @property
    def spool(self) -> str:
        """The path beside which outcomes are spooled."""

    def open(self) -> MainStore:
        """Open the store, and wait no longer than the deadline permits.

        Raises:
            StoreFailedError: it cannot be used at the moment.
            StoreBusyError: others keep it busy.
            StoreError: it can never be used.
        """

    def open_to_read(self) -> Store:
        """Open the store for reading only, right after it has failed; raise StoreError if that would have to wait."""

    def is_current(self, store: Store) -> bool:
        """Return whether what is open is still what is at this place: what is written to something else is lost."""

    def settle(self, store: Store) -> None:
        """Complete what is open, but no longer at this place, before it is closed."""

    def content(self) -> object:
        """Return what changes when the store is repaired or replaced: until then, a damaged one is not tried again."""

    def last_changed(self) -> float:
        """Return when the store was written to or put at its place, as a Unix time; 0 if that is unknown."""

    def unsettled(self) -> list[tuple[str, Sequence[Entry]]]:
        """Return outcomes that the store had taken and may have lost when it failed.

        They are batches with the ids under which they are ingested, if they are lost, when the store works again.
        """

    def close(self) -> None:
        """Release what attempts to open the store have left."""
