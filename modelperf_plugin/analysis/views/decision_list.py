"""A page of decisions that match a search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelperf_plugin.analysis.views.tasks import DecisionRow, with_tasks
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import DecisionSearch
from modelperf_plugin.store.trends import MAX_SAMPLED_DECISIONS
from modelperf_plugin.values import from_milliseconds

MAX_NAMES: Final = 200
"""Maximum number of task types and of models to choose from: those with the most outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionList:
    """One page of matching decisions."""

    search: DecisionSearch
    rows: tuple[DecisionRow, ...]
    """The decisions of this page, each with its task."""
    matches: int
    searched: int
    """The number of decisions that were searched."""
    since: datetime | None
    """Time of the oldest one of these."""
    before_ms: int | None
    """Where a search for older decisions ends; None if all were searched."""
    task_types: tuple[str, ...]
    models: tuple[str, ...]
    """Names to choose from, in alphabetical order."""

    @property
    def page(self) -> int:
        return self.search.offset // self.search.limit + 1

    @property
    def pages(self) -> int:
        return max(1, -(-self.matches // self.search.limit))

    @property
    def first(self) -> int:
        """The number of the first decision of this page among all matches."""
        return self.search.offset + 1


def decision_list(engine: ModelPerf, search: DecisionSearch) -> DecisionList:
    """Return the page of decisions that ``search`` asks for."""
    store = engine.store
    found = store.trends.search(search)
    tallies = sorted(store.tallies.all(), key=lambda tally: -tally.samples)
    older = None
    if found.oldest_ms is not None and found.searched >= MAX_SAMPLED_DECISIONS:
        # the oldest one is searched again: others may have been made in the same millisecond
        older = found.oldest_ms + 1 if found.oldest_ms + 1 < search.end_ms else found.oldest_ms
    return DecisionList(
        search=search,
        rows=tuple(with_tasks(store.decisions, found.decisions)),
        matches=found.matches,
        searched=found.searched,
        since=None if found.oldest_ms is None else from_milliseconds(found.oldest_ms),
        before_ms=older,
        task_types=_names([tally.task_type for tally in tallies], search.task_type),
        models=_names([tally.model_id for tally in tallies], *(search.models or ())),
    )


def _names(names: list[str], *chosen: str | None) -> tuple[str, ...]:
    most_used = list(dict.fromkeys(names))[:MAX_NAMES]
    return tuple(sorted({*most_used, *(each for each in chosen if each is not None)}))
