"""Reading tallies by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import log
from typing import Any, Final, Protocol

from modelperf_plugin.store.counted import (
    baseline_of,
    cost_of,
    cost_sums_of,
    durations_of,
    faded_by_pair,
    later_of,
    pairs_with_later_tries,
)
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.rows import usable
from modelperf_plugin.store.tally_cache import NO_COUNTS, Counts
from modelperf_plugin.store.watches import Baseline, Faded, PastCosts
from modelperf_plugin.values import Durations, LaterTries, Tally, Tried, most_sets

_MAX_PAGE: Final = 1_000_000


class Reading(Protocol):
    """What reads rows."""

    has_unreadable_rows: bool
    """Whether a query has left out rows that cannot be read."""

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the readable rows of a query; a single mapping among ``parameters`` binds them by name."""


class ReadTallies:
    """Reads tallies from a database each time; see :class:`~modelperf_plugin.store.roles.Tallies`."""

    @property
    def revision(self) -> object:
        return object()  # nothing notices what others record

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect)
        self._fading_sql = load_queries(dialect, "monitoring.sql")

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
        return faded_by_pair(
            self._connection.fetch(self._fading_sql["faded_within"], wanted),
            self._connection.fetch(self._fading_sql["faded_later_within"], wanted),
        )

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        decay = log(2.0) / half_life_days if half_life_days else 0.0
        wanted = {"first": within[0], "last": within[1], "today": today, "decay": decay}
        return durations_of(self._connection.fetch(self._fading_sql["durations_within"], wanted))

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        if within is None:
            rows = self._connection.fetch(self._fading_sql["baselines"])
        else:
            rows = self._connection.fetch(self._fading_sql["baselines_within"], *within)
        return dict(usable(baseline_of, rows))

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        decay = log(2.0) / half_life_days if half_life_days else 0.0
        wanted = {"task_type": task_type, "today": today, "decay": decay, "since_ms": json.dumps(dict(since_ms))}
        sums = dict(usable(cost_sums_of, self._connection.fetch(self._fading_sql["costs"], wanted)))
        del wanted["today"], wanted["decay"]
        newest = self._connection.fetch(self._fading_sql["newest_costs"], wanted)
        return PastCosts(sums, usable(cost_of, newest))

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
        return later_of(row for row in rows if row[1] is not None), {row[0] for row in rows if row[1] is None}

    def _load(self, task_type: str) -> Counts:
        rows = self._connection.fetch(self._sql["tallies_of_task_type"], task_type)
        tallies = {row[1]: Tally._make(row) for row in rows}
        pairs = pairs_with_later_tries(tallies.values())
        if not pairs:
            return Counts(tallies, NO_COUNTS.later) if tallies else NO_COUNTS
        wanted = {"task_type": task_type, "most": most_sets(pairs)}
        rows = self._connection.fetch(self._sql["later_of_task_type"], wanted)
        return Counts(tallies, later_of(rows))
