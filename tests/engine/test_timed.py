"""Time as hosts mind it: a limit, a price, and faster first among equals; otherwise nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from modelperf_plugin import Decision, InvalidValueError, ModelPerf, Outcome
from modelperf_plugin.policy import Value
from modelperf_plugin.text import duration

MODELS = ["fast", "new", "slow"]


def filled(config: dict[str, Any], *, timed: bool = True, tie: bool = False) -> ModelPerf:
    """Return an engine that knows a fast model, a slow and better one, and not how good another one is."""
    perf = ModelPerf({"exploration": {"strategy": "never"}, **config}, store=":memory:", seed=1)
    random = Random(1)
    for number in range(100):
        for model_id, seconds, solved in (("fast", 5.0, 80), ("slow", 40.0, 80 if tie else 95)):
            duration = seconds * random.lognormvariate(0.0, 0.3) if timed else None
            success = number * 37 % 100 < solved
            perf.record("code", model_id, Outcome(success=success, duration_seconds=duration, cost_usd=0.01))
    return perf


def choice(perf: ModelPerf, context: dict[str, Any] | None = None) -> Decision:
    decision = perf.select("code", ["fast", "slow"], context)
    assert decision is not None
    assert sum(decision.probabilities) == pytest.approx(1.0)
    return decision


@pytest.fixture
def perf() -> Iterator[ModelPerf]:
    with filled({}) as engine:
        yield engine


@pytest.mark.parametrize(("seconds", "expected"), [(10, "fast"), (39, "fast"), (200, "slow")])
def test_a_limit_of_time_counts_the_chance_to_succeed_within_it(perf: ModelPerf, seconds: int, expected: str) -> None:
    """The score is that of both; the reason says how likely the model ends in time, and how long it takes."""
    assert choice(perf).model_id == "slow"
    decision = choice(perf, {"maxSeconds": seconds})
    assert decision.model_id == expected
    row = decision.ranking.of(expected)
    assert f"within {seconds} s (median" in decision.reason or seconds == 200
    assert row.score is not None
    within = float(row.reason.split(", ")[1].split(" %")[0]) / 100
    mean = float(row.reason.removeprefix("posterior mean ").split(" ")[0])
    assert row.score == pytest.approx(within * mean, abs=0.002)


def test_each_limit_has_a_ranking_of_its_own(perf: ModelPerf) -> None:
    """A choice that repeats a limit, or has none, is not ranked by the limit of another choice."""
    for seconds in (10, None, 200, 10, None, 200):
        decision = choice(perf, None if seconds is None else {"max_seconds": seconds})
        assert decision.model_id == ("fast" if seconds == 10 else "slow")
        assert [f" % within {duration(seconds)} (" in row.reason for row in decision.ranking] == [
            seconds is not None
        ] * 2


def test_a_model_whose_durations_are_unknown_is_not_left_out(perf: ModelPerf) -> None:
    """It counts as usual among the others; if none is known, the limit changes nothing."""
    decision = perf.select("code", MODELS, {"max_seconds": 10})
    assert decision is not None
    assert set(decision.order) == set(MODELS)
    assert "durations unknown" in decision.ranking.of("new").reason
    scores = [decision.ranking.of(name).score or 0.0 for name in MODELS]
    assert scores[0] > scores[1] > scores[2]
    with filled({}, timed=False) as other:
        limited, plain = choice(other, {"max_seconds": 10}), choice(other)
        assert (limited.order, limited.probabilities, limited.reason) == (
            plain.order, plain.probabilities, plain.reason,
        )  # fmt: skip


@pytest.mark.parametrize("strategy", ["posterior", "success_rate"])
def test_it_does_not_matter_how_models_are_ranked(strategy: str) -> None:
    """The chance to end in time multiplies any score."""
    with filled({"ranking": {"strategy": strategy}}) as perf:
        assert choice(perf).model_id == "slow"
        assert choice(perf, {"max_seconds": 15}).model_id == "fast"


def test_a_plan_has_no_more_tries_than_the_time_allows(perf: ModelPerf) -> None:
    """The limit is that of the whole task; what no time is left for is not planned, but stays in the order."""
    assert len(choice(perf, {"attempts": 2}).plan) == 2
    tight = choice(perf, {"attempts": 2, "max_seconds": 30})
    assert [each.model_id for each in tight.plan] == ["fast"]
    assert tight.order == ("fast", "slow")
    assert len(choice(perf, {"attempts": 2, "max_seconds": 100}).plan) == 2


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "10", True])
def test_a_limit_must_be_a_positive_number(perf: ModelPerf, seconds: object) -> None:
    """Anything else is refused with the name of the key."""
    with pytest.raises(InvalidValueError, match="max_seconds"):
        perf.select("code", MODELS, {"max_seconds": seconds})


@pytest.mark.parametrize(("price", "expected"), [(0.0, "slow"), (0.1, "slow"), (0.5, "fast")])
def test_minutes_have_a_price(price: float, expected: str) -> None:
    """A try costs its dollars and the expected minutes: 15 points of success are not worth 35 s at $0.5 a minute."""
    cost = {"objective": "value", "usd_per_success": 1.0, "usd_per_minute": price}
    with filled({"cost": cost}) as perf:
        decision = choice(perf)
        assert decision.model_id == expected
        assert (f"and ${price:g} a minute" in decision.reason) == bool(price)
        assert ("median" in decision.reason) == bool(price)
        assert decision.ranking.of(expected).expected_cost_usd == pytest.approx(0.01), "dollars that are spent"


def test_the_faster_of_equals_is_first() -> None:
    """Where score and cost are equal, it is ranked first and, without exploration, chosen.

    Without durations both may be.
    """
    with filled({}, tie=True) as perf:
        decision = choice(perf)
        assert decision.ranking.model_ids == ("fast", "slow")
        assert decision.probabilities == (1.0, 0.0)
        assert "median 4.9 s" in decision.reason or "median 5." in decision.reason
    with filled({}, timed=False, tie=True) as perf:
        assert choice(perf).probabilities == (0.5, 0.5)


@pytest.mark.parametrize("cost", [{"objective": "cheapest_within"}, {"objective": "value", "usd_per_success": 1.0}])
def test_the_faster_of_equals_is_first_where_costs_matter(cost: dict[str, Any]) -> None:
    """Chance and cost come first, and they are equal."""
    with filled({"cost": cost}, tie=True) as perf:
        decision = choice(perf)
        assert (decision.ranking.model_ids, decision.probabilities) == (("fast", "slow"), (1.0, 0.0))


def test_time_is_not_paid_from_a_budget() -> None:
    """However dear a budget makes dollars, a minute is worth as many successes as before."""
    cost = Value(usd_per_success=2.0, usd_per_minute=0.5)
    for price in (0.1, 1.0, 10.0):
        priced = cost.at_price(price)
        assert priced.usd_per_success < cost.usd_per_success
        assert priced.usd_per_minute / priced.usd_per_success == pytest.approx(0.25)


def test_a_model_that_has_become_slower_is_noticed(perf: ModelPerf) -> None:
    """Durations are read again when there are more of them."""
    assert choice(perf, {"max_seconds": 15}).model_id == "fast"
    for _ in range(200):
        perf.record("code", "fast", Outcome(success=True, duration_seconds=300.0, cost_usd=0.01))
        perf.record("code", "slow", Outcome(success=True, duration_seconds=5.0, cost_usd=0.01))
    assert choice(perf, {"max_seconds": 15}).model_id == "slow"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"retries": {"attempts": 2}},
        {"cost": {"objective": "cheapest_within"}},
        {"cost": {"objective": "value", "usd_per_success": 1.0}},
        {"exploration": {"strategy": "epsilon_greedy"}},
    ],
)
def test_durations_change_nothing_unless_asked(config: dict[str, Any]) -> None:
    """Without a limit and a price, seeded decisions are the same with durations and without."""
    decisions = []
    for timed in (True, False):
        random = Random(2)
        with ModelPerf(config, store=":memory:", seed=3) as perf:
            made = []
            for number in range(150):
                decision = perf.select(f"task {number % 2}", ["a", "b", "c"])
                assert decision is not None
                chance = {"a": 0.8, "b": 0.6, "c": 0.7}[decision.model_id]
                cost = {"a": 0.05, "b": 0.01, "c": 0.02}[decision.model_id]
                outcome = Outcome(
                    success=random.random() < chance, cost_usd=cost * random.uniform(0.5, 1.5),
                    duration_seconds=3.0 + number % 7 if timed else None, score=random.random() * chance,
                )  # fmt: skip
                perf.record(decision.task_type, decision.model_id, outcome, decision)
                made.append((decision.order, decision.probabilities))
        decisions.append(made)
    assert decisions[0] == decisions[1]


def test_all_names_of_a_model_count_together() -> None:
    """Durations that were reported under an alias are those of the model."""
    with ModelPerf({"models": {"fast": {"aliases": ["quick"]}}}, store=":memory:") as perf:
        for name, seconds in (("fast", 4.0), ("quick", 4.0), ("quick", 4.0)):
            perf.record("code", name, Outcome(success=True, duration_seconds=seconds))
        ((pair, durations),) = perf.store.tallies.durations(("code", "code"), 0, 0.0).items()
        assert (pair, durations.weight) == (("code", "fast"), 3.0)
