"""Tallies in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import ReadTallies
from modelperf_plugin.store.rows import MAX_INTEGER
from modelperf_plugin.store.sqlite.connection import SqliteConnection, data_version
from modelperf_plugin.store.sqlite.rebuild_later import rebuild_later
from modelperf_plugin.store.sqlite.tried import number_of
from modelperf_plugin.store.tally_cache import Counts
from modelperf_plugin.values import LaterTries, Tally, Tried
from modelperf_plugin.values.locks import attempt

_MEMORY_SECONDS: Final = 0.005
"""How long a choice waits for other threads that write to a store in memory, before it does without what they write."""


class UncachedTallies(ReadTallies):
    """Reads tallies from the file each time; see :class:`~modelperf_plugin.store.roles.Tallies`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection


class SqliteTallies(UncachedTallies):
    """Keeps the counts of a task type in memory once they were read."""

    @property
    def revision(self) -> object:
        return self._connection.cache.cleared

    def of(self, task_type: str) -> Mapping[str, Tally]:
        return self._counts(task_type).tallies

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        return self._counts(task_type).later

    def _counts(self, task_type: str) -> Counts:
        connection = self._connection
        cache = connection.cache
        if connection.holder and connection.reader is connection.writer:
            known = self._known_while_busy(task_type)
            if known is not None:
                return known
        if connection.is_at_rest:
            connection.resume()
        try:
            with connection.read_lock:
                # not asked after outcomes of our own: they have changed it, whatever others did
                version = None if cache.fresh else data_version(connection.reader)
                if version == cache.read_version and not cache.fresh and not cache.doubtful:
                    counts = cache.by_task_type.get(task_type)
                    if counts is not None:
                        return counts
            return self._refresh(task_type, version)
        except sqlite3.Error as error:
            connection.fail(error)

    def _known_while_busy(self, task_type: str) -> Counts | None:
        """Return what was known of a store in memory if a thread keeps its only connection, for example to import."""
        connection = self._connection
        if attempt(connection.write_lock, lambda: None, _MEMORY_SECONDS):
            return None
        cache = connection.cache
        return cache.by_task_type.get(task_type) or cache.before.get(task_type)

    def seed(self, tallies: Sequence[Tally], later: Mapping[str, Mapping[str, Mapping[Tried, LaterTries]]]) -> None:
        """Start an empty store with counts that have no events; ``later`` are later tries by task type and model."""

        def write(connection: sqlite3.Connection) -> None:
            self._connection.cache.clear()
            for statement in ("known_tally", "known_dropped", "known_daily"):
                connection.executemany(self._sql[statement], map(_bounded, tallies))
            numbers = {tried: number_of(connection, tried) for tried in _sets_of(later)}
            connection.executemany(
                self._sql["known_later"],
                [
                    (numbers[tried], *tries, task_type, model_id)
                    for task_type, models in later.items()
                    for model_id, sets in models.items()
                    for tried, tries in sets.items()
                ],
            )
            rebuild_later(connection, load_queries("sqlite", "repair.sql"))

        self._connection.write(write)

    def _refresh(self, task_type: str, version: int | None) -> Counts:
        """Bring the cache up to ``version`` of the reader (None: unknown), or read past it while a writer is busy.

        Under the write lock no outcome of our own is between its commit and the cache, so none is counted twice.
        """
        connection = self._connection
        found: list[Counts] = []
        if connection.reader is connection.writer:
            with connection.write_lock:
                return self._catch_up(task_type, version)
        if not connection.holder:  # otherwise a thread writes, or the code that a signal handler interrupted for this
            attempt(connection.write_lock, lambda: found.append(self._catch_up(task_type, version)))
        return found[0] if found else self._load(task_type)

    def _catch_up(self, task_type: str, version: int | None) -> Counts:
        connection = self._connection
        cache = connection.cache
        with connection.read_lock:
            if version is None or version != cache.read_version:
                others = data_version(connection.writer)
                if others != cache.others_version:
                    cache.clear()
                    cache.others_version = others
                cache.read_version = version
            cache.absorb()
            counts = cache.by_task_type.get(task_type)
            return self._loaded(task_type) if counts is None else counts

    def _loaded(self, task_type: str) -> Counts:
        """Read counts, and keep them unless a signal handler has recorded meanwhile."""
        cache = self._connection.cache
        before = cache.added, cache.cleared
        counts = self._load(task_type)
        # a host may ask about any number of unknown task types
        if counts.tallies and not cache.fresh and not cache.doubtful:
            cache.keep(task_type, counts)
            if (cache.added, cache.cleared) != before:
                cache.clear()
        return counts


def _sets_of(later: Mapping[str, Mapping[str, Mapping[Tried, LaterTries]]]) -> set[Tried]:
    return {tried for models in later.values() for sets in models.values() for tried in sets}


def _bounded(tally: Tally) -> dict[str, Any]:
    """Return the columns of a tally; sums in memory have no bound, those in a file have."""
    values = tally._asdict()
    return {**values, **{name: min(values[name], MAX_INTEGER) for name in ("total_tokens", "total_cost_nano_usd")}}
