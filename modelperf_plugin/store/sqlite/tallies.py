"""Tallies in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import log
from typing import Any, Final

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.sqlite.connection import SqliteConnection, data_version
from modelperf_plugin.store.sqlite.rebuild_later import rebuild_later
from modelperf_plugin.store.sqlite.rows import MAX_INTEGER, moments, usable
from modelperf_plugin.store.sqlite.tally_cache import NO_COUNTS, Counts
from modelperf_plugin.store.sqlite.tried import number_of, tried_of
from modelperf_plugin.store.watches import Baseline, CostSums, Faded, PastCosts
from modelperf_plugin.values import UNKNOWN_TRIED, Durations, LaterTries, Tally, Tried, most_sets
from modelperf_plugin.values.locks import attempt

_MAX_PAGE: Final = 1_000_000
_NO_LATER: Final = ((0.0, 0.0, 0.0), (0, 0, 0), (0.0, 0))
_MEMORY_SECONDS: Final = 0.005
"""How long a choice waits for other threads that write to a store in memory, before it does without what they write."""


class UncachedTallies:
    """Reads tallies from the file each time; see :class:`~modelperf_plugin.store.roles.Tallies`."""

    @property
    def revision(self) -> object:
        return object()  # nothing notices what others record

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")
        self._fading_sql = load_queries("sqlite", "monitoring.sql")

    def of(self, task_type: str) -> Mapping[str, Tally]:
        return self._load(task_type).tallies

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        return self._load(task_type).later

    def all(self) -> list[Tally]:
        return [Tally._make(row) for row in self._connection.fetch(self._sql["all_tallies"])]

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        connection = self._connection
        rows = connection.fetch(self._sql["tallies_page"], after, pairs + 1)
        while not rows and connection.has_unreadable_rows and pairs < _MAX_PAGE:
            pairs *= 8  # a page of which no row is readable
            rows = connection.fetch(self._sql["tallies_page"], after, pairs + 1)
        page: dict[str, dict[str, Tally]] = {}
        for row in rows:
            page.setdefault(row[0], {})[row[1]] = Tally._make(row)
        if rows and (len(rows) > pairs or connection.has_unreadable_rows):  # the last task type may have more pairs
            last = rows[-1][0]
            if len(page) > 1:
                del page[last]
            else:
                page[last] = dict(self._load(last).tallies)
        return page

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        wanted = {"first": within[0], "last": within[1], "today": today, "decay": log(2.0) / half_life_days}
        rows = self._connection.fetch(self._fading_sql["faded_within"], wanted)
        later = {
            (task_type, model_id): (tuple(sums[:3]), tuple(sums[3:6]), tuple(sums[6:]))
            for task_type, model_id, *sums in self._connection.fetch(self._fading_sql["faded_later_within"], wanted)
        }
        return dict(usable(partial(_faded, later), rows))

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        decay = log(2.0) / half_life_days if half_life_days else 0.0
        wanted = {"first": within[0], "last": within[1], "today": today, "decay": decay}
        buckets: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for task_type, model_id, border_ms, weight in self._connection.fetch(
            self._fading_sql["durations_within"], wanted
        ):
            buckets.setdefault((task_type, model_id), []).append((border_ms, weight))
        found = {pair: Durations.of(each) for pair, each in buckets.items()}
        return {pair: durations for pair, durations in found.items() if durations is not None}

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        if within is None:
            rows = self._connection.fetch(self._fading_sql["baselines"])
        else:
            rows = self._connection.fetch(self._fading_sql["baselines_within"], *within)
        return dict(usable(_baseline, rows))

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        decay = log(2.0) / half_life_days if half_life_days else 0.0
        wanted = {"task_type": task_type, "today": today, "decay": decay, "since_ms": json.dumps(dict(since_ms))}
        sums = dict(usable(_cost_sums, self._connection.fetch(self._fading_sql["costs"], wanted)))
        del wanted["today"], wanted["decay"]
        newest = self._connection.fetch(self._fading_sql["newest_costs"], wanted)
        return PastCosts(sums, usable(_cost, newest))

    def _load(self, task_type: str) -> Counts:
        rows = self._connection.fetch(self._sql["tallies_of_task_type"], task_type)
        tallies = {row[1]: Tally._make(row) for row in rows}
        pairs = sum([1 for tally in tallies.values() if tally.later_successes or tally.later_failures])
        if not pairs:
            return Counts(tallies, NO_COUNTS.later) if tallies else NO_COUNTS
        wanted = {"task_type": task_type, "most": most_sets(pairs)}
        rows = self._connection.fetch(self._sql["later_of_task_type"], wanted)
        return Counts(tallies, _later(rows))


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

    def with_batches(self, task_type: str, batch_ids: Sequence[str]) -> tuple[dict[str, Tally], set[str]]:
        """Return the tallies of ``task_type`` by model id, and which of the spooled batches are part of them."""
        rows = self._connection.fetch(self._sql["tallies_with_batches"], task_type, json.dumps(batch_ids))
        tallies = sorted(Tally._make(row) for row in rows if row[0] is not None)
        return {tally.model_id: tally for tally in tallies}, {row[1] for row in rows if row[0] is None}

    def later_with_batches(
        self, task_type: str, batch_ids: Sequence[str]
    ) -> tuple[dict[str, dict[Tried, LaterTries]], set[str]]:
        """Return the later tries of ``task_type``, and which of the spooled batches are part of them."""
        rows = self._connection.fetch(self._sql["later_with_batches"], task_type, json.dumps(batch_ids))
        return _later(row for row in rows if row[1] is not None), {row[0] for row in rows if row[1] is None}

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
            if counts is None:
                counts = self._load(task_type)
                # unless a signal handler has recorded meanwhile; a host may ask about any number of unknown task types
                if counts.tallies and not cache.fresh and not cache.doubtful:
                    cache.keep(task_type, counts)
            return counts


def _later(rows: Iterable[Any]) -> dict[str, dict[Tried, LaterTries]]:
    """Return later tries by model and by what had failed before, where that is known."""
    later: dict[str, dict[Tried, LaterTries]] = {}
    for model_id, models, *counts in rows:
        tried = tried_of(models)
        if min(counts[:3]) >= 0 and tried is not UNKNOWN_TRIED:
            sets = later.setdefault(model_id, {})
            tries, known = LaterTries._make(counts), sets.get(tried)
            sets[tried] = tries if known is None else tries.combined(known)
    return later


def _sets_of(later: Mapping[str, Mapping[str, Mapping[Tried, LaterTries]]]) -> set[Tried]:
    return {tried for models in later.values() for sets in models.values() for tried in sets}


def _faded(later: Mapping[tuple[str, str], Any], row: Any) -> tuple[tuple[str, str], Faded]:
    """Return a pair and what its outcomes weigh, the part in ``later`` included.

    Raises:
        ValueError: the roll-up holds what no outcomes add up to.
    """
    pair = (row[0], row[1])
    weights, counts, shift = later.get(pair, _NO_LATER)
    faded = Faded(row[2:5], row[5:8], row[8], weights, counts, row[9:11], shift)
    if min(*faded.weights, *faded.counts, *faded.later_weights, *faded.later_counts) < 0:
        raise ValueError("counts are not negative")
    return pair, faded


def _cost(row: Any) -> tuple[str, int]:
    """Return a model and the cost of one task; raise ValueError if that is none."""
    model_id, nano_usd = row
    if nano_usd < 0:
        raise ValueError("a cost is not negative")
    return model_id, nano_usd


def _cost_sums(row: Any) -> tuple[str, CostSums]:
    """Return a model and what its tasks have cost; raise ValueError if nothing can have cost that."""
    sums = CostSums._make(row[1:])
    if min(sums[:4]) < 0:
        raise ValueError("costs are not negative")
    return row[0], sums


def _baseline(row: Any) -> tuple[tuple[str, str], Baseline]:
    """Return a pair and its counts from before a change; raise ValueError or OverflowError if they are not ones."""
    baseline = Baseline._make(row[2:])
    moments(baseline.since_ms)
    if not 0 <= (baseline.rate or 0) <= 1:
        raise ValueError("a rate is between 0 and 1")
    return (row[0], row[1]), baseline


def _bounded(tally: Tally) -> dict[str, Any]:
    """Return the columns of a tally; sums in memory have no bound, those in a file have."""
    values = tally._asdict()
    return {**values, **{name: min(values[name], MAX_INTEGER) for name in ("total_tokens", "total_cost_nano_usd")}}
