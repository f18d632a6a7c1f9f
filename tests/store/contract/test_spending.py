"""The contract of what outcomes have cost."""

from __future__ import annotations

from modelperf_plugin.store import Store
from modelperf_plugin.store.spending import CostEvent, CostSums
from modelperf_plugin.values import DAY_MS, NANO_USD
from tests.store.contract.examples import NEW_YEAR_MS, OpenStore, entry


def test_estimates_are_noted_by_model(opener: OpenStore) -> None:
    """Each model is noted once, with the newest day."""
    store = opener()
    assert store.spending.estimated() == {}
    for model_id, day in (("a", 20_000), ("b", 20_001), ("a", 20_002), ("b", 19_000)):
        store.spending.mark_estimated(model_id, day)
    assert store.spending.estimated() == {"a": 20_002, "b": 20_001}


def sums(read: CostSums) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Return sums with their steps in order; those of several names of a model come apart."""
    steps: dict[int, tuple[int, int]] = {}
    for step, outcomes, cost in read.steps:
        before = steps.get(step, (0, 0))
        steps[step] = before[0] + outcomes, before[1] + cost
    return read.position, read.corrected, [(step, *steps[step]) for step in sorted(steps)]


def test_costs_are_read_by_event_by_day_and_by_step(store: Store) -> None:
    """Whatever was recorded before is included, and a position says up to where."""
    moments = [NEW_YEAR_MS, NEW_YEAR_MS + 1000, NEW_YEAR_MS + DAY_MS]
    for ended_ms, model_id, task_type in zip(moments, "aba", "ttu", strict=True):
        store.outcomes.record(entry(model_id, task_type=task_type, cost_usd=0.5, ended_ms=ended_ms))
    day, half = NEW_YEAR_MS // DAY_MS, NANO_USD // 2
    assert sums(store.spending.by_day(day)) == (3, 0, [(day, 2, 2 * half), (day + 1, 1, half)])
    assert sums(store.spending.by_day(day + 1)) == (3, 0, [(day + 1, 1, half)])
    assert sums(store.spending.by_day(day, "t", "a")) == (3, 0, [(day, 2, half)])
    step = NEW_YEAR_MS // 1000
    assert sums(store.spending.by_step(1000, 0, 100, "t")) == (3, 0, [(step, 1, half), (step + 1, 1, half)])
    assert sums(store.spending.by_step(DAY_MS, 0, 2, None, "b")) == (3, 0, [(day, 1, half), (day + 1, 1, 0)])
    assert sums(store.spending.by_step(DAY_MS, NEW_YEAR_MS + DAY_MS, 9)) == (3, 0, [(day + 1, 1, half)])
    assert store.spending.after(1, 1, 0) == [CostEvent(2, "t", "b", NEW_YEAR_MS + 1000, half)]
    assert [each.event_id for each in store.spending.after(0, 9, 0)] == [1, 2, 3]


def test_corrected_costs_are_read_as_of_a_correction(store: Store) -> None:
    """An event costs what it did then; what comes later is among the corrections, in order."""
    for cost_usd in (0.5, 1.0, 2.0):
        store.outcomes.record(entry("a", task_type="t", cost_usd=cost_usd, outcome_id="run-1"))
    costs = [[event.cost_nano_usd / NANO_USD for event in store.spending.after(0, 9, then)] for then in range(3)]
    assert costs == [[0.5], [1.0], [2.0]]
    corrections = store.spending.corrections(0, 9)
    assert [(each.number, each.former_nano_usd / NANO_USD) for each in corrections] == [(1, 0.5), (2, 1.0)]
    assert [each.event.cost_nano_usd / NANO_USD for each in corrections] == [1.0, 2.0]
    assert store.spending.corrections(1, 9) == corrections[1:]
    assert store.spending.by_day(0).corrected == 2
