"""The attached databases of a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from modelperf_plugin.config.sections import FederationConfig
from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.exchange.attached.table import AttachedTable
from modelperf_plugin.log import logger
from modelperf_plugin.paths import absolute
from modelperf_plugin.store import Attached, Finding, Store
from modelperf_plugin.store.attached import TalliesByTaskType
from modelperf_plugin.store.exchange_roles import Attachments

RELOAD_SECONDS: Final = 1.0


def from_configuration(tables: Iterable[FederationConfig]) -> list[Attached]:
    """Return the tables that the configuration attaches."""
    return [Attached(str(absolute(table.path)), table.table, table.columns, 0) for table in tables]


def check_attached(store: Store, tables: Iterable[FederationConfig]) -> list[Finding]:
    """Return whether each attached database can be read, for a health check."""
    findings = []
    for attached in _by_key(*from_configuration(tables), *store.attachments.all()).values():
        reader = AttachedTable(attached, level=logging.DEBUG)
        reader.wait(60.0)
        outcomes = sum(tally.samples for models in reader.tallies().values() for tally in models.values())
        message = reader.problem or f"{outcomes:,} outcomes in {attached.path} are counted"
        findings.append(Finding("attached database", ok=reader.problem is None, message=message))
        reader.close()
    return findings


class AttachedDatabases:
    """The attached tables of a store and of the configuration, opened when they are first read."""

    def __init__(self, attachments: Attachments, configured: Callable[[], Iterable[Attached]] = tuple) -> None:
        """Take the tables attached to the store, and those of the configuration; nothing is opened yet."""
        self._attachments = attachments
        self._configured = configured
        self._tables: Mapping[tuple[Any, ...], AttachedTable] = {}
        self._reload_at = 0.0

    @property
    def tables(self) -> Sequence[AttachedTable]:
        """The attached tables, those of the configuration included."""
        if time.monotonic() >= self._reload_at:
            self._reload()
        return tuple(self._tables.values())

    @property
    def is_empty(self) -> bool:
        """Whether no database is attached; asked at every choice."""
        return not self._tables and (time.monotonic() < self._reload_at or not self.tables)

    def tallies(self) -> Sequence[TalliesByTaskType]:
        """Return the tallies of each table: the same objects as long as nothing changes."""
        return [table.tallies() for table in self.tables]

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until large tables are read, for reports; a choice never waits."""
        for table in self.tables:
            table.wait(seconds)

    def close(self) -> None:
        """Close all databases."""
        for table in self._tables.values():
            table.close()
        self._tables = {}
        self._reload_at = float("inf")

    def _reload(self) -> None:
        self._reload_at = time.monotonic() + RELOAD_SECONDS
        try:
            wanted = _by_key(*self._configured(), *self._attachments.all())
        except StoreBusyError:
            return  # asked again
        except StoreError as error:
            logger.warning("attached databases: %s", error)
            return
        before = self._tables
        if wanted.keys() != before.keys():
            self._tables = {key: before.get(key) or AttachedTable(table) for key, table in wanted.items()}
            for key in before.keys() - wanted.keys():
                before[key].close()


def _by_key(*tables: Attached) -> dict[tuple[Any, ...], Attached]:
    return {(table.path, table.name, tuple(sorted(table.columns.items()))): table for table in tables}
