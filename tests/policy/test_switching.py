"""One conversation, one model: the current one stays until another is worth the change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.policy import (
    ABTest,
    Adaptive,
    CheapestWithin,
    Choice,
    DemoteByEvidence,
    Knowledge,
    NeverDemote,
    Policy,
    Posterior,
    Success,
    Value,
    assess,
    choose,
)
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective
from modelperf_plugin.policy.price_probes import may_probe
from modelperf_plugin.values import NANO_USD, Context, Tally

_CHANCES = {"good": 0.80, "fair": 0.78, "poor": 0.30}
_COSTS = {"good": 0.05, "fair": 0.02, "poor": 0.02}


def decide(
    cost: CostObjective, context: Context, number: float = 0.5, outcomes: int = 2_000, tries: int = 1, **known: Any
) -> Choice:
    """Choose among three models with so many outcomes each, and what else is ``known`` of them."""
    demotion = DemoteByEvidence() if known else NeverDemote()
    exploration = ABTest(incumbent="good", challenger="fair", share=0.5) if known.pop("in_test", False) else Adaptive()
    rules = Policy(
        ranking=Posterior(), demotion=demotion, exploration=exploration, cost=cost, attempts=tries, policy_id="p"
    )
    evidence, beliefs = {}, {}
    for name, chance in _CHANCES.items():
        won, nano = round(outcomes * chance), round(_COSTS[name] * NANO_USD)
        evidence[name] = Tally("t", name, won, outcomes - won, total_cost_nano_usd=nano * outcomes, priced=outcomes)
        beliefs[name] = Belief(won + 1.0, outcomes - won + 1.0, outcomes)
    return choose(assess(rules, "t", [*_CHANCES], Knowledge(evidence, beliefs, **known), context), context, number)


@pytest.mark.parametrize(
    ("cost", "current", "chosen"),
    [
        (Value(usd_per_success=0.1, switch_usd=0.01), "good", "fair"),  # gains $.028
        (Value(usd_per_success=0.1, switch_usd=0.05), "good", "good"),
        (Value(usd_per_success=0.1, switch_usd=0.01), "poor", "fair"),
        (CheapestWithin(margin=0.03, switch_usd=0.01), "good", "fair"),
        (CheapestWithin(margin=0.03, switch_usd=0.05), "good", "good"),
        (CheapestWithin(margin=0.03, switch_usd=0.05), "poor", "fair"),
        (Success(switch_usd=0.01), "fair", "fair"),  # .80 is not surely better than .78
        (Success(switch_usd=0.01), "poor", "good"),
    ],
)
def test_the_current_model_by_table(cost: CostObjective, current: str, chosen: str) -> None:
    """It stays unless another one is worth the price of the change, and nothing is explored."""
    choices = [decide(cost, Context(current_model=current), number) for number in (0.0, 0.5, 0.999)]
    assert {choice.order[0] for choice in choices} == {chosen}
    assert all(max(choice.probabilities) == 1.0 for choice in choices)
    assert ("goes on with the current model" in choices[0].reason) == (chosen == current)


@pytest.mark.parametrize("cost", [Success(), CheapestWithin(margin=0.03), Value(usd_per_success=0.1)], ids=str)
@pytest.mark.parametrize("current", ["good", "fair"])
def test_with_several_tries_the_current_model_stays_as_well(cost: Any, current: str) -> None:
    """A plan begins with it, if no other is worth a dollar."""
    choice = decide(cost.model_copy(update={"switch_usd": 1.0}), Context(current_model=current), tries=2)
    assert choice.order[0] == choice.plan[0].model_id == current
    assert max(choice.probabilities) == 1.0


def test_under_success_a_surely_better_model_replaces_the_current_one() -> None:
    """With enough outcomes, .80 is better than .78 with a probability of .95."""
    cost, context = Success(switch_usd=0.01), Context(current_model="fair")
    assert decide(cost, context, outcomes=2_000).order[0] == "fair"
    assert decide(cost, context, outcomes=20_000).order[0] == "good"


@given(
    number=st.floats(0, 1, exclude_max=True),
    cost=st.sampled_from([Success(), CheapestWithin(), Value(usd_per_success=0.1)]),
    current=st.sampled_from([*_CHANCES, "another"]),
    tries=st.integers(1, 3),
)
def test_without_a_price_nothing_changes(number: float, cost: Any, current: str, tries: int) -> None:
    """Without ``switch_usd``, or with a current model that is no candidate, decisions are the same."""
    context = Context(current_model=current)
    plain = decide(cost, Context(), number, tries=tries)
    assert decide(cost, context, number, tries=tries) == plain
    priced = cost.model_copy(update={"switch_usd": 1.0})
    assert decide(priced, replace(context, current_model="another"), number, tries=tries) == plain


_PRICED = [Success(switch_usd=1.0), CheapestWithin(switch_usd=1.0), Value(usd_per_success=0.1, switch_usd=1.0)]


@pytest.mark.parametrize("cost", _PRICED, ids=lambda cost: cost.objective)
@pytest.mark.parametrize(
    ("known", "context"),
    [
        ({"demotions": {"fair": "why"}}, Context()),
        ({"unavailable": {"fair": "why"}}, Context()),
        ({"in_test": True}, Context()),
        ({}, Context(pin="good")),
        ({}, Context(exclude=frozenset({"fair"}))),
    ],
    ids=["demoted", "unavailable", "in a test", "pinned", "excluded"],
)
def test_what_comes_before_the_current_model(cost: CostObjective, known: dict[str, Any], context: Context) -> None:
    """It does not stay if it may not be used, against a pin, or in an A/B test: there nothing costs more than usual."""
    for number in (0.0, 0.3, 0.7, 0.999):
        plain = decide(cost, context, number, **known)
        assert decide(cost, replace(context, current_model="fair"), number, **known) == plain


@pytest.mark.parametrize("cost", _PRICED, ids=lambda cost: cost.objective)
def test_in_a_conversation_no_price_is_probed(cost: CostObjective) -> None:
    """A probe would be a change, too, unless it costs nothing."""
    context, knowledge = Context(current_model="fair"), Knowledge({})
    rules = Policy(ranking=Posterior(), demotion=NeverDemote(), exploration=Adaptive(), cost=cost, policy_id="p")
    assert not may_probe(rules, knowledge, context)
    assert may_probe(rules, knowledge, Context())
    assert may_probe(replace(rules, cost=Success()), knowledge, context)


@pytest.mark.parametrize("cost", _PRICED, ids=lambda cost: cost.objective)
def test_a_change_costs_the_same_under_a_budget(cost: CostObjective) -> None:
    """Whatever a dollar must bring."""
    assert cost.at_price(5.0).switch_usd == 1.0


def test_the_key_is_read_in_both_spellings() -> None:
    """``currentModel`` is ``current_model``."""
    for key in ("current_model", "currentModel"):
        assert Context.from_mapping({key: "a"}) == Context(current_model="a")
        assert not Context.from_mapping({key: "a"}).plain
