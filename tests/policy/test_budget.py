"""The price of money, what is left for each task, and which candidates a budget does not permit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from modelperf_plugin.engine.candidate_costs import CandidateCosts
from modelperf_plugin.policy.budget import (
    Budget,
    Menu,
    Outlook,
    Spent,
    cheapest_usd,
    is_ahead,
    outlook,
    pace,
    price_of_money,
    refused,
    usd_for_trials,
)
from modelperf_plugin.policy.cost import ExpectedCost
from modelperf_plugin.values import DAY_MS, NANO_USD, to_milliseconds

MIDNIGHT_MS = to_milliseconds(datetime(2026, 3, 2, tzinfo=UTC))
STEP_MS = Budget().step_ms
HOUR_MS = 3_600_000


def cost_at(menus: list[Menu], price: float) -> float:
    """Return what a task costs if each goes to the candidate with the highest chance less the price of its cost."""
    total = sum(menu.weight for menu in menus)
    return sum(
        menu.weight * max(menu.options, key=lambda option: option[1] - price * option[0])[0] / total for menu in menus
    )


def test_the_mixture_of_both_prices_costs_what_is_left() -> None:
    """Of any menus: the stated share of decisions at the low price, the others at the high one."""
    numbers = Random(1)
    for _ in range(300):
        menus = [
            Menu(numbers.uniform(0.1, 3), [(numbers.uniform(0.01, 1), numbers.random()) for _ in range(6)])
            for _ in range(numbers.choice([1, 2, 5]))
        ]
        least, most = cheapest_usd(menus), cost_at(menus, 0.0)
        usd = numbers.uniform(least, most)
        price = price_of_money(menus, usd)
        assert price.low <= price.usual * 1.05
        assert price.high >= price.usual * 0.95
        mixed = price.share * cost_at(menus, price.low) + (1.0 - price.share) * cost_at(menus, price.high)
        if len(menus) == 1:  # gains of several menus may be closer together than the grid of prices
            assert mixed == pytest.approx(usd, rel=0.25)


def test_money_costs_more_the_less_there_is() -> None:
    """The usual price never falls as less is left, and is 0 with half as much again as is needed."""
    menus = [Menu(1.0, [(0.01, 0.5), (0.1, 0.7), (0.5, 0.8)]), Menu(2.0, [(0.02, 0.4), (0.3, 0.9)])]
    prices = [price_of_money(menus, 0.001 * step).usual for step in range(1, 600)]
    assert prices == sorted(prices, reverse=True)
    assert price_of_money(menus, 1.5 * cost_at(menus, 0.0) + 0.001).usual == 0.0


def test_without_candidates_of_known_cost_money_costs_nothing() -> None:
    """There is nothing to save."""
    assert price_of_money([], 0.1).at(0.5) == 0.0
    assert price_of_money([Menu(1.0, [(0.1, 0.5)])], 0.01).at(0.5) == 0.0


@pytest.mark.parametrize(
    ("per", "moment", "begin", "end"),
    [
        ("hour", (2026, 3, 4, 5, 6), (2026, 3, 4, 5), (2026, 3, 4, 6)),
        ("day", (2026, 3, 4, 5, 6), (2026, 3, 4), (2026, 3, 5)),
        ("week", (2026, 3, 1, 23, 59), (2026, 2, 23), (2026, 3, 2)),
        ("week", (2026, 3, 2), (2026, 3, 2), (2026, 3, 9)),
        ("month", (2024, 2, 29, 1), (2024, 2, 1), (2024, 3, 1)),
        ("month", (2026, 12, 31), (2026, 12, 1), (2027, 1, 1)),
    ],
)
def test_periods_of_the_calendar(per: str, moment: tuple[int], begin: tuple[int], end: tuple[int]) -> None:
    """In UTC; a week begins on Monday."""

    def at(fields: tuple[int, ...]) -> int:
        year, month, day, *time = fields
        hour, minute = [*time, 0, 0][:2]
        return to_milliseconds(datetime(year, month, day, hour, minute, tzinfo=UTC))

    assert Budget.model_validate({"usd": 1.0, "per": per}).window(at(moment)) == (at(begin), at(end))


def spent_by(outcomes: list[tuple[int, float]]) -> Spent:
    """Return the sums of outcomes, each with time and cost."""
    sums: dict[int, tuple[int, int]] = {}
    for at_ms, usd in outcomes:
        known = sums.get(at_ms // STEP_MS, (0, 0))
        sums[at_ms // STEP_MS] = (known[0] + 1, known[1] + round(usd * NANO_USD))
    return Spent(STEP_MS, sums, min([at_ms for at_ms, _ in outcomes], default=None))


def test_tasks_are_expected_as_they_came_yesterday() -> None:
    """All at noon yesterday: at eleven the money is kept for them, in the afternoon there is more for each."""
    yesterday = [(MIDNIGHT_MS - DAY_MS + 12 * HOUR_MS + minute * 60_000, 0.1) for minute in range(60)]
    before = [(at_ms - DAY_MS, usd) for at_ms, usd in yesterday]
    budget = Budget(usd=6.0)
    morning = outlook(budget, spent_by([*before, *yesterday]), MIDNIGHT_MS + 11 * HOUR_MS)
    assert morning.tasks == pytest.approx(60, rel=0.1)
    today = [(at_ms + DAY_MS, usd) for at_ms, usd in yesterday]
    afternoon = outlook(budget, spent_by([*before, *yesterday, *today[:30]]), MIDNIGHT_MS + 15 * HOUR_MS)
    assert afternoon.spent_usd == pytest.approx(3.0)
    assert afternoon.usd_per_task > 1.0


def test_on_the_first_day_tasks_are_expected_evenly() -> None:
    """After six hours with 60 tasks, three times as many are expected."""
    outcomes = [(MIDNIGHT_MS + minute * 6 * 60_000, 0.1) for minute in range(60)]
    found = outlook(Budget(usd=20.0), spent_by(outcomes), MIDNIGHT_MS + 6 * HOUR_MS)
    assert found.tasks == pytest.approx(180, rel=0.05)
    assert found.left_usd == pytest.approx(14.0)


def test_a_busier_day_is_noticed() -> None:
    """Twice as many by noon as yesterday: about twice as many are expected in the afternoon."""
    day = [(MIDNIGHT_MS + minute * 10 * 60_000, 0.1) for minute in range(144)]
    yesterday = [(at_ms - DAY_MS, usd) for at_ms, usd in day] + [(at_ms - 2 * DAY_MS, usd) for at_ms, usd in day]
    today = [(at_ms + shift, usd) for at_ms, usd in day[:72] for shift in (0, 1000)]
    found = outlook(Budget(usd=20.0), spent_by(yesterday + today), MIDNIGHT_MS + 12 * HOUR_MS)
    assert found.tasks == pytest.approx(144, rel=0.15)


def test_what_is_reserved_is_not_left() -> None:
    """It counts as spent."""
    assert outlook(Budget(usd=2.0), Spent(STEP_MS, {}), MIDNIGHT_MS, 0.5).left_usd == pytest.approx(1.5)


COSTS = {"a": 0.01, "b": 0.1, "c": 1.0}


@pytest.mark.parametrize(
    ("then", "left", "rest", "out"),
    [
        ("cheapest", 5.1, 1.0, ""),
        ("cheapest", 1.9, 1.0, "c"),
        ("cheapest", 1.05, 1.0, "bc"),
        ("cheapest", 0.005, 1.0, "abc"),
        ("cheapest", -1.0, 1.0, "abc"),
        ("overdraw", 1.05, 1.0, "bc"),
        ("overdraw", -1.0, 1.0, "bc"),
        ("none", 5.1, 5.0, ""),
        ("none", 1.05, 1.0, "c"),
        ("none", 0.3, 1.0, "bc"),
        ("none", 0.005, 1.0, "abc"),
        ("none", 0.0, 0.0, "abc"),
    ],
)
def test_who_is_refused(then: str, left: float, rest: float, out: str) -> None:
    """Those after which too little is left; the cheapest only once the money is used up, unless it may be overdrawn."""
    budget = Budget.model_validate({"usd": 9.0, "then": then})
    assert refused(budget, list("abc"), COSTS, left, rest, left) == list(out)


def test_a_candidate_of_unknown_cost_is_refused_when_the_money_is_used_up() -> None:
    """Until then it may be tried if it can be afforded, or if the known ones are too dear: it may be the cheapest."""
    for then in ("cheapest", "overdraw"):
        budget = Budget.model_validate({"usd": 9.0, "then": then})
        assert refused(budget, ["a", "new"], COSTS, 5.0, 1.0, 5.0) == []
        assert refused(budget, ["b", "new"], COSTS, 0.9, 1.0, 0.9) == ["new"]
        assert "new" in refused(budget, ["b", "new"], COSTS, 0.0, 1.0, 0.0)
        assert refused(budget, ["new"], {}, -1.0, 0.0, -1.0) == ([] if then == "overdraw" else ["new"])


def test_a_candidate_of_unknown_cost_is_tried_first_while_the_others_are_too_dear() -> None:
    """Unless so many are known, or so little is left, that finding a cheaper one is not worth its cost."""
    budget = Budget(usd=9.0)
    assert refused(budget, ["b", "new"], COSTS, 0.5, 1.0, 0.0) == ["b"]
    assert refused(budget, ["b", "new"], COSTS, 0.3, 1.0, 0.0) == ["new"]
    many = {f"m{n}": 0.1 for n in range(9)}
    assert refused(budget, [*many, "new"], many, 1.9, 5.0, 0.0)[-1] == "new"
    assert refused(budget, [*many, "new"], many, 2.1, 5.0, 0.0) == [*many]


def test_a_candidate_of_unknown_cost_is_taken_to_be_one_of_the_dearer_ones() -> None:
    """So it is tried only where one of those could be afforded, and only for the money that trials may cost now."""
    offered, costs = ["a", "b", "c", "new"], COSTS
    budget = Budget(usd=9.0)
    assert refused(budget, offered, costs, 9.0, 1.0, 1.1) == []
    assert refused(budget, offered, costs, 9.0, 1.0, 0.9) == ["new"]
    assert refused(budget, offered, costs, 4.9, 1.0, 1.1) == ["c", "new"]


def test_what_was_seen_of_other_task_types_counts_at_once() -> None:
    """Until there are some costs of this one."""
    seen = {"new": (3, 3 * NANO_USD), "a": (9, 9 * NANO_USD)}
    usd = CandidateCosts.of({"a": ExpectedCost(0.02, "own", 50)}).with_seen({}, seen)
    assert usd == {"a": 0.02, "new": 1.0}


def test_trials_are_spread_over_the_period() -> None:
    """An eighth of the budget at first; what was spent beyond that must come back by tasks that cost less."""

    def trials(outcomes: int, left_usd: float) -> float:
        seen = Outlook(0.0, 0.0, 100.0 - outcomes, 0.0, 100.0 - outcomes, 0)
        return usd_for_trials(Budget(usd=8.0), seen, outcomes, left_usd)

    assert trials(0, 8.0) == pytest.approx(1.0)
    assert trials(10, 6.5) == pytest.approx(0.3)
    assert trials(10, 6.0) < 0.0
    assert trials(30, 6.0) == pytest.approx(1.4)
    assert trials(99, 0.2) == pytest.approx(0.2)


def test_a_model_waits_until_its_plan_has_caught_up() -> None:
    """A quarter of the tasks have come: up to a quarter of its money, and one task more, may be spent."""
    seen = Outlook(0.0, 0.0, 75.0, 0.0, 75.0, 0)
    budget = Budget(usd=8.0)
    assert [is_ahead(budget, seen, 25, 1.0, 8.0 - used) for used in (0.0, 1.9, 2.1, 7.5)] == [False, False, True, True]


def test_money_is_kept_for_the_cheapest_in_all_remaining_tasks() -> None:
    """And some more, because tasks may cost more than expected."""
    menus = [Menu(1.0, [(0.01, 0.5), (0.1, 0.7)])]
    budget = Budget(usd=1.2)
    moment = MIDNIGHT_MS + 12 * HOUR_MS
    outcomes = [(MIDNIGHT_MS + int(timedelta(minutes=7.2 * n).total_seconds() * 1000), 0.0) for n in range(100)]
    found = outlook(budget, spent_by(outcomes), moment)
    assert 1.0 < pace(menus, found).rest_usd < 1.35
