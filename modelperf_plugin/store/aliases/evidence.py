"""Counts and outcomes under canonical ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, itemgetter
from typing import Any, Final, TypeVar

from modelperf_plugin.store.aliases import values
from modelperf_plugin.store.aliases.role import Renamed
from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.exchange import Prior
from modelperf_plugin.store.roles import Span, Tallies
from modelperf_plugin.store.spending import Correction, CostEvent, CostSums
from modelperf_plugin.store.trends import Days, DecisionSearch, FoundDecisions, LatestChoice, TrendStep
from modelperf_plugin.store.watches import Baseline, Event, Faded, PastCosts, Revision
from modelperf_plugin.values import Durations, LaterTries, Tally, Tried, combine
from modelperf_plugin.values.names import Aliases, CanonicalIds
from modelperf_plugin.values.recent import Recent

MAX_SUMS: Final = 1000
"""Approximate number of tallies of which sums are kept, and of models with later tries."""

_Value = TypeVar("_Value")
_Sums = tuple[Mapping[str, _Value], CanonicalIds, Mapping[str, _Value]]
"""What the store has, the aliases in force, and their sums."""


class RenamedTallies:
    """Implements :class:`~modelperf_plugin.store.roles.Tallies`."""

    def __init__(self, own: Tallies, aliases: Aliases) -> None:
        self._own = own
        self._aliases = aliases
        self._sums: Recent[str, _Sums[Tally]] = Recent(MAX_SUMS)
        self._later: Recent[str, _Sums[Mapping[Tried, LaterTries]]] = Recent(MAX_SUMS)

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by canonical id: the same object as long as nothing changes."""
        own, ids = self._own.of(task_type), self._aliases.ids
        return _kept(self._sums, task_type, own, ids, values.tallies) if ids else own

    @property
    def revision(self) -> object:
        """What changes when others may have recorded outcomes."""
        return self._own.revision

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        """Return the later tries of ``task_type`` by canonical ids: the same object as long as nothing changes."""
        return _kept(self._later, task_type, self._own.later(task_type), self._aliases.ids, values.later)

    def all(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and canonical id."""
        return _sums_of(self._own.all(), self._aliases.ids)

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        """Return the tallies of the next task types after ``after`` by canonical id."""
        own, ids = self._own.page(after, pairs), self._aliases.ids
        return {task_type: values.tallies(found, ids) for task_type, found in own.items()} if ids else own

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the dated outcomes of each pair weigh, under all names of its model."""
        own, ids = self._own.faded(within, today, half_life_days), self._aliases.ids
        return values.merged(_by_pair(own, ids), values.faded) if ids else own

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        """Return how long the tasks of each pair took, under all names of its model."""
        own, ids = self._own.durations(within, today, half_life_days), self._aliases.ids
        return values.merged(_by_pair(own, ids), Durations.plus) if ids else own

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        """Return what tasks of ``task_type`` have cost, under all names of each model."""
        ids = self._aliases.ids
        if not ids:
            return self._own.costs(task_type, today, half_life_days, since_ms)
        dated = {name: moment for each, moment in since_ms.items() for name in self._aliases.spellings(each)}
        own = self._own.costs(task_type, today, half_life_days, dated)
        sums = values.merged(((ids.get(name, name), each) for name, each in own.sums.items()), values.cost_sums)
        return PastCosts(sums, [(ids.get(name, name), nano_usd) for name, nano_usd in own.newest])

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model, under all its names."""
        own, ids = self._own.baselines(within), self._aliases.ids
        return values.merged(_by_pair(own, ids), values.baseline) if ids else own


class RenamedEvents(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Events`."""

    def after(self, event_id: int, limit: int) -> list[Event]:
        """Return outcomes as those of the canonical models."""
        own: list[Event] = self._own.after(event_id, limit)
        ids = self._aliases.ids
        return [values.event(each, ids) for each in own] if ids else own

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        """Return verdicts that were replaced, on outcomes of the canonical models."""
        own: list[Revision] = self._own.revised_after(number, limit)
        ids = self._aliases.ids
        return [Revision(each[0], *[values.event(one, ids) for one in each[1:]]) for each in own] if ids else own

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        """Return outages as those of the canonical models; an answer ends those under its own name."""
        own: list[Event] = self._own.long_outages(after_id, until_id, now_ms)
        ids = self._aliases.ids
        return [values.event(each, ids) for each in own] if ids else own

    def mark_back(self, model_id: str, event_id: int) -> None:
        """Note it for the canonical model."""
        self._own.mark_back(self._aliases.canonical(model_id), event_id)

    def back(self) -> dict[str, int]:
        """Return the canonical models, with the newest mark of each."""
        own: dict[str, int] = self._own.back()
        ids = self._aliases.ids
        found: dict[str, int] = {}
        for name, event_id in own.items():
            model_id = ids.get(name, name)
            found[model_id] = max(event_id, found.get(model_id, 0))
        return found


class RenamedSpending(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Spending`."""

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        """Return costs as those of the canonical models."""
        own: list[CostEvent] = self._own.after(event_id, limit, corrected)
        ids = self._aliases.ids
        return [_renamed(each, ids) for each in own] if ids else own

    def corrections(self, number: int, limit: int) -> list[Correction]:
        """Return corrected costs as those of the canonical models."""
        own: list[Correction] = self._own.corrections(number, limit)
        ids = self._aliases.ids
        return [each._replace(event=_renamed(each.event, ids)) for each in own] if ids else own

    def by_day(self, first_day: int, task_type: str | None = None, model_id: str | None = None) -> CostSums:
        """Return the costs of each day, those of all names of the model."""
        return self._sums(lambda name: self._own.by_day(first_day, task_type, name), model_id)

    def by_step(
        self, step_ms: int, since_ms: int, most: int, task_type: str | None = None, model_id: str | None = None
    ) -> CostSums:
        """Return the costs of shorter steps of time, those of all names of the model."""
        return self._sums(lambda name: self._own.by_step(step_ms, since_ms, most, task_type, name), model_id)

    def estimated(self) -> dict[str, int]:
        """Return the canonical models of which costs were estimated, under any of their names."""
        own: dict[str, int] = self._own.estimated()
        ids = self._aliases.ids
        return {ids.get(model_id, model_id): day for model_id, day in sorted(own.items(), key=itemgetter(1))}

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        """Note that costs of a model are estimated."""
        self._own.mark_estimated(model_id, prices_day)

    def _sums(self, read: Callable[[str | None], CostSums], model_id: str | None) -> CostSums:
        if model_id is None:
            return read(None)
        first, *others = [read(name) for name in self._aliases.spellings(model_id)]
        steps = [*first.steps, *[(step, 0, cost) for sums in others for step, _, cost in sums.steps]]
        return CostSums(first.position, first.corrected, steps)


class RenamedServedModels(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.ServedModels`."""

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of answers by the canonical models."""
        own: dict[tuple[str, str], int] = self._own.counts()
        ids = self._aliases.ids
        renamed = (((ids.get(asked, asked), ids.get(served, served)), each) for (asked, served), each in own.items())
        return values.merged(renamed, add) if ids else own


class RenamedTrends(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Trends`."""

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        """Return the counts of each pair over ``days``, sorted by task type and canonical id."""
        names = [None] if model_id is None else self._aliases.spellings(model_id)
        found = [each for name in names for each in self._own.totals(days, task_type, name)]
        return _sums_of(found, self._aliases.ids)

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        """Return the counts of each pair in each step that has outcomes, oldest first for each pair."""
        ids = self._aliases.ids
        if not ids:
            return self._own.series(days, task_type, models)  # type: ignore[no-any-return]
        names = None if models is None else [each for name in models for each in self._aliases.spellings(name)]
        sums = values.merged(
            (((step.tally.task_type, ids.get(step.tally.model_id, step.tally.model_id), step.position), step.tally)
             for step in self._own.series(days, task_type, names)),
            combine,
        )  # fmt: skip
        return [TrendStep(key[2], sums[key]._replace(model_id=key[1])) for key in sorted(sums)]

    def latest_choices(self, days: Days) -> list[LatestChoice]:
        """Return the latest choice for each task type; a new spelling of the model begins a new one."""
        ids = self._aliases.ids
        latest: list[LatestChoice] = self._own.latest_choices(days)
        return [each._replace(model_id=ids.get(each.model_id, each.model_id)) for each in latest]

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        """Return decisions of ``days``, newest first."""
        names = [None] if model_id is None else self._aliases.spellings(model_id)
        found = [each for name in names for each in self._own.decisions(days, task_type, name, limit)]
        ids = self._aliases.ids
        if ids:
            found.sort(key=lambda each: each.made_ms, reverse=True)
            found = [values.decision(each, ids) for each in found[:limit]]
        return found

    def search(self, search: DecisionSearch) -> FoundDecisions:
        """Return the matches under canonical ids; a text is compared with the ids as recorded."""
        if search.models is not None:
            names = [name for model_id in search.models for name in self._aliases.spellings(model_id)]
            search = search._replace(models=tuple(names))
        found: FoundDecisions = self._own.search(search)
        return found._replace(decisions=[values.decision(each, self._aliases.ids) for each in found.decisions])


class RenamedMerged(Renamed):
    """Implements :class:`~modelperf_plugin.store.exchange_roles.MergedExperience`."""

    def priors(self, within: Span | None = None) -> list[Prior]:
        """Return the tallies of other projects under canonical ids, one of each source for a pair."""
        own: list[Prior] = self._own.priors(within)
        ids = self._aliases.ids
        if not ids:
            return own
        renamed = [each._replace(tally=values.tally(each.tally, ids)) for each in own]
        keyed = (((each.tally.task_type, each.tally.model_id, each.source), each) for each in renamed)
        return list(values.merged(keyed, lambda one, two: one._replace(tally=combine(one.tally, two.tally))).values())


def _kept(
    sums: Recent[str, _Sums[_Value]],
    task_type: str,
    own: Mapping[str, _Value],
    ids: CanonicalIds,
    add_up: Callable[[Mapping[str, _Value], CanonicalIds], Mapping[str, _Value]],
) -> Mapping[str, _Value]:
    """Return what the store has on a task type by canonical id; added up only when it or the aliases have changed."""
    if not ids or not own:
        return own
    known = sums.get(task_type)
    if known is None or known[0] is not own or known[1] is not ids:
        known = (own, ids, add_up(own, ids))
        sums.put(task_type, known, len(own))
    return known[2]


def _renamed(event: CostEvent, ids: CanonicalIds) -> CostEvent:
    return event._replace(model_id=ids.get(event.model_id, event.model_id))


def _by_pair(found: Mapping[tuple[str, str], Any], ids: CanonicalIds) -> Iterable[tuple[tuple[str, str], Any]]:
    return (((task_type, ids.get(name, name)), each) for (task_type, name), each in found.items())


def _sums_of(found: list[Tally], ids: CanonicalIds) -> list[Tally]:
    if not ids:
        return found
    renamed = (values.tally(each, ids) for each in found)
    sums = values.merged((((each.task_type, each.model_id), each) for each in renamed), combine)
    return [sums[pair] for pair in sorted(sums)]
