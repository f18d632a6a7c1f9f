"""What a task costs where prices change, and probes of prices."""

from __future__ import annotations

from math import isclose
from random import Random

import pytest

from modelperf_plugin.policy import CheapestWithin, Value
from modelperf_plugin.policy.cost import CostObjective, Estimate, expected_cost
from modelperf_plugin.policy.cost.prices import KEPT, RecentCosts
from modelperf_plugin.policy.cost.probing import due, is_due_above
from modelperf_plugin.values import Tally


def after(costs: list[float], start: RecentCosts | None = None) -> RecentCosts:
    """Return the costs after single ones, oldest first."""
    recent = start or RecentCosts()
    for usd in costs:
        recent = recent.plus(usd)
    return recent


def lognormal(count: int, deviation: float, seed: int, median: float = 0.02) -> list[float]:
    """Return so many costs around ``median``."""
    rng = Random(seed)
    return [median * rng.lognormvariate(0.0, deviation) for _ in range(count)]


def test_without_a_change_every_cost_counts() -> None:
    """The expected cost is the mean of all, however many of them are kept one by one."""
    costs = lognormal(3 * KEPT, 0.3, seed=1)
    recent = after(costs)
    assert not recent.has_changed
    assert recent.mean is not None
    assert isclose(recent.mean, sum(costs) / len(costs))
    assert recent.weight == len(costs)


@pytest.mark.parametrize(("factor", "most"), [(10.0, 3), (0.2, 3), (0.1, 3)])
def test_a_change_of_the_price_is_seen_after_few_calls(factor: float, most: int) -> None:
    """Then only costs since the change count."""
    recent = after(lognormal(300, 0.2, seed=2))
    recent = after(lognormal(most, 0.2, seed=3, median=0.02 * factor), recent)
    assert recent.has_changed
    assert recent.mean is not None
    assert recent.mean == pytest.approx(0.02 * factor, rel=0.5)


def test_varied_costs_are_no_change() -> None:
    """Costs that vary as much as their mean hardly ever look like another price: at most once in 1,000 costs."""
    changes = 0
    for seed in range(5):
        recent = RecentCosts()
        for usd in lognormal(1_000, 0.94, seed=seed):
            recent = recent.plus(usd)
            changes += recent.has_changed
            recent = recent._replace(has_changed=False)
    assert changes <= 5


@pytest.mark.parametrize("before", [0, 1, 5, 100])
def test_one_outlier_neither_makes_a_change_nor_sets_the_cost(before: int) -> None:
    """A single $3 among costs of $.05 leaves the expected cost below $.5 as soon as another cost is known."""
    recent = after([*[0.05] * before, 3.0])
    assert not recent.has_changed
    recent = after([0.05], recent)
    assert recent.mean is not None
    assert recent.mean < 0.5


@pytest.mark.parametrize("later", [1, KEPT, KEPT + 1, 100, 400])
def test_an_outlier_stays_one_when_it_is_no_longer_among_the_newest(later: int) -> None:
    """However many costs have followed, it counts as ten times the median of the newest, and looks like no change."""
    recent = after([*[0.1] * 60, 30.0, *[0.1] * later])
    assert not recent.has_changed
    assert recent.mean == pytest.approx((0.1 * (60 + later) + 1.0) / (61 + later))


def test_an_outlier_fades_with_the_costs_of_its_time() -> None:
    """When the older costs are discounted, so is what the outlier does not count; the next day's sums give the rest."""
    weight, costs = 0.5, [*[0.1] * 60, 30.0, *[0.1] * KEPT]
    recent = after(costs)
    faded = recent.weighing(weight * (0.1 * 60 + 30.0) + 0.1 * KEPT, weight * 61 + KEPT)
    assert faded.mean == pytest.approx((weight * (0.1 * 60 + 1.0) + 0.1 * KEPT) / (weight * 61 + KEPT))
    assert faded.weighing(0.1 * KEPT, KEPT).mean == pytest.approx(0.1)


def test_an_outlier_is_known_again_after_a_restart() -> None:
    """Read from a store, with the last costs one by one, it counts as before."""
    costs = [*[0.1] * 60, 30.0, *[0.1] * 100]
    again = RecentCosts.of(sum(costs), len(costs), costs)
    assert again.mean == pytest.approx(after(costs).mean)
    assert again.plus(0.1, 3).mean == pytest.approx(after([*costs, 0.1, 0.1, 0.1]).mean)


def test_a_price_change_after_an_outlier_is_seen() -> None:
    """An outlier among the older costs hides no change, neither a rise nor a cut."""
    before = after([*lognormal(60, 0.2, seed=2), 6.0, *lognormal(300, 0.2, seed=3)])
    for factor in (5.0, 0.2):
        changed = after(lognormal(4, 0.2, seed=4, median=0.02 * factor), before)
        assert changed.has_changed
        assert changed.mean == pytest.approx(0.02 * factor, rel=0.5)


@pytest.mark.parametrize("between", [KEPT, 100])
def test_two_outliers_in_all_count_in_full(between: int) -> None:
    """A cost that comes again, however much later, is part of what a task costs."""
    costs = [*[0.1] * 60, 30.0, *[0.1] * between, 30.0, *[0.1] * 60]
    assert after(costs).mean == pytest.approx(sum(costs) / len(costs))


def test_two_equally_high_costs_count_in_full() -> None:
    """What happens more than once is no outlier."""
    costs = [0.05, 0.05, 3.0, 0.05, 0.05, 3.0, 0.05]
    assert after(costs).mean == pytest.approx(sum(costs) / len(costs))


def test_many_costs_at_once_count_like_their_mean() -> None:
    """An import or another process brings several outcomes at a time."""
    recent = after([0.02] * 10).plus(0.021, 1_000)
    assert recent.weight == 1_010
    assert recent.mean == pytest.approx((0.2 + 21.0) / 1_010)


def test_after_a_change_the_mean_over_task_types_does_not_count() -> None:
    """It contains the old price."""
    tally = Tally("t", "m", 302, 0, total_cost_nano_usd=1, priced=302)
    recent = after([0.004] * 3, after([0.02] * 300))
    cost = expected_cost(tally, {}, recent)
    assert cost is not None
    assert cost.usd == pytest.approx(0.004)
    assert 0 < cost.outcomes <= 3


ESTIMATES = [Estimate(0.8, 1e-4, 0.02), Estimate(0.81, 1e-4, 0.05), Estimate(0.4, 1e-4, 0.05)]
NAMES = ["cheap", "dear", "poor"]


@pytest.mark.parametrize("objective", [CheapestWithin(), Value(usd_per_success=0.5)], ids=["cheapest_within", "value"])
def test_only_what_a_lower_price_would_make_the_choice_is_probed(objective: CostObjective) -> None:
    """A model that would not be chosen at a fifth of its cost is not, nor is one that was called just now."""
    waiting = {"cheap": 0, "dear": 500, "poor": 500}
    assert due(objective, NAMES, ESTIMATES, 1_000, 0.02, waiting, {}) == [1]
    assert due(objective, NAMES, ESTIMATES, 1_000, 0.0, waiting, {}) == []
    assert due(objective, NAMES, ESTIMATES, 1_000, 0.02, {**waiting, "dear": 20}, {}) == []


def test_a_hint_makes_the_next_probe_come_sooner() -> None:
    """One low cost is no change of the price, but worth another look."""
    recent = after([0.01], after([0.05] * 100))
    waiting = {"cheap": 0, "dear": 20, "poor": 20}
    assert recent.hints_at_cut
    assert not recent.has_changed
    assert due(CheapestWithin(), NAMES, ESTIMATES, 1_000, 0.02, waiting, {"dear": recent}) == [1]


def test_what_proves_too_expensive_is_probed_less_often() -> None:
    """Each cost in a row that is above the limit doubles the number of outcomes until the next probe, up to 3,200."""
    once, often = after([0.05] * 20 + [3.0]), after([3.0] * 30)
    assert [is_due_above(0.5, waiting, once) for waiting in (99, 100)] == [False, True]
    assert [is_due_above(0.5, waiting, often) for waiting in (3_199, 3_200)] == [False, True]
