"""Adds the tallies of attached databases to those of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import Protocol

from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.watches import Baseline, Faded
from modelperf_plugin.values import Tally, combine

TalliesByTaskType = Mapping[str, Mapping[str, Tally]]
_NONE: Mapping[str, Tally] = {}


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
        self._merged: dict[str, tuple[tuple[object, ...], Mapping[str, Tally]]] = {}

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, attached ones included."""
        own = self._own.of(task_type)
        if self._source.is_empty:
            return own
        parts = (own, *(tallies.get(task_type, _NONE) for tallies in self._source.tallies()))
        known = self._merged.get(task_type)
        if known is not None and len(known[0]) == len(parts) and all(map(is_, known[0], parts)):
            return known[1]
        merged = dict(own)
        for part in parts[1:]:
            for model_id, tally in part.items():
                merged[model_id] = combine(merged[model_id], tally) if model_id in merged else tally
        self._merged[task_type] = (parts, merged)
        return merged

    def all(self) -> list[Tally]:
        """Return the tallies of all task types, attached ones included, sorted by task type and model."""
        merged = {(tally.task_type, tally.model_id): tally for tally in self._own.all()}
        for tallies in self._source.tallies():
            for models in tallies.values():
                for tally in models.values():
                    pair = (tally.task_type, tally.model_id)
                    merged[pair] = combine(merged[pair], tally) if pair in merged else tally
        return [merged[pair] for pair in sorted(merged)]

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the store's own dated outcomes weigh: attached tallies have no days."""
        return self._own.faded(today, half_life_days)

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        """Return the store's own counts from before the last change of each model."""
        return self._own.baselines()


def with_attached(store: Store, source: TallySource) -> Store:
    """Return ``store`` with the tallies of ``source`` added to its own."""
    return replace(store, tallies=TalliesWithAttached(store.tallies, source))
