"""The store as it was at a past moment; advances through its outcomes."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final, NamedTuple

from modelperf_plugin.store import Baseline, Change, Event, Faded, Store
from modelperf_plugin.store.exchange_roles import MergedExperience
from modelperf_plugin.store.roles import Events, Span
from modelperf_plugin.store.watches import CostSums, PastCosts
from modelperf_plugin.values import (
    DAY_MS,
    UNKNOWN_TRIED,
    Blame,
    Durations,
    ErrorKind,
    LaterTries,
    Outcome,
    Tally,
    Tried,
)

PAGE_SIZE: Final = 5_000
_Pair = tuple[str, str]
_NO_TALLIES: Final[Mapping[str, Tally]] = {}
_NO_LATER: Final[Mapping[str, Mapping[Tried, LaterTries]]] = {}


class Cost(NamedTuple):
    """The cost of one task."""

    ended_ms: int
    task_type: str
    model_id: str
    nano_usd: int


class StoreAsOf:
    """The tallies of a store as they were at a moment that only moves forward.

    To a learner it looks like the store at that moment: an outcome is known once it has ended, a change of a model once
    it was noticed. Imported sums have no time, so they are left out.
    """

    def __init__(
        self, store: Store, costs: Iterable[Cost] = (), not_before: Mapping[tuple[str, str, int], int] | None = None
    ) -> None:
        """Start before the first outcome of ``store``.

        ``costs`` are those of its outcomes. ``not_before`` gives the time of the decision for outcomes (task type,
        model, end) that are stamped earlier than that.
        """
        self.merged: MergedExperience = store.merged
        """The counts of other projects, as they are today: they have no time either."""
        held = not_before or {}
        events = sorted(
            (max(each.ended_ms, held.get((each.task_type, each.model_id, each.ended_ms), 0)), each)
            for each in _events(store.events)
        )
        self._events = deque(events)
        self._costs = deque(sorted(costs))
        self._tallies: dict[str, dict[str, Tally]] = {}
        self._later: dict[str, Mapping[str, Mapping[Tried, LaterTries]]] = {}
        self._names: list[str] = []
        self._days: dict[str, dict[str, dict[int, list[int]]]] = {}
        self._cost_days: dict[str, dict[str, dict[int, tuple[int, int]]]] = {}
        self._changes = sorted(store.changes.all(), key=lambda each: each.noticed_ms)
        self._before: dict[int, dict[_Pair, Tally]] = {each.change_id: {} for each in self._changes}
        self._rates = store.tallies.baselines()
        self._now_ms = 0
        self.changes_noticed = 0
        """Number of changes of models noticed so far: a learner starts afresh with each."""

    @property
    def now(self) -> float:
        """The moment, in seconds since the Unix epoch."""
        return self._now_ms / 1000

    @property
    def revision(self) -> object:
        """Nothing relies on it: there are no budgets here."""
        return self._now_ms

    def advance(self, now_ms: int) -> None:
        """Take in everything that became known before ``now_ms``."""
        self._now_ms = now_ms
        while self._events and self._events[0][0] < now_ms:
            self._add(self._events.popleft()[1])
        while self._costs and self._costs[0].ended_ms < now_ms:
            self._add_cost(self._costs.popleft())
        while self.changes_noticed < len(self._changes) and self._changes[self.changes_noticed].noticed_ms < now_ms:
            self.changes_noticed += 1

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id; the same object while nothing changes."""
        return self._tallies.get(task_type, _NO_TALLIES)

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        """Return the later tries of ``task_type`` by model id and by what had failed before."""
        return self._later.get(task_type, _NO_LATER)

    def all(self) -> list[Tally]:
        """Return the tallies of all task types."""
        return list(chain.from_iterable(each.values() for each in self._tallies.values()))

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        """Return the tallies of the next task types after ``after``."""
        if len(self._names) != len(self._tallies):
            self._names = sorted(self._tallies)
        page: dict[str, Mapping[str, Tally]] = {}
        for task_type in self._names[bisect_right(self._names, after) :]:
            pairs -= len(self._tallies[task_type])
            if page and pairs < 0:
                break
            page[task_type] = self._tallies[task_type]
        return page

    def baselines(self, within: Span | None = None) -> dict[_Pair, Baseline]:
        """Return the counts from before the last noticed change of each model."""
        baselines: dict[_Pair, Baseline] = {}
        for change in self._changes[: self.changes_noticed]:
            for pair, tally in self._before[change.change_id].items():
                if within is not None and not within[0] <= pair[0] <= within[1]:
                    continue
                last = self._rates.get(pair)
                rate = last.rate if last is not None and last.since_ms == change.since_ms else None
                failures, timeouts = tally.quality_failures, tally.timeout_failures
                later = (tally.later_successes, tally.later_failures, tally.later_timeout_failures)
                baselines[pair] = Baseline(
                    tally.successes, failures, rate, timeouts, change.since_ms, change.direction, *later,
                    tally.score_shift, tally.later_score_shift,
                )  # fmt: skip
        return baselines

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[_Pair, Faded]:
        """Return the weight on ``today`` of each pair's outcomes since the day after the last change of its model."""
        since = {pair: each.since_ms // DAY_MS for pair, each in self.baselines(within).items()}
        return {
            (task_type, model_id): _faded(days, since.get((task_type, model_id)), today, half_life_days)
            for task_type, models in self._days_within(within)
            for model_id, days in models.items()
        }

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[_Pair, Durations]:  # noqa: ARG002
        """Return none: a policy is judged as if all models took equally long."""
        return {}

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        """Return what tasks of ``task_type`` have cost, as of day ``today``; single costs are not known again."""
        resets = {each.model_id: each.since_ms for each in self._announced()}
        sums: dict[str, CostSums] = {}
        for model_id, days in self._cost_days.get(task_type, {}).items():
            reset, dated = resets.get(model_id), since_ms.get(model_id)
            counting = [
                (0.5 ** (max(0, today - day) / half_life_days) if half_life_days else 1.0, costs)
                for day, costs in days.items()
                if (reset is None or day > reset // DAY_MS) and (dated is None or day >= dated // DAY_MS)
            ]
            sums[model_id] = CostSums(
                sum([weight * nano_usd for weight, (nano_usd, _) in counting]),
                sum([weight * priced for weight, (_, priced) in counting]),
                sum([nano_usd for _, (nano_usd, _) in counting]),
                sum([priced for _, (_, priced) in counting]),
                max([each for each in (reset, dated) if each is not None], default=None),
            )
        return PastCosts(sums, [])

    def _announced(self) -> list[Change]:
        """Return the announced changes noticed so far."""
        return [each for each in self._changes[: self.changes_noticed] if each.direction == "announced"]

    def _days_within(self, within: Span) -> Iterator[tuple[str, dict[str, dict[int, list[int]]]]]:
        if within[0] == within[1]:
            yield within[0], self._days.get(within[0], {})
            return
        for task_type, models in self._days.items():
            if within[0] <= task_type <= within[1]:
                yield task_type, models

    def _add(self, event: Event) -> None:
        outcome = _OUTCOMES[event.blame, event.timed_out]
        if event.score is not None:
            outcome = replace(outcome, score=event.score)
        pair = (event.task_type, event.model_id)
        is_later = bool(event.tried)
        self._put(self._tally(pair).plus(outcome, event.ended_ms, later=is_later))
        if event.blame in {None, "model"}:
            models = self._days.setdefault(event.task_type, {})
            day = models.setdefault(event.model_id, {}).setdefault(event.ended_ms // DAY_MS, [0] * 8)
            timed_out = event.timed_out and event.score is None
            counts = (event.success, not event.success, timed_out, outcome.score_shift)
            for number, count in enumerate(counts * 2 if is_later else counts):
                day[number] += count
            if is_later and event.tried != UNKNOWN_TRIED:
                self._add_later(event, outcome)
        for change in self._changes:
            if change.model_id == event.model_id and event.event_id <= change.noticed_event_id:
                before = self._before[change.change_id]
                before[pair] = before.get(pair, Tally(*pair)).plus(outcome, event.ended_ms, later=is_later)

    def _add_later(self, event: Event, outcome: Outcome) -> None:
        models = self._later.get(event.task_type, _NO_LATER)
        sets = models.get(event.model_id, {})
        tries = sets.get(event.tried, LaterTries()).plus(outcome)
        self._later[event.task_type] = {**models, event.model_id: {**sets, event.tried: tries}}

    def _add_cost(self, cost: Cost) -> None:
        tally = self._tally((cost.task_type, cost.model_id))
        total = tally.total_cost_nano_usd + cost.nano_usd
        days = self._cost_days.setdefault(cost.task_type, {}).setdefault(cost.model_id, {})
        usd, priced = days.get(cost.ended_ms // DAY_MS, (0, 0))
        days[cost.ended_ms // DAY_MS] = (usd + cost.nano_usd, priced + 1)
        self._put(tally._replace(total_cost_nano_usd=total, priced=tally.priced + 1))

    def _tally(self, pair: _Pair) -> Tally:
        return self._tallies.get(pair[0], _NO_TALLIES).get(pair[1]) or Tally(*pair)

    def _put(self, tally: Tally) -> None:
        self._tallies[tally.task_type] = {**self._tallies.get(tally.task_type, _NO_TALLIES), tally.model_id: tally}


def _events(log: Events) -> Iterator[Event]:
    number = 0
    while page := log.after(number, PAGE_SIZE):
        yield from page
        number = page[-1].event_id


def _faded(days: Mapping[int, Sequence[int]], since: int | None, today: int, half_life_days: float) -> Faded:
    dated = [(day, counts) for day, counts in days.items() if since is None or day > since]
    shares = [0.5 ** (max(0, today - day) / half_life_days) for day, _ in dated]
    weights = [sum(share * counts[n] for share, (_, counts) in zip(shares, dated, strict=True)) for n in range(8)]
    counts = [sum(each[n] for _, each in dated) for n in range(8)]
    return Faded(
        (weights[0], weights[1], weights[2]), (counts[0], counts[1], counts[2]), len(dated),
        (weights[4], weights[5], weights[6]), (counts[4], counts[5], counts[6]), (weights[3], counts[3]),
        (weights[7], counts[7]),
    )  # fmt: skip


_ERROR_KINDS: Final[Mapping[Blame | None, ErrorKind | None]] = {
    None: None, "model": None, "provider": "server_error", "caller": "cancelled",
}  # fmt: skip
_OUTCOMES: Final = {
    (blame, timed_out): Outcome(success=blame is None, timeout=timed_out, error_kind=kind)
    for blame, kind in _ERROR_KINDS.items()
    for timed_out in (False, True)
}
