"""Tallies in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from math import log

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection, data_version
from modelperf_plugin.store.watches import Baseline, Faded
from modelperf_plugin.values import Tally


class UncachedTallies:
    """Reads tallies from the file each time; see :class:`~modelperf_plugin.store.roles.Tallies`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")
        self._fading_sql = load_queries("sqlite", "monitoring.sql")

    def of(self, task_type: str) -> Mapping[str, Tally]:
        return self._load(task_type)

    def all(self) -> list[Tally]:
        return [Tally._make(row) for row in self._connection.fetch(self._sql["all_tallies"])]

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        rows = self._connection.fetch(self._fading_sql["faded"], {"today": today, "decay": log(2.0) / half_life_days})
        return {(row[0], row[1]): Faded(row[3:6], row[6:9], row[9]) for row in rows}

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        rows = self._connection.fetch(self._fading_sql["baselines"])
        return {(row[0], row[1]): Baseline._make(row[2:]) for row in rows}

    def _load(self, task_type: str) -> dict[str, Tally]:
        rows = self._connection.fetch(self._sql["tallies_of_task_type"], task_type)
        return {row[1]: Tally._make(row) for row in rows}


class SqliteTallies(UncachedTallies):
    """Keeps the tallies of a task type in memory once they were read."""

    def of(self, task_type: str) -> Mapping[str, Tally]:
        connection = self._connection
        cache = connection.cache
        try:
            with connection.read_lock:
                version = connection.look_up_version("PRAGMA data_version").fetchone()[0]
                if version == cache.read_version and not cache.fresh:
                    tallies = cache.by_task_type.get(task_type)
                    if tallies is not None:
                        return tallies
            return self._refresh(task_type, version)
        except sqlite3.Error as error:
            connection.fail(error)

    def seed(self, tallies: Sequence[Tally]) -> None:
        """Start an empty store with counts that have no events."""
        with self._connection.writing() as connection:
            self._connection.cache.clear()
            for statement in ("known_tally", "known_dropped", "known_daily"):
                connection.executemany(self._sql[statement], [tally._asdict() for tally in tallies])

    def _refresh(self, task_type: str, version: int) -> Mapping[str, Tally]:
        """Bring the cache up to ``version`` of the reader, or read past it while a writer is busy.

        Under the write lock no outcome of our own is between its commit and the cache, so none is counted twice.
        """
        connection = self._connection
        cache = connection.cache
        if not connection.write_lock.acquire(blocking=connection.reader is connection.writer):
            return self._load(task_type)
        try:
            with connection.read_lock:
                if version != cache.read_version:
                    others = data_version(connection.writer)
                    if others != cache.others_version:
                        cache.clear()
                        cache.others_version = others
                    cache.read_version = version
                cache.absorb()
                tallies = cache.by_task_type.get(task_type)
                if tallies is None:
                    tallies = cache.by_task_type[task_type] = self._load(task_type)
                return tallies
        finally:
            connection.write_lock.release()
