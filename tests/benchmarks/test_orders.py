"""Orders of tries: what they solve and cost, and what an objective prefers."""

from __future__ import annotations

from itertools import product

import pytest

from tests.benchmarks._orders import Try, Walked, by_success, orders, predicted, walk, within, worth

INSTANCES = [
    {"cheap": Try(first, 1.0), "strong": Try(second, 10.0)}
    for first, second in [(True, True), (False, True), (False, True), (False, False)]
]


def test_every_order_of_at_most_three_of_five() -> None:
    assert len(orders("abcde", 3)) == len(set(orders("abcde", 3))) == 85


def test_a_walk_ends_at_the_first_success_and_pays_for_each_try() -> None:
    assert walk(["cheap", "strong"], INSTANCES) == Walked(0.75, (1 + 11 + 11 + 11) / 4)
    assert walk(["strong", "cheap"], INSTANCES) == Walked(0.75, (10 + 10 + 10 + 11) / 4)
    assert by_success(["cheap", "strong"], INSTANCES) == ["strong", "cheap"]


def test_what_objectives_prefer() -> None:
    few, most, dear = Walked(0.5, 1.0), Walked(0.75, 2.0), Walked(0.76, 9.0)
    assert within(0.02)([few, most, dear]) == most
    assert within(0.0)([few, most, dear]) == dear
    assert worth(2.0)([few, most, dear]) == few
    assert worth(1000.0)([few, most, dear]) == dear


def test_without_a_spread_failures_are_independent() -> None:
    rates, usd = {"a": 0.6, "b": 0.5}, {"a": 1.0, "b": 2.0}
    assert predicted("ab", rates, usd, 0.0) == pytest.approx((0.8, 1.0 + 0.4 * 2.0))


@pytest.mark.parametrize(("order", "spread"), list(product(["a", "ab", "ba"], [1.0, 3.0])))
def test_the_harder_tasks_differ_the_less_a_second_try_solves(order: str, spread: float) -> None:
    rates, usd = {"a": 0.6, "b": 0.5}, {"a": 1.0, "b": 2.0}
    found = predicted(order, rates, usd, spread)
    assert max(rates[each] for each in order) - 1e-6 <= found.solved <= predicted(order, rates, usd, 0.0).solved + 1e-6
