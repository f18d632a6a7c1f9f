"""Keeps what tasks have cost: read once for each task type and day, then carried forward with the tallies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.policy.cost.base import ExpectedCost, ModelCosts, PairCosts
from modelperf_plugin.policy.cost.prices import RecentCosts
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.store.watches import CostSums
from modelperf_plugin.values import DAY_MS, NANO_USD, Tally
from modelperf_plugin.values.recent import Recent

MAX_PAIRS: Final = 1_000
"""Approximate number of pairs whose costs are kept."""
_EPOCH: Final = date(1970, 1, 1)
_NO_SUMS: Final = CostSums(0.0, 0.0, 0, 0, None)


class TaskCosts:
    """The costs of one task type, carried forward outcome by outcome."""

    def __init__(self, generation: int, tallies: Mapping[str, Tally], outcomes: int) -> None:
        self.generation = generation
        self.tallies = tallies
        self.records: dict[str, RecentCosts] = {}
        self.resets: dict[str, int] = {}
        """Since when the costs of a model count, if not all of them do; in milliseconds since the Unix epoch."""
        self.outcomes = outcomes
        """Outcomes of the task type, as far as they were seen one by one."""
        self.last: dict[str, int] = {}
        """How many of them there were at the last one of each model."""

    def update(self, tallies: Mapping[str, Tally]) -> bool:
        """Take in what is new in ``tallies``; return whether that is possible."""
        for model_id, tally in tallies.items():
            before = self.tallies.get(model_id)
            if tally is before or tally == before:
                continue
            samples, usd, priced = _difference(tally, before)
            if samples < 0 or usd < 0 or priced < 0:
                return False
            self.outcomes += samples
            self.last[model_id] = self.outcomes
            if priced and usd:
                record = self.records.get(model_id, RecentCosts())
                self.records[model_id] = record.plus(usd / NANO_USD / priced, priced)
        self.tallies = tallies
        return True

    def hands_over(self, task: TaskCosts, tally: Tally, sums: CostSums) -> bool:
        """Hand the costs of a model over to ``task`` with the older ones as of today, unless others count there."""
        model_id = tally.model_id
        record = self.records.get(model_id)
        if record is None or self.resets.get(model_id) != sums.reset_ms:
            return False
        # after a change of the price the sums in the store contain costs that do not count
        task.records[model_id] = record if record.has_changed else record.weighing(*_counting(tally, sums))
        return True


class Costs:
    """What tasks have cost, by task type. For one thread at a time."""

    def __init__(self, tallies: Tallies, config: Callable[[], Config], today: Callable[[], int]) -> None:
        """Read from this role of a store; ``today`` returns days since the Unix epoch."""
        self._store = tallies
        self._config = config
        self._today = today
        self._tasks: Recent[str, TaskCosts] = Recent(MAX_PAIRS)
        self._generation = 0
        self._dated: Mapping[str, int] = {}
        self.expire()

    def expire(self) -> None:
        """Read the sums again when they are next used: the day, the configuration or a model has changed."""
        self._generation += 1
        today = self._today()
        self._dated = {
            model_id: day * DAY_MS
            for model_id, model in self._config().models.items()
            if model.cost_since is not None and (day := (model.cost_since - _EPOCH).days) <= today
        }

    def of(self, task_type: str, tallies: Mapping[str, Tally]) -> TaskCosts:
        """Return the costs of ``task_type``, whose tallies are ``tallies``."""
        task = self._tasks.get(task_type)
        if task is not None and task.generation == self._generation:
            if task.tallies is tallies or task.update(tallies):
                return task
            task = None
        task = self._read(task_type, tallies, task)
        if tallies:
            self._tasks.put(task_type, task, 1 + len(tallies))
        return task

    def for_decision(self, task_type: str, tallies: Mapping[str, Tally], model_costs: ModelCosts) -> PairCosts:
        """Return what is known of the costs of a task type, for one decision."""
        task = self.of(task_type, tallies)
        waiting = {model_id: task.outcomes - task.last.get(model_id, 0) for model_id in task.records}
        if task.resets:
            model_costs = {**model_costs}
            for model_id in task.resets:
                self._reset(model_id, model_costs)
        return PairCosts(dict(task.records), waiting, model_costs)

    def _reset(self, model_id: str, model_costs: dict[str, ExpectedCost]) -> None:
        """Replace the mean over all task types, which contains costs from before a change."""
        model = self._config().models.get(model_id)
        model_costs.pop(model_id, None)
        if model is not None and model.cost_usd is not None:
            model_costs[model_id] = ExpectedCost(model.cost_usd, "configured")

    def _read(self, task_type: str, tallies: Mapping[str, Tally], before: TaskCosts | None) -> TaskCosts:
        """Read the costs of a task type; what was seen ``before`` of single ones is kept."""
        half_life = self._config().drift.half_life_days
        sums, newest = self._store.costs(task_type, self._today(), half_life, self._dated)
        task = TaskCosts(self._generation, tallies, len(newest))
        singles: dict[str, list[float]] = {}
        for number, (model_id, nano_usd) in enumerate(newest, 1):
            task.last[model_id] = number
            if nano_usd > 0:
                singles.setdefault(model_id, []).append(nano_usd / NANO_USD)
        if before is not None and before.update(tallies):
            task.outcomes, task.last = before.outcomes, before.last
        for model_id, tally in tallies.items():
            own = sums.get(model_id, _NO_SUMS)
            if own.reset_ms is not None:
                task.resets[model_id] = own.reset_ms
            if before is None or not before.hands_over(task, tally, own):
                task.records[model_id] = _record(tally, own, singles.get(model_id, []))
        return task


def _difference(tally: Tally, before: Tally | None) -> tuple[int, int, int]:
    """Return by how many outcomes, nano-dollars and costs a tally has grown."""
    if before is None:
        return tally.samples, tally.total_cost_nano_usd, tally.priced
    return (
        tally.samples - before.samples,
        tally.total_cost_nano_usd - before.total_cost_nano_usd,
        tally.priced - before.priced,
    )


def _counting(tally: Tally, sums: CostSums) -> tuple[float, float]:
    """Return the sum of the costs of a pair that count, in US dollars, and their number."""
    if sums.reset_ms is not None:
        return sums.weighed_nano_usd / NANO_USD, sums.weighed
    nano_usd = tally.total_cost_nano_usd - sums.nano_usd + sums.weighed_nano_usd
    return max(0.0, nano_usd) / NANO_USD, max(0.0, tally.priced - sums.priced + sums.weighed)


def _record(tally: Tally, sums: CostSums, singles: list[float]) -> RecentCosts:
    return RecentCosts.of(*_counting(tally, sums), singles)
