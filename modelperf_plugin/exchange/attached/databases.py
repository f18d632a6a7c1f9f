"""The databases that are attached to a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.table import AttachedTable
from modelperf_plugin.store import Attached, Finding, Store
from modelperf_plugin.store.attached import TalliesByTaskType
from modelperf_plugin.store.roles import Attachments

logger = logging.getLogger("modelperf_plugin")

LIST_SECONDS: Final = 1.0
"""How soon a database that another process has attached or detached is heeded."""

Listed = Callable[[], Iterable[Attached]]


class Configured(Protocol):
    """A table that the configuration attaches."""

    @property
    def path(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def columns(self) -> dict[str, str]: ...


def from_configuration(tables: Iterable[Configured]) -> list[Attached]:
    """Return the tables that the configuration attaches."""
    return [Attached(str(Path(each.path).absolute()), each.table, each.columns, 0) for each in tables]


def check_attached(store: Store, tables: Iterable[Configured]) -> list[Finding]:
    """Return for each attached database whether it can be read, for a health check."""
    found = []
    for attached in {_key(each): each for each in (*from_configuration(tables), *store.attachments.all())}.values():
        reader = AttachedTable(attached, level=logging.DEBUG)
        reader.wait(60.0)
        outcomes = sum(tally.samples for models in reader.tallies().values() for tally in models.values())
        message = reader.problem or f"{outcomes:,} outcomes of {attached.path} count"
        found.append(Finding("attached database", ok=reader.problem is None, message=message))
        reader.close()
    return found


class AttachedDatabases:
    """The attached tables of a store and of the configuration, opened when they are first read."""

    def __init__(self, attachments: Attachments, configured: Listed = tuple) -> None:
        """Take the list that the store keeps, and that of the configuration; nothing is opened yet."""
        self._attachments = attachments
        self._configured = configured
        self._tables: Mapping[tuple[Any, ...], AttachedTable] = {}
        self._list_at = 0.0

    @property
    def tables(self) -> Sequence[AttachedTable]:
        """The attached tables, those of the configuration included."""
        if time.monotonic() >= self._list_at:
            self._list()
        return tuple(self._tables.values())

    @property
    def is_empty(self) -> bool:
        """Whether no database is attached; asked at every choice."""
        return not self._tables and (time.monotonic() < self._list_at or not self.tables)

    def tallies(self) -> Sequence[TalliesByTaskType]:
        """Return the tallies of each table: the same objects as long as nothing changes."""
        return [table.tallies() for table in self.tables]

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until large tables have been read, for a report; a host never does."""
        for table in self.tables:
            table.wait(seconds)

    def close(self) -> None:
        """Close all databases."""
        for table in self._tables.values():
            table.close()
        self._tables = {}
        self._list_at = float("inf")

    def _list(self) -> None:
        """Open and close tables as they are attached and detached."""
        self._list_at = time.monotonic() + LIST_SECONDS
        try:
            wanted = {_key(each): each for each in (*self._configured(), *self._attachments.all())}
        except StoreError as error:
            logger.warning("attached databases: %s", error)
            return
        before = self._tables
        if wanted.keys() != before.keys():
            self._tables = {key: before.get(key) or AttachedTable(each) for key, each in wanted.items()}
            for key in before.keys() - wanted.keys():
                before[key].close()


def _key(attached: Attached) -> tuple[Any, ...]:
    return attached.path, attached.name, tuple(sorted(attached.columns.items()))
