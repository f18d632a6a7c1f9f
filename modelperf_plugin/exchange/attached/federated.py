"""A store whose evidence includes that of attached databases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_
from pathlib import Path
from typing import Any, Final, Protocol, cast

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.reading import plus
from modelperf_plugin.exchange.attached.table import NOTHING, AttachedTable
from modelperf_plugin.store import Attached, Finding, Store
from modelperf_plugin.values import Tally

logger = logging.getLogger("modelperf_plugin")

LIST_SECONDS: Final = 1.0
"""How soon a database that another process has attached or detached is heeded."""

Listed = Callable[[], Iterable[Attached]]


def federated(store: Store, listed: Listed = tuple) -> Store:
    """Return ``store`` with the tallies of the attached databases added to its own.

    Besides those that the store lists, ``listed`` gives those of the configuration. Everything but ``evidence``,
    ``tallies`` and ``close`` is the store's own.
    """
    return cast("Store", FederatedStore(store, listed))


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


def look_at_attached(store: Store, tables: Iterable[Configured]) -> list[Finding]:
    """Return for each attached database whether it can be read, for a health check."""
    found = []
    for attached in {_key(each): each for each in (*from_configuration(tables), *store.exchange.attached())}.values():
        reader = AttachedTable(attached, level=logging.DEBUG)
        reader.wait(60.0)
        outcomes = sum(tally.samples for models in reader.tallies().values() for tally in models.values())
        message = reader.problem or f"{outcomes:,} outcomes of {attached.path} count"
        found.append(Finding("attached database", ok=reader.problem is None, message=message))
        reader.close()
    return found


class FederatedStore:
    """Adds the tallies of attached databases to those of a store; what it does not have itself is the store's."""

    def __init__(self, store: Store, listed: Listed) -> None:
        """Take the store, and what else is listed; nothing is opened yet."""
        self._store = store
        self.monitoring = store.monitoring
        self.exchange = store.exchange
        self._listed = listed
        self._tables: Mapping[tuple[Any, ...], AttachedTable] = {}
        self._list_at = 0.0
        self._merged: dict[str, tuple[tuple[object, ...], Mapping[str, Tally]]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if callable(value):
            self.__dict__[name] = value  # a host records often
        return value

    @property
    def tables(self) -> Sequence[AttachedTable]:
        """The attached tables, those of the configuration included."""
        if time.monotonic() >= self._list_at:
            self._list()
        return tuple(self._tables.values())

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, the attached ones included, for reading only."""
        own = self._store.evidence(task_type)
        if not self._tables and time.monotonic() < self._list_at:  # nearly always: asked for at every choice
            return own
        tables = self.tables
        if not tables:
            return own
        parts = (own, *(table.tallies().get(task_type, NOTHING) for table in tables))
        known = self._merged.get(task_type)
        if known is not None and len(known[0]) == len(parts) and all(map(is_, known[0], parts)):
            return known[1]
        merged = dict(own)
        for part in parts[1:]:
            for model_id, tally in part.items():
                merged[model_id] = plus(merged[model_id], tally) if model_id in merged else tally
        self._merged[task_type] = (parts, merged)
        return merged

    def tallies(self) -> list[Tally]:
        """Return the tallies of all task types, the attached ones included, sorted by task type and model."""
        own = self._store.tallies()
        tables = self.tables
        if not tables:
            return own
        merged = {(tally.task_type, tally.model_id): tally for tally in own}
        for table in tables:
            for models in table.tallies().values():
                for tally in models.values():
                    pair = (tally.task_type, tally.model_id)
                    merged[pair] = plus(merged[pair], tally) if pair in merged else tally
        return [merged[pair] for pair in sorted(merged)]

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until large tables were read, for a report; a host never does."""
        for table in self.tables:
            table.wait(seconds)

    def close(self) -> None:
        """Let go of everything."""
        for table in self._tables.values():
            table.close()
        self._tables = {}
        self._list_at = float("inf")
        self._store.close()

    def _list(self) -> None:
        """Heed what was attached and detached."""
        self._list_at = time.monotonic() + LIST_SECONDS
        try:
            wanted = {_key(each): each for each in (*self._listed(), *self._store.exchange.attached())}
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
