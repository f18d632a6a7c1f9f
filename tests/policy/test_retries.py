"""Plans: the best order of tries, against every order there is; exact propensities; no lock-in."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from math import log, sqrt
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy import (
    Adaptive,
    CheapestWithin,
    Knowledge,
    NeverDemote,
    NeverExplore,
    Policy,
    Posterior,
    Success,
    Value,
    assess,
    choose,
)
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost import CostObjective, ExpectedCost
from modelperf_plugin.policy.difficulty import Difficulty
from modelperf_plugin.policy.drawing import Basis, Memory, draw
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.retries import Setting, best_plan, by_rank, evaluate, strongest
from modelperf_plugin.values import NANO_USD, NO_CONTEXT, Context, Tally
from modelperf_plugin.values.recent import Recent

OBJECTIVES: list[CostObjective] = [CheapestWithin(margin=0.02), Value(usd_per_success=5.0), Value(usd_per_success=0.5)]
models = st.lists(st.tuples(st.floats(-4, 4), st.floats(0.0001, 2.0)), min_size=1, max_size=5)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@settings(max_examples=25)
@given(arms=models, attempts=st.integers(1, 3), spread=st.floats(0, 6), tried=st.lists(st.floats(-2, 3), max_size=2))
def test_the_plan_is_as_good_as_the_best_of_all_orders(
    objective: CostObjective, arms: list[tuple[float, float]], attempts: int, spread: float, tried: list[float]
) -> None:
    """Few candidates: no order of any length has a higher utility."""
    logits, costs = [each[0] for each in arms], [each[1] for each in arms]
    setting = Setting.of(Difficulty.of(spread), attempts, tried)
    positions = range(len(arms))
    utility = objective.utility(evaluate(setting, logits, costs, strongest(setting, logits, positions)).solved)
    found = evaluate(setting, logits, costs, best_plan(setting, logits, costs, positions, objective.utility))
    orders = (order for count in range(1, attempts + 1) for order in permutations(positions, count))
    results = [evaluate(setting, logits, costs, order) for order in orders]
    most = max(utility(each.solved, each.cost) for each in results)
    assert utility(found.solved, found.cost) == pytest.approx(most, abs=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_search_among_many_is_near_the_best(objective: CostObjective) -> None:
    """More sets than are continued: within 2 % of the utility of the best of all orders."""
    random = Random(1)
    for _ in range(3):
        logits = [random.gauss(0, 1.2) for _ in range(8)]
        costs = [random.lognormvariate(-2 + 0.4 * each, 1.2) for each in logits]
        setting = Setting.of(Difficulty.of(3.5), 4)
        utility = objective.utility(evaluate(setting, logits, costs, strongest(setting, logits, range(8))).solved)
        found = evaluate(setting, logits, costs, best_plan(setting, logits, costs, range(8), objective.utility))
        orders = (order for count in range(1, 5) for order in permutations(range(8), count))
        results = (evaluate(setting, logits, costs, order) for order in orders)
        most = max(utility(each.solved, each.cost) for each in results)
        assert utility(found.solved, found.cost) >= most - 0.02 * abs(most)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@settings(max_examples=25)
@given(arms=models, moves=st.lists(st.floats(-1, 1), min_size=5, max_size=5), attempts=st.integers(2, 3))
def test_plans_drawn_earlier_do_not_change_what_is_drawn(
    objective: CostObjective, arms: list[tuple[float, float]], moves: list[float], attempts: int
) -> None:
    """They only make it faster: each plan is the one that is found without them."""
    count = len(arms)
    logits, costs = tuple(each[0] for each in arms), tuple(each[1] for each in arms)
    setting, deviations = Setting.of(Difficulty.of(3.0), attempts), (0.5,) * count
    basis = Basis(objective, setting, count, logits, deviations, costs, (True,) * count, 1.0, 2.0, (0.5,) * count)
    moved = tuple(logit + move for logit, move in zip(logits, moves, strict=False))
    assert draw(basis, draw(basis._replace(logits=moved))) == draw(basis)


def test_the_budget_is_that_of_the_whole_task() -> None:
    """No plan is expected to cost more, by rank or by objective."""
    logits, costs = [1.0, 0.8, 0.5, 0.0], [0.5, 0.4, 0.05, 0.01]
    setting = Setting.of(Difficulty.of(3.0), 3, (), 0.52)
    ranked = by_rank(setting, logits, costs, range(4))
    assert ranked[0] == 0
    assert evaluate(setting, logits, costs, ranked).cost <= 0.52
    planned = best_plan(setting, logits, costs, range(4), Value(usd_per_success=100.0).utility)
    assert evaluate(setting, logits, costs, planned).cost <= 0.52


def test_an_order_beyond_the_budget_does_not_narrow_the_search() -> None:
    """What was a good plan for other log-odds may be beyond the budget; the plan is the same as without it."""
    logits, costs = [1.0, 0.8, 0.5, 0.0], [0.5, 0.4, 0.05, 0.01]
    setting = Setting.of(Difficulty.of(3.0), 3, (), 0.2)
    utility = Value(usd_per_success=100.0).utility
    beyond = (0, 1, 2)
    planned = best_plan(setting, logits, costs, range(4), utility)
    assert evaluate(setting, logits, costs, beyond).cost > 0.2
    assert evaluate(setting, logits, costs, planned).cost <= 0.2
    assert best_plan(setting, logits, costs, range(4), utility, (), beyond) == planned


# Decisions.


def tally(model_id: str, successes: int, failures: int, cost_usd: float) -> Tally:
    """Return a tally of which every outcome had the same cost."""
    samples = successes + failures
    return Tally(
        "t", model_id, successes, failures, total_cost_nano_usd=round(cost_usd * NANO_USD) * samples, priced=samples
    )


EVIDENCE = {
    "dear": tally("dear", 32, 10, 1.0),
    "fair": tally("fair", 24, 10, 0.2),
    "cheap": tally("cheap", 10, 8, 0.02),
    "poor": tally("poor", 4, 14, 0.01),
}
KNOWN = Knowledge(
    EVIDENCE, {name: Belief(each.successes + 1.0, each.failures + 1.0) for name, each in EVIDENCE.items()}
)


def policy(cost: CostObjective, exploration: ExplorationStrategy, attempts: int) -> Policy:
    """Return a posterior policy without demotion."""
    return Policy(
        ranking=Posterior(),
        demotion=NeverDemote(),
        cost=cost,
        exploration=exploration,
        attempts=attempts,
        policy_id="p",
    )


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_propensity_is_that_of_the_first_try(objective: CostObjective, attempts: int) -> None:
    """Over a fine grid of numbers each model begins as often as its propensity says, and each plan begins with it."""
    assessment = assess(policy(objective, Adaptive(floor=0.1), attempts), "t", [*EVIDENCE], KNOWN, NO_CONTEXT)
    counts: dict[str, float] = defaultdict(float)
    for number in range(2000):
        choice = choose(assessment, NO_CONTEXT, (number + 0.5) / 2000)
        counts[choice.order[0]] += 1 / 2000
        assert choice.plan[0].model_id == choice.order[0]
        assert [each.model_id for each in choice.plan] == list(choice.order[: len(choice.plan)])
        assert len(choice.plan) <= attempts
    for model_id, probability in zip(assessment.ranking.model_ids, choice.probabilities, strict=True):
        assert counts[model_id] == pytest.approx(probability, abs=2e-3)


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@settings(max_examples=25)
@given(counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_without_known_costs_one_degree_of_optimism_is_drawn_for_all(
    objective: CostObjective, attempts: int, counts: list[tuple[int, int]]
) -> None:
    """The share of a model is that of the 24 points of 1.2·|N(0, 1)| at which its index is the highest."""
    evidence = {f"m{row}": Tally("t", f"m{row}", *each) for row, each in enumerate(counts)}
    beliefs = {name: Belief(each.successes + 1.0, each.failures + 1.0) for name, each in evidence.items()}
    rules = policy(objective, Adaptive(floor=0.0), attempts)
    assessment = assess(rules, "t", [*evidence], Knowledge(evidence, beliefs), NO_CONTEXT)
    expected = dict.fromkeys(evidence, 0.0)
    for number in range(24):
        point = 1.2 * NormalDist().inv_cdf(0.5 + 0.5 * (number + 0.5) / 24)
        index = {name: log(a / b) + point * sqrt(1.0 / a + 1.0 / b) for name, (a, b, *_) in beliefs.items()}
        highest = [name for name in index if index[name] == max(index.values())]
        for name in highest:
            expected[name] += 1.0 / 24 / len(highest)
    found = choose(assessment, NO_CONTEXT, 0.5).probabilities
    assert dict(zip(assessment.ranking.model_ids, found, strict=True)) == pytest.approx(expected)


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_models_of_which_the_same_is_known_share_evenly(objective: CostObjective, attempts: int) -> None:
    """Equal beliefs and equal costs make equal propensities, whatever the name and the place."""
    names = ["one", "two", "three", "four"]
    evidence = {**EVIDENCE, **{name: tally(name, 7, 3, 0.05) for name in names}}
    beliefs = {name: Belief(each.successes + 1.0, each.failures + 1.0) for name, each in evidence.items()}
    assessment = assess(
        policy(objective, Adaptive(), attempts), "t", [*evidence], Knowledge(evidence, beliefs), NO_CONTEXT
    )
    choice = choose(assessment, NO_CONTEXT, 0.5)
    shares = dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))
    assert sum(choice.probabilities) == pytest.approx(1.0)
    assert [shares[name] for name in names] == pytest.approx([shares["one"]] * 4)


def shares_of(knowledge: Knowledge) -> dict[str, float]:
    """Return the propensities of a policy that plans three tries."""
    rules = policy(CheapestWithin(margin=0.02), Adaptive(floor=0.0), 3)
    assessment = assess(rules, "t", [*EVIDENCE], knowledge, NO_CONTEXT)
    choice = choose(assessment, NO_CONTEXT, 0.5)
    return dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))


@settings(max_examples=25)
@given(moves=st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4))
def test_plans_are_drawn_again_once_a_belief_has_moved(moves: list[float]) -> None:
    """Up to .4 deviations of every model the plans stay, in whatever order the models rank; after that they are new.

    The same holds for the best plan, which leads the ranking under an objective that does not end lists.
    """
    memory: Memory = Recent(100)
    before = shares_of(KNOWN._replace(plans=memory))
    assert before == shares_of(KNOWN)
    beliefs = {}
    for (name, (alpha, beta, *_)), move in zip((KNOWN.beliefs or {}).items(), moves, strict=True):
        total = alpha + beta
        chance = expit(log(alpha / beta) + move * sqrt(1.0 / alpha + 1.0 / beta))
        beliefs[name] = Belief(total * chance, total * (1.0 - chance))
    moved = KNOWN._replace(beliefs=beliefs)
    after = shares_of(moved._replace(plans=memory))
    assert sum(after.values()) == pytest.approx(1.0)
    if max(map(abs, moves)) > 0.41:
        assert after == shares_of(moved)
        assert [*after] == [*shares_of(moved)]
    elif max(map(abs, moves)) < 0.39:
        assert after == pytest.approx(before, abs=0.02)  # the part with the benefit of the doubt is always as of now
        assert next(iter(after)) == next(iter(before))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_plan_states_the_chances_of_now(objective: CostObjective) -> None:
    """Also if its order was worked out for an earlier belief: what a first try solves is what the ranking says."""
    memory: Memory = Recent(100)
    rules = policy(objective, Adaptive(floor=0.0), 3)
    choose(assess(rules, "t", [*EVIDENCE], KNOWN._replace(plans=memory), NO_CONTEXT), NO_CONTEXT, 0.5)
    beliefs = {name: Belief(alpha + 0.5, beta) for name, (alpha, beta, *_) in (KNOWN.beliefs or {}).items()}
    later = KNOWN._replace(plans=memory, beliefs=beliefs)
    choice = choose(assess(rules, "t", [*EVIDENCE], later, NO_CONTEXT), NO_CONTEXT, 0.5)
    assert choice.plan[0].chance_solved == pytest.approx(beliefs[choice.order[0]].mean, abs=0.01)


def test_success_orders_by_rank_as_with_one_try() -> None:
    """Several tries change neither propensities nor order under ``success``; the plan says what they get."""
    one = assess(policy(Success(), Adaptive(), 1), "t", [*EVIDENCE], KNOWN, NO_CONTEXT)
    three = assess(policy(Success(), Adaptive(), 3), "t", [*EVIDENCE], KNOWN, NO_CONTEXT)
    for number in range(50):
        first, second = (choose(each, NO_CONTEXT, number / 50) for each in (one, three))
        assert (first.order, first.probabilities, first.explored) == (
            second.order,
            second.probabilities,
            second.explored,
        )
        assert not first.plan
        assert [each.model_id for each in second.plan] == list(first.order[:3])
        assert second.plan[0].chance_reached == 1.0


def test_the_list_ends_where_a_further_try_is_not_worth_its_price() -> None:
    """At a low value the expensive model is left out, with the reason; with one try it stays as a fallback."""
    rules = policy(Value(usd_per_success=0.1), NeverExplore(), 3)
    choice = choose(assess(rules, "t", [*EVIDENCE], KNOWN, NO_CONTEXT), NO_CONTEXT, 0.5)
    assert "dear" not in choice.order
    assert {each.model_id for each in choice.left_out} == set(EVIDENCE) - set(choice.order)
    assert all(each.reason.startswith("not worth a further try: solves ") for each in choice.left_out)
    one = choose(
        assess(policy(Value(usd_per_success=0.1), NeverExplore(), 1), "t", [*EVIDENCE], KNOWN, NO_CONTEXT),
        NO_CONTEXT,
        0.5,
    )
    assert set(one.order) == set(EVIDENCE)


def test_a_substitute_is_worth_its_price_under_value() -> None:
    """After a plan with all tries others follow, for outages; not those whose price no further try would be worth."""
    for usd, follows in ((0.8, False), (100.0, True)):
        rules = policy(Value(usd_per_success=usd), NeverExplore(), 2)
        choice = choose(assess(rules, "t", [*EVIDENCE], KNOWN, NO_CONTEXT), NO_CONTEXT, 0.5)
        assert len(choice.plan) == 2
        if follows:
            assert set(choice.order) == set(EVIDENCE)
        else:
            assert "dear" in {each.model_id for each in choice.left_out}


def test_a_plan_with_every_available_model_does_not_end_the_list() -> None:
    """Unavailable models follow as a last resort if there are fewer others than tries."""
    known = KNOWN._replace(unavailable={"dear": "down", "fair": "down", "poor": "down"})
    for objective in (Success(), CheapestWithin(margin=0.02)):
        rules = policy(objective, NeverExplore(), 3)
        choice = choose(assess(rules, "t", [*EVIDENCE], known, NO_CONTEXT), NO_CONTEXT, 0.5)
        assert [each.model_id for each in choice.plan] == ["cheap"]
        assert (set(choice.order), choice.left_out) == (set(EVIDENCE), ())


def test_a_drawn_plan_that_is_short_ends_the_list() -> None:
    """What could have been planned and was not is left out, though by present knowledge it would solve more."""
    assessment = assess(policy(CheapestWithin(margin=0.15), Adaptive(), 3), "t", [*EVIDENCE], KNOWN, NO_CONTEXT)
    ended = 0
    for number in range(500):
        choice = choose(assessment, NO_CONTEXT, (number + 0.5) / 500)
        if len(choice.plan) < 3:
            ended += 1
            assert choice.order == tuple(each.model_id for each in choice.plan)
    assert ended >= 300


@pytest.mark.parametrize("objective", [CheapestWithin(margin=0.02), Value(usd_per_success=5.0)], ids=str)
def test_a_list_that_ends_keeps_what_is_only_unavailable(objective: CostObjective) -> None:
    """A plan without the good models, because these are unavailable, leaves out what it does not need, but not them."""
    evidence = {**EVIDENCE, "useless": tally("useless", 0, 60, 0.5)}
    beliefs = {name: Belief(each.successes + 1.0, each.failures + 1.0) for name, each in evidence.items()}
    known = Knowledge(evidence, beliefs, unavailable={"dear": "down", "fair": "down"})
    assessment = assess(policy(objective, NeverExplore(), 3), "t", [*evidence], known, NO_CONTEXT)
    choice = choose(assessment, NO_CONTEXT, 0.5)
    planned = [each.model_id for each in choice.plan]
    assert len(planned) < 3
    assert choice.order[: len(planned)] == tuple(planned)
    assert set(choice.order[len(planned) :]) == {"dear", "fair"}
    assert "useless" in {each.model_id for each in choice.left_out}
    context, known = Context(pin="dear", max_cost_usd=0.5), known._replace(unavailable={"fair": "down"})
    pinned = choose(assess(assessment.policy, "t", [*evidence], known, context), context, 0.5)
    assert pinned.order == ("dear",)


@pytest.mark.parametrize("objective", [Success(), *OBJECTIVES], ids=str)
def test_what_the_budget_of_the_task_leaves_out_is_said(objective: CostObjective) -> None:
    """A pinned model that uses up the budget ends the list, because of the money, not of the chances."""
    context = Context(pin="dear", max_cost_usd=0.2)
    choice = choose(assess(policy(objective, NeverExplore(), 3), "t", [*EVIDENCE], KNOWN, context), context, 0.5)
    assert choice.order == ("dear",)
    assert choice.left_out
    for each in choice.left_out:
        assert each.reason.startswith("with a try of it the task costs $")
        assert each.reason.endswith(" on average, more than max_cost_usd = 0.2")


def test_a_draw_explores_later_tries_but_never_ends_the_list() -> None:
    """A model too expensive to begin with is learned about by later tries; no plan is shorter than it is worth."""
    evidence = {
        "cheap": tally("cheap", 20, 40, 0.04),
        "poor": tally("poor", 6, 54, 0.1),
        "unlucky": tally("unlucky", 0, 1, 2.0),
    }
    beliefs = {name: Belief(each.successes + 1.0, each.failures + 2.0) for name, each in evidence.items()}
    rules = policy(Value(usd_per_success=5.0), Adaptive(floor=0.0), 3)
    assessment = assess(rules, "t", [*evidence], Knowledge(evidence, beliefs), NO_CONTEXT)
    planner = assessment.planner
    assert planner is not None
    positions = {arm.model_id: position for position, arm in enumerate(planner.arms)}
    later = 0
    for number in range(500):
        plan = tuple(positions[each.model_id] for each in choose(assessment, NO_CONTEXT, (number + 0.5) / 500).plan)
        assert planner.best(plan) == plan
        later += positions["unlucky"] in plan[1:]
    assert positions["unlucky"] not in planner.best()
    assert later >= 10


def test_one_expensive_task_leaves_the_cost_open() -> None:
    """At the drawn points the mean of few costs is far lower and far higher, that of many hardly; a set cost stays."""
    basis = Basis(
        Value(usd_per_success=5.0), Setting.of(Difficulty.of(3.0), 3), 3, (0.0,) * 3, (0.5,) * 3, (1.0,) * 3,
        (True,) * 3, 1.0, 2.0, tuple(ExpectedCost(1.0, "own", outcomes).deviation for outcomes in (1, 100, 0)),
    )  # fmt: skip
    better, worse = basis.drawn_costs((2.0,) * 3), basis.drawn_costs((-2.0,) * 3)
    assert better[0] < 0.2
    assert worse[0] > 5.0
    assert 0.75 < better[1] < 1.0 < worse[1] < 1.3
    assert better[2] == worse[2] == 1.0
    assert basis.is_near(basis)
    assert not basis.is_near(basis._replace(cost_deviations=(0.1,) * 3))


def test_a_plan_says_in_words_why() -> None:
    """The reason names the rule, the tries, what they solve and what they cost."""
    rules = policy(CheapestWithin(margin=0.02), NeverExplore(), 3)
    choice = choose(assess(rules, "t", [*EVIDENCE], KNOWN, NO_CONTEXT), NO_CONTEXT, 0.5)
    names = ", ".join(each.model_id for each in choice.plan)
    head = f"the cheapest order of {len(choice.plan)} tries within 0.02 of the best: {names} (0."
    assert choice.reason.startswith(head)
    assert rules.cost.explain_plan(1) == "the cheapest order of 1 try within 0.02 of the best"


def test_a_pin_begins_the_plan() -> None:
    """The pinned model is tried first, and the rest is planned for what it leaves."""
    rules = policy(CheapestWithin(margin=0.02), Adaptive(), 3)
    context = Context(pin="poor")
    choice = choose(assess(rules, "t", [*EVIDENCE], KNOWN, context), context, 0.5)
    assert choice.order[0] == choice.plan[0].model_id == "poor"
    assert len(choice.plan) > 1


def test_the_host_says_how_many_tries_it_makes_of_a_task() -> None:
    """For this task its number takes the place of the policy's, more or fewer; there are no more tries than models."""
    rules = policy(Success(), NeverExplore(), 3)
    for attempts, planned in ((None, 3), (1, 0), (2, 2), (10, 4)):
        context = Context(attempts=attempts)
        choice = choose(assess(rules, "t", [*EVIDENCE], KNOWN, context), context, 0.5)
        assert len(choice.plan) == planned
        assert set(choice.order) == set(EVIDENCE)


@pytest.mark.parametrize(("tried", "left"), [((), 3), (("dear",), 2), (("dear", "fair"), 1), (("x", "y", "z", "z"), 1)])
def test_failures_use_up_tries(tried: tuple[str, ...], left: int) -> None:
    """Of three tries those are planned that are left; one is, whatever has failed, if the host asks."""
    assessment = assess(policy(Success(), NeverExplore(), 3), "t", [*EVIDENCE], KNOWN._replace(tried=tried), NO_CONTEXT)
    assert len(choose(assessment, NO_CONTEXT, 0.5).plan) == left


def test_failed_models_count_as_tries_of_the_task() -> None:
    """After one failure of three tries two are left, and they are less likely to solve the task than first tries."""
    known = KNOWN._replace(tried=("dear",))
    rules = policy(CheapestWithin(margin=0.02), NeverExplore(), 3)
    choice = choose(assess(rules, "t", [*EVIDENCE], known, NO_CONTEXT), NO_CONTEXT, 0.5)
    assert len(choice.plan) <= 2
    assert "dear" not in choice.order
    step = choice.plan[0]
    tallied = EVIDENCE[step.model_id]
    assert step.chance_solved < tallied.successes / tallied.samples - 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "attempts"),
    [
        (CheapestWithin(margin=0.03), 1),
        (CheapestWithin(margin=0.03), 3),
        (Value(usd_per_success=1.0), 3),
        pytest.param(
            Value(usd_per_success=1.0),
            1,
            marks=pytest.mark.xfail(strict=True, reason="2,000 tasks do not tell a difference of .014, its tolerance"),
        ),
    ],
    ids=str,
)
def test_the_expensive_one_of_two_equals_does_not_stay(objective: CostObjective, attempts: int) -> None:
    """After 2,000 tasks, in none of 5 runs more than a tenth of the choices go to it."""
    rates, usd = {"a": 0.78, "b": 0.78, "c": 0.45}, {"a": 0.015, "b": 0.0009, "c": 0.00003}
    rules = policy(objective, Adaptive(), attempts)
    for seed in range(5):
        random = Random(seed)
        evidence = {name: Tally("t", name) for name in rates}
        late = 0
        for number in range(2_300):
            beliefs = {name: Belief(1.0 + each.successes, 1.0 + each.failures) for name, each in evidence.items()}
            assessment = assess(rules, "t", [*rates], Knowledge(evidence, beliefs), NO_CONTEXT)
            chosen = choose(assessment, NO_CONTEXT, random.random()).order[0]
            success, before = random.random() < rates[chosen], evidence[chosen]
            evidence[chosen] = tally(chosen, before.successes + success, before.failures + (not success), usd[chosen])
            late += number >= 2_000 and chosen == "a"
        assert late <= 30, seed
