"""Adds the tallies of attached databases to those of a store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import Final, Protocol

from modelperf_plugin.store.roles import Span, Tallies
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.watches import Baseline, Faded, PastCosts
from modelperf_plugin.values import Durations, LaterTries, Tally, Tried, combine
from modelperf_plugin.values.recent import Recent

TalliesByTaskType = Mapping[str, Mapping[str, Tally]]
_NONE: Mapping[str, Tally] = {}
MAX_SUMS: Final = 1000
"""Approximate number of sums that are kept."""


class TallySource(Protocol):
    """Where the tallies of attached databases come from."""

    @property
    def is_empty(self) -> bool:
        """Whether no database is attached; asked at every choice."""

    def tallies(self) -> Sequence[TalliesByTaskType]:
        """Return the tallies of each table: the same objects as long as nothing changes."""


class TalliesWithAttached:
    """Implements :class:`~modelperf_plugin.store.roles.Tallies`: what fades, and baselines, are the store's own."""

    def __init__(self, own: Tallies, source: TallySource) -> None:
        self._own = own
        self._source = source
        self._merged: Recent[str, tuple[tuple[object, ...], Mapping[str, Tally]]] = Recent(MAX_SUMS)
        self._names: list[tuple[TalliesByTaskType, list[str]]] = []

    @property
    def revision(self) -> object:
        """What changes when others may have recorded outcomes into the store itself."""
        return self._own.revision

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, attached ones included."""
        own = self._own.of(task_type)
        return own if self._source.is_empty else self._with_attached(task_type, own)

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        """Return the store's own later tries: attached tallies do not tell tries apart."""
        return self._own.later(task_type)

    def all(self) -> list[Tally]:
        """Return the tallies of all task types, attached ones included, sorted by task type and model."""
        merged = {(tally.task_type, tally.model_id): tally for tally in self._own.all()}
        for tallies in self._source.tallies():
            for models in tallies.values():
                for tally in models.values():
                    pair = (tally.task_type, tally.model_id)
                    merged[pair] = combine(merged[pair], tally) if pair in merged else tally
        return [merged[pair] for pair in sorted(merged)]

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        """Return the tallies of the next task types after ``after``, attached ones included."""
        own = self._own.page(after, pairs)
        if self._source.is_empty:
            return own
        names = set(own)
        for sorted_names in self._sorted_names():
            end = bisect_right(sorted_names, max(own)) if own else None
            names.update(sorted_names[bisect_right(sorted_names, after) : end][:pairs])
        page: dict[str, Mapping[str, Tally]] = {}
        room = pairs
        for task_type in sorted(names):
            models = self._with_attached(task_type, own.get(task_type, _NONE))
            room -= len(models)
            if page and room < 0:
                break
            page[task_type] = models
        return page

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the store's own dated outcomes weigh: attached tallies have no days."""
        return self._own.faded(within, today, half_life_days)

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        """Return the store's own durations: attached tallies have none."""
        return self._own.durations(within, today, half_life_days)

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        """Return what tasks have cost by the store's own outcomes: attached tallies have no days."""
        return self._own.costs(task_type, today, half_life_days, since_ms)

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        """Return the store's own counts from before the last change of each model."""
        return self._own.baselines(within)

    def _with_attached(self, task_type: str, own: Mapping[str, Tally]) -> Mapping[str, Tally]:
        """Return ``own`` with what is attached: the same object as long as nothing changes."""
        parts = (own, *(tallies.get(task_type, _NONE) for tallies in self._source.tallies()))
        if not any(parts[1:]):
            return own
        known = self._merged.get(task_type)
        if known is not None and len(known[0]) == len(parts) and all(map(is_, known[0], parts)):
            return known[1]
        merged = dict(own)
        for part in parts[1:]:
            for model_id, tally in part.items():
                merged[model_id] = combine(merged[model_id], tally) if model_id in merged else tally
        self._merged.put(task_type, (parts, merged), len(merged))
        return merged

    def _sorted_names(self) -> list[list[str]]:
        """Return the task types of each table, sorted; again only if it has changed."""
        known = {id(tallies): (tallies, names) for tallies, names in self._names}
        self._names = [known.get(id(each)) or (each, sorted(each)) for each in self._source.tallies()]
        return [names for _, names in self._names]


def with_attached(store: Store, source: TallySource) -> Store:
    """Return ``store`` with the tallies of ``source`` added to its own."""
    return replace(store, tallies=TalliesWithAttached(store.tallies, source))
