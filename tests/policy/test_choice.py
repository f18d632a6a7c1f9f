"""From evidence to a choice: tables for each step, and the promises that hold for any input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import fsum, sqrt
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import (
    ABTest,
    Adaptive,
    CheapestWithin,
    Choice,
    DemoteByEvidence,
    DemoteBySuccessRate,
    EpsilonGreedy,
    Knowledge,
    NeverDemote,
    NeverExplore,
    Policy,
    Posterior,
    Success,
    SuccessRate,
    Value,
    assess,
    choose,
    pick,
    ranking_of,
)
from modelperf_plugin.policy.cost import CostObjective
from modelperf_plugin.policy.cost.base import ExpectedCost
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.policy.exploration import ExplorationStrategy
from modelperf_plugin.policy.ranking import RankingStrategy
from modelperf_plugin.values import NANO_USD, NO_CONTEXT, Context, Exclusion, Tally
from tests.policy.draws import chances_of

NAMES = "abcdefgh"
LARGEST = 1 - 2**-53
"""The largest number below 1 that random.random() can return."""


def policy(
    exploration: ExplorationStrategy | None = None,
    *,
    ranking: RankingStrategy | None = None,
    demotion: DemotionStrategy | None = None,
) -> Policy:
    """Return a policy: by default the migration guide's ranking and demotion, without exploration."""
    return Policy(
        ranking=ranking or SuccessRate(),
        demotion=demotion or DemoteBySuccessRate(),
        exploration=exploration or NeverExplore(),
        policy_id="p",
    )


def records(cost_usd: float = 0.0, **pairs: tuple[int, int]) -> dict[str, Tally]:
    """Return evidence: successes and failures for each model, every outcome at the same cost."""
    nano = round(cost_usd * NANO_USD)
    return {
        name: Tally("t", name, won, lost, total_cost_nano_usd=nano * (won + lost), priced=(won + lost) * (cost_usd > 0))
        for name, (won, lost) in pairs.items()
    }


def decide(
    rules: Policy,
    candidates: Sequence[str],
    evidence: Mapping[str, Tally],
    context: Context = NO_CONTEXT,
    number: float = 0.0,
) -> Choice:
    """Assess and choose in one go."""
    return choose(assess(rules, "t", candidates, Knowledge(evidence), context), context, number)


EVIDENCE = records(good=(9, 1), fair=(7, 3), bad=(1, 9), new=(1, 0))
MODELS = ["bad", "new", "fair", "good"]


def test_the_whole_way_by_table() -> None:
    """Proven models rank by rate, then unproven ones, then demoted ones; each row has its reason."""
    assessment = assess(policy(), "t", [*MODELS, "unknown"], Knowledge(EVIDENCE), NO_CONTEXT)
    assert [(row.model_id, row.score, row.status, row.reason) for row in assessment.ranking] == [
        ("good", 0.9, "ranked", "success rate 0.900 (9 of 10)"),
        ("fair", 0.7, "ranked", "success rate 0.700 (7 of 10)"),
        ("new", 1.0, "unproven", "unproven: 1 of 3 outcomes"),
        ("unknown", None, "unproven", "unproven: 0 of 3 outcomes"),
        ("bad", 0.1, "demoted", "success rate 0.100 (1 of 10) is below the threshold 0.5"),
    ]
    assert assessment.ranking.strategy == "success_rate"
    assert (assessment.task_type, assessment.available, assessment.tied) == ("t", 4, 1)
    assert (assessment.excluded, assessment.pin) == ((), None)
    assert [row.tally for row in assessment.ranking][:3] == [EVIDENCE[name] for name in ("good", "fair", "new")]


@pytest.mark.parametrize(
    ("exploration", "number", "expected"),
    [
        (
            NeverExplore(),
            LARGEST,
            Choice(
                ("good", "fair", "new", "bad"),
                (1.0, 0.0, 0.0, 0.0),
                "ranked first of 3; success rate 0.900 (9 of 10)",
                explored=False,
            ),
        ),
        (
            EpsilonGreedy(epsilon=0.75),
            0.4999,
            Choice(
                ("good", "fair", "new", "bad"),
                (0.5, 0.25, 0.25, 0.0),
                "ranked first of 3; success rate 0.900 (9 of 10)",
                explored=False,
            ),
        ),
        (
            EpsilonGreedy(epsilon=0.75),
            0.5,
            Choice(
                ("fair", "good", "new", "bad"),
                (0.5, 0.25, 0.25, 0.0),
                "explored by epsilon_greedy, rank 2 of 3; success rate 0.700 (7 of 10)",
                explored=True,
            ),
        ),
        (
            EpsilonGreedy(epsilon=0.75),
            LARGEST,
            Choice(
                ("new", "good", "fair", "bad"),
                (0.5, 0.25, 0.25, 0.0),
                "explored by epsilon_greedy, rank 3 of 3; unproven: 1 of 3 outcomes",
                explored=True,
            ),
        ),
        (
            ABTest(share=0.25),
            0.75,
            Choice(
                ("new", "good", "fair", "bad"),
                (0.75, 0.0, 0.25, 0.0),
                "challenger of an A/B test, share 0.25; unproven: 1 of 3 outcomes",
                explored=True,
            ),
        ),
    ],
)
def test_choices_by_table(exploration: ExplorationStrategy, number: float, expected: Choice) -> None:
    """The chosen first, the others in the order of the ranking, exact propensities, and the reason in words."""
    assert decide(policy(exploration), MODELS, EVIDENCE, number=number)._replace(basis=None) == expected


def test_ties_are_broken_at_random_and_are_no_exploration() -> None:
    """Candidates of equal score share the first place evenly, and the reason says that it was drawn."""
    evidence = records(a=(3, 2), b=(6, 4), c=(5, 5), d=(3, 2))
    assessment = assess(policy(), "t", "dcba", Knowledge(evidence), NO_CONTEXT)
    choice = choose(assessment, NO_CONTEXT, 0.5)
    assert choice.probabilities == (1 / 3, 1 / 3, 1 / 3, 0.0)
    assert (choice.order, choice.explored, assessment.tied) == (("a", "b", "d", "c"), False, 3)
    assert choice.reason == "drawn from 3 candidates tied at the top; success rate 0.600 (3 of 5)"


def test_ties_are_listed_by_more_outcomes_and_then_by_name() -> None:
    """Where scores are equal the ranking is still always the same: the better known first."""
    evidence = records(a=(3, 2), b=(6, 4), c=(3, 2), d=(9, 6))
    ranking = assess(policy(), "t", "abcd", Knowledge(evidence), NO_CONTEXT).ranking
    assert [row.model_id for row in ranking] == ["d", "b", "a", "c"]


def test_a_demoted_model_is_never_tied_with_one_that_is_not() -> None:
    """Equal in score, as all unproven models are, but out of the running: it has no part in the first place."""
    evidence = records(bad=(0, 4), new=(1, 1))
    rules = policy(ranking=SuccessRate(min_samples=10))
    assessment = assess(rules, "t", ["bad", "new"], Knowledge(evidence), NO_CONTEXT)
    assert (assessment.available, assessment.tied) == (1, 1)
    assert choose(assessment, NO_CONTEXT, LARGEST).probabilities == (1.0, 0.0)


def test_nothing_known_is_one_big_tie() -> None:
    """With an empty store every candidate has the same chance, under either ranking."""
    for ranking in (Posterior(), SuccessRate()):
        choice = decide(policy(ranking=ranking), ["a", "b", "c", "d"], {})
        assert choice.probabilities == (0.25,) * 4


def test_a_single_candidate_is_said_to_be_the_only_one() -> None:
    """No ranking decided anything, so the reason does not claim it did."""
    choice = decide(policy(), ["good"], EVIDENCE)._replace(basis=None)
    assert choice == Choice(("good",), (1.0,), "the only candidate left; success rate 0.900 (9 of 10)", explored=False)


def test_excluded_models_are_named_with_a_reason() -> None:
    """What the host excludes and what is over the budget is out of the ranking and listed with why."""
    evidence = records(0.5, a=(9, 1)) | records(0.125, b=(8, 2)) | records(c=(7, 3))
    assessment = assess(
        policy(), "t", ["a", "b", "c", "d"], Knowledge(evidence), Context(exclude=frozenset("d"), max_cost_usd=0.2)
    )
    assert [row.model_id for row in assessment.ranking] == ["b", "c"]
    assert assessment.excluded == (
        Exclusion("a", "costs $0.5 a task on average, more than max_cost_usd = 0.2"),
        Exclusion("d", "excluded by the host"),
    )


def test_a_budget_is_inclusive_and_judges_only_what_is_known() -> None:
    """A model that costs exactly the budget may be used, one of unknown cost too, one nano-dollar more not."""
    for thousandths in range(1, 200):
        budget = thousandths / 1000
        evidence = records(budget, at=(5, 2)) | records(budget + 1e-9, over=(5, 2)) | records(unknown=(5, 2))
        ranking = assess(policy(), "t", [*evidence], Knowledge(evidence), Context(max_cost_usd=budget)).ranking
        assert {row.model_id for row in ranking} == {"at", "unknown"}, budget
    free = records(1e-9, a=(1, 0))
    assert not assess(policy(), "t", ["a"], Knowledge(free), Context(max_cost_usd=0.0)).ranking


def test_all_excluded_leaves_an_empty_ranking() -> None:
    """Nothing permitted is a fact to report, not an error."""
    assessment = assess(policy(), "t", ["a", "b"], Knowledge({}), Context(exclude=frozenset("ab")))
    assert (len(assessment.ranking), assessment.available) == (0, 0)
    assert [row.model_id for row in assessment.excluded] == ["a", "b"]


def test_if_all_are_demoted_the_best_is_used_and_said_so() -> None:
    """A host always gets a model: the best of a bad lot, without exploration among them."""
    evidence = records(a=(1, 9), b=(3, 7), c=(2, 8))
    for exploration in (NeverExplore(), EpsilonGreedy(epsilon=1), ABTest(incumbent="a", challenger="c")):
        choice = decide(policy(exploration), ["a", "b", "c"], evidence, number=LARGEST)
        assert (choice.order, choice.probabilities) == (("b", "c", "a"), (1.0, 0.0, 0.0))
        assert choice.reason == (
            "every candidate is demoted, so the best of them is used; ranked first of 3; "
            "success rate 0.300 (3 of 10) is below the threshold 0.5"
        )
        assert not choice.explored


@pytest.mark.parametrize("pin", ["good", "fair", "new", "bad"])
def test_a_pin_wins_and_the_rest_follows_in_order(pin: str) -> None:
    """The pinned model, demoted or not, with propensity 1; its row says that the host wanted it."""
    context = Context(pin=pin)
    rules = policy(EpsilonGreedy(epsilon=1))
    assessment = assess(rules, "t", MODELS, Knowledge(EVIDENCE), context)
    choice = choose(assessment, context, LARGEST)
    assert choice.order == (pin, *[name for name in ("good", "fair", "new", "bad") if name != pin])
    row = assessment.ranking.of(pin)
    assert (row.status, choice.reason, choice.explored) == ("pinned", row.reason, False)
    assert row.reason.startswith("pinned by the host; ")
    assert choice.probabilities[assessment.ranking.index(row)] == 1.0


def test_a_pin_is_used_although_it_is_over_the_budget() -> None:
    """The host knows both its pin and its budget; the pin is the more explicit of the two."""
    context = Context(pin="a", max_cost_usd=0.1)
    choice = decide(policy(), ["a", "b"], records(0.5, a=(5, 5), b=(5, 5)), context)
    assert choice.order == ("a",)


@pytest.mark.parametrize("context", [Context(pin="z"), Context(pin="a", exclude=frozenset("a"))])
def test_a_pin_that_cannot_be_used_is_an_error(context: Context) -> None:
    """Pinning a model that is no candidate or is excluded is an error of one line."""
    with pytest.raises(InvalidValueError, match="one of the candidates that are not excluded") as caught:
        assess(policy(), "t", ["a", "b"], Knowledge({}), context)
    assert caught.value.field == "context['pin']"
    assert repr(caught.value.value) == "text of 1 character"


def test_a_unit_keeps_its_side_of_an_ab_test_while_the_evidence_turns() -> None:
    """Through assess and choose, with any random number: same unit, same model, whichever is ranked first."""
    rules = policy(ABTest(share=0.4, incumbent="a", challenger="b"))
    ahead, behind = records(a=(9, 1), b=(6, 4), c=(10, 0)), records(a=(6, 4), b=(9, 1), c=(10, 0))
    sides = Counter[str]()
    for number in range(2000):
        context = Context(unit_id=f"user-{number}")
        given_models = {
            decide(rules, candidates, evidence, context, draw).order[0]
            for candidates, evidence, draw in (("abc", ahead, 0.0), ("cba", behind, LARGEST), ("bca", ahead, 0.5))
        }
        assert len(given_models) == 1
        sides.update(given_models)
    assert abs(sides["b"] / 2000 - 0.4) < 5 * sqrt(0.4 * 0.6 / 2000)
    assert sides["c"] == 0


@pytest.mark.parametrize(
    ("probabilities", "number", "position"),
    [
        ([1.0], 0.0, 0),
        ([1.0], LARGEST, 0),
        ([0.5, 0.5], 0.4999, 0),
        ([0.5, 0.5], 0.5, 1),
        ([0.0, 1.0], 0.0, 1),
        ([0.0, 0.5, 0.0, 0.5, 0.0], 0.0, 1),
        ([0.0, 0.5, 0.0, 0.5, 0.0], LARGEST, 3),
        ([0.1] * 10, LARGEST, 9),
        ([0.1] * 10 + [0.0], LARGEST, 9),
        ([1 / 3, 1 / 3, 1 / 3, 0.0], LARGEST, 2),
    ],
)
def test_pick_by_table(probabilities: list[float], number: float, position: int) -> None:
    """Laid end to end from 0; what rounding leaves at the end belongs to the last that has any."""
    assert pick(probabilities, number) == position


numbers = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, LARGEST, 0.5])
weights = st.lists(st.just(0.0) | st.floats(0, 1) | st.just(2**-53), min_size=1, max_size=10).filter(any)


@settings(deadline=None, max_examples=300)
@given(weights, numbers)
def test_pick_never_returns_what_has_no_probability(given_weights: list[float], number: float) -> None:
    """Whatever the rounding of the sum: a position of probability 0 is never chosen, for any number in [0, 1)."""
    total = fsum(given_weights)
    probabilities = [weight / total for weight in given_weights]
    assume(any(probabilities))
    assert probabilities[pick(probabilities, number)] > 0.0


class Case(NamedTuple):
    """Anything that can be asked of a policy."""

    rules: Policy
    candidates: list[str]
    evidence: dict[str, Tally]
    context: Context
    number: float
    unavailable: dict[str, str]
    down: set[str]
    model_costs: dict[str, ExpectedCost]

    @property
    def knowledge(self) -> Knowledge:
        """The knowledge of the policy."""
        return Knowledge(self.evidence, None, {}, self.unavailable, self.model_costs, down=self.down)

    def groups(self, names: Sequence[str], demoted: Collection[str]) -> list[int]:
        """Return the group of each model: available, unavailable, demoted, or last of all."""
        return [
            (3 if name in demoted or name in self.down else 1) if name in self.unavailable else 2 * (name in demoted)
            for name in names
        ]

    @property
    def forbidden(self) -> set[str]:
        """The candidates that the context rules out, computed from the costs."""
        over = set()
        for name in self.candidates:
            tally = self.evidence.get(name, Tally("t", name))
            cost = self.model_costs[name].usd if name in self.model_costs else 0.0
            if tally.priced:
                cost = tally.total_cost_nano_usd / tally.priced / NANO_USD
            if self.context.max_cost_usd is not None and cost > self.context.max_cost_usd:
                over.add(name)
        return (set(self.context.exclude) | over) - {self.context.pin}


@st.composite
def tallies(draw: st.DrawFn, model_id: str) -> Tally:
    """Draw a tally whose counts agree with each other."""
    successes, failures = draw(st.tuples(st.integers(0, 12), st.integers(0, 12)))
    outages = draw(st.integers(0, failures))
    caller_errors = draw(st.integers(0, failures - outages))
    priced = draw(st.integers(0, successes + failures))
    cost = draw(st.integers(1, 2 * NANO_USD)) * priced
    return Tally("t", model_id, successes, failures, 0, outages, caller_errors, 0, cost, priced)


rankings: st.SearchStrategy[RankingStrategy] = st.builds(SuccessRate, min_samples=st.integers(1, 10)) | st.builds(
    Posterior, prior_success=st.floats(0.01, 0.99), prior_strength=st.floats(0.01, 100)
)
demotions: st.SearchStrategy[DemotionStrategy] = st.just(NeverDemote()) | st.builds(
    DemoteBySuccessRate, threshold=st.floats(0.01, 0.99), min_samples=st.integers(1, 10)
)
objectives: st.SearchStrategy[CostObjective] = (
    st.just(Success())
    | st.builds(CheapestWithin, margin=st.floats(0, 0.5), confidence=st.floats(0.5, 0.99))
    | st.builds(Value, usd_per_success=st.floats(0.01, 100))
)
sides = st.lists(st.none() | st.sampled_from([*NAMES, "z"]), min_size=2, max_size=2).filter(
    lambda pair: pair[0] is None or pair[0] != pair[1]
)
explorations: st.SearchStrategy[ExplorationStrategy] = (
    st.just(NeverExplore())
    | st.builds(EpsilonGreedy, epsilon=st.floats(0, 1))
    | st.builds(Adaptive, floor=st.floats(0, 1), optimism=st.floats(0, 4.5))
    | st.builds(
        lambda share, pair: ABTest(share=share, incumbent=pair[0], challenger=pair[1]), st.floats(0.01, 0.99), sides
    )
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a policy, candidates, evidence for some of them, and a context that permits at least one."""
    candidates = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    known = draw(st.lists(st.sampled_from(candidates), unique=True))
    pin = draw(st.none() | st.sampled_from(candidates))
    excluded = draw(st.none() | st.sets(st.sampled_from(NAMES))) or set()
    unavailable = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
    case = Case(
        Policy(
            ranking=draw(rankings),
            demotion=draw(demotions),
            cost=draw(objectives),
            exploration=draw(explorations),
            policy_id="p",
        ),
        candidates,
        {name: draw(tallies(name)) for name in known},
        Context(
            pin=draw(st.sampled_from([None, None, None, pin])),
            unit_id=draw(st.none() | st.text(max_size=3)),
            exclude=frozenset(excluded - {pin}),
            max_cost_usd=draw(st.none() | st.floats(0, 2)),
        ),
        draw(numbers),
        dict.fromkeys(unavailable, "back off until noon"),
        {name for name in unavailable if draw(st.booleans())},
        {
            name: ExpectedCost(draw(st.floats(0, 2)), "model")
            for name in draw(st.sets(st.sampled_from(NAMES), max_size=3))
        },
    )
    assume(set(candidates) - case.forbidden)
    return case


any_case = settings(deadline=None, max_examples=150)


@any_case
@given(cases())
def test_probabilities_are_a_distribution(case: Case) -> None:
    """Propensities: one for each row, none negative, sum 1; the choice has a positive one."""
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    choice = choose(assessment, case.context, case.number)
    assert len(choice.probabilities) == len(assessment.ranking)
    assert all(0.0 <= probability <= 1.0 for probability in choice.probabilities)
    assert abs(fsum(choice.probabilities) - 1.0) < 1e-12
    names = [row.model_id for row in assessment.ranking]
    assert choice.probabilities[names.index(choice.order[0])] > 0.0


@any_case
@given(cases())
def test_the_order_is_the_ranking_with_the_choice_in_front(case: Case) -> None:
    """Every permitted candidate is in the order once: the choice, then the others as ranked."""
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    order = choose(assessment, case.context, case.number).order
    names = [row.model_id for row in assessment.ranking]
    assert order[1:] == tuple(name for name in names if name != order[0])
    assert sorted(order) == sorted(names)


@any_case
@given(cases())
def test_what_is_not_permitted_is_never_in_the_order(case: Case) -> None:
    """Every candidate is either in the order or among the excluded; excluded or over the budget is never used."""
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    order = choose(assessment, case.context, case.number).order
    out = {row.model_id for row in assessment.excluded}
    assert out == case.forbidden & set(case.candidates)
    assert set(order) == set(case.candidates) - out


@any_case
@given(cases())
def test_what_speaks_against_a_model_ranks_it_behind_others(case: Case) -> None:
    """Available, unavailable, demoted, down: one of a later group is chosen only if the earlier ones are empty.

    A model that is both unavailable and demoted counts as down.
    """
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    choice = choose(assessment, case.context, case.number)
    names = [row.model_id for row in assessment.ranking]
    permitted = [case.evidence.get(name, Tally("t", name)) for name in names]
    reasons = case.rules.demotion(permitted)
    demoted = {name for name, reason in zip(names, reasons, strict=True) if reason is not None}
    groups = case.groups(names, demoted)
    assert groups == sorted(groups)
    fallbacks = case.groups(choice.order[1:], demoted)
    assert fallbacks == sorted(fallbacks)
    if case.context.pin is not None:
        return
    for row, group, probability in zip(assessment.ranking, groups, choice.probabilities, strict=True):
        assert probability == 0.0 or group == groups[0]
        assert (row.status == "unavailable") == (group in {1, 3})
        assert (row.status == "demoted") == (group == 2)
        assert row.reason.startswith("back off until noon") == (group in {1, 3})
    said = choice.reason.partition(", so the ")[0]
    expected = {
        (1,): "every candidate is unavailable", (3,): "every candidate is unavailable",
        (1, 3): "every candidate is unavailable", (2,): "every candidate is demoted",
        (1, 2): "every candidate is unavailable or demoted", (1, 2, 3): "every candidate is unavailable or demoted",
        (2, 3): "every candidate is demoted or unavailable",
    }.get(tuple(sorted(set(groups))))  # fmt: skip
    assert said == expected or (expected is None and "every candidate" not in said)


@pytest.mark.parametrize(
    ("down", "demoted", "order", "reason"),
    [
        ("a", "bcd", "bcda", "every candidate is demoted or unavailable, so the best of those that may answer is used"),
        ("", "bcd", "abcd", "every candidate is unavailable or demoted, so the first to be back is used"),
        ("a", "cd", "bcda", "the only candidate left"),
        (
            "a",
            "abcd",
            "bcda",
            "every candidate is demoted or unavailable, so the best of those that may answer is used",
        ),
    ],
)
def test_a_model_that_is_gone_comes_after_demoted_ones(down: str, demoted: str, order: str, reason: str) -> None:
    """A demoted model may solve the task; one that is gone will not. After a mere outage it may, and comes first."""
    rules = policy(demotion=DemoteByEvidence())
    evidence = records(a=(9, 1), b=(4, 6), c=(3, 7), d=(2, 8))
    knowledge = Knowledge(evidence, None, dict.fromkeys(demoted, "demoted: why"), {"a": "out"}, down=down)
    choice = choose(assess(rules, "t", "abcd", knowledge, NO_CONTEXT), NO_CONTEXT, 0.0)
    assert "".join(choice.order) == order
    assert choice.reason.startswith(reason)


def test_models_that_are_down_get_no_probes() -> None:
    """A try of a demoted model that is not expected to answer says nothing: its share goes to the other demoted one."""
    rules = policy(demotion=DemoteByEvidence(probe_share=0.25))
    evidence = records(a=(9, 1), b=(8, 2), c=(7, 3))
    knowledge = Knowledge(evidence, None, dict.fromkeys("bc", "demoted: why"), {"b": "out"})
    assessment = assess(rules, "t", "abc", knowledge, NO_CONTEXT)
    assert "".join(assessment.ranking.model_ids) == "acb"
    assert choose(assessment, NO_CONTEXT, 0.0).probabilities == (0.75, 0.25, 0.0)
    assert assessment.ranking.of("b").reason == "out; demoted: why"


@any_case
@given(cases(), st.data())
def test_a_pin_always_wins(case: Case, data: st.DataObject) -> None:
    """Whatever the policy, the evidence, the budget and the number: the pin, with propensity 1, not exploration."""
    pin = data.draw(st.sampled_from(sorted(set(case.candidates) - case.context.exclude)))
    context = Context(pin=pin, exclude=case.context.exclude, max_cost_usd=case.context.max_cost_usd)
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, context)
    choice = choose(assessment, context, case.number)
    assert choice.order[0] == pin
    shares = {row.model_id: share for row, share in zip(assessment.ranking, choice.probabilities, strict=True)}
    assert shares == {name: float(name == pin) for name in choice.order}
    assert assessment.ranking.of(pin).status == "pinned"
    assert not choice.explored


@any_case
@given(cases(), st.data())
def test_the_order_of_the_candidates_does_not_matter(case: Case, data: st.DataObject) -> None:
    """Candidates and evidence in any order: the same ranking, the same propensities, the same choice."""
    candidates = data.draw(st.permutations(case.candidates))
    evidence = dict(data.draw(st.permutations(list(case.evidence.items()))))
    first = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    second = assess(case.rules, "t", candidates, case.knowledge._replace(evidence=evidence), case.context)
    assert second._replace(excluded=()) == first._replace(excluded=())
    assert set(second.excluded) == set(first.excluded)
    assert choose(second, case.context, case.number) == choose(first, case.context, case.number)


@any_case
@given(cases(), st.lists(numbers, min_size=2, max_size=5))
def test_propensities_do_not_depend_on_what_is_drawn(case: Case, draws: list[float]) -> None:
    """Propensities depend on the evidence, not on the candidate that the number chose."""
    assessment = assess(case.rules, "t", case.candidates, case.knowledge, case.context)
    choices = [choose(assessment, case.context, number) for number in draws]
    assert len({choice.probabilities for choice in choices}) == 1
    for choice in choices:
        first = {row.model_id for row in assessment.ranking[: assessment.tied]}
        assert choice.explored == (case.context.pin is None and choice.order[0] not in first)


@any_case
@given(cases())
def test_other_models_evidence_does_not_matter(case: Case) -> None:
    """Models that are not offered have no say, however much is known of them."""
    more = case.knowledge._replace(evidence=case.evidence | {"not offered": Tally("t", "not offered", 1000, 0)})
    assert assess(case.rules, "t", case.candidates, more, case.context) == assess(
        case.rules, "t", case.candidates, case.knowledge, case.context
    )


@st.composite
def watched_cases(draw: st.DrawFn) -> tuple[Case, dict[str, str]]:
    """Draw a case in which demotion is by evidence, and the demotions in force, also of models not offered."""
    case = draw(cases())
    share = draw(st.just(0.0) | st.floats(0, 0.5))
    rules = Policy(
        ranking=case.rules.ranking,
        demotion=DemoteByEvidence(probe_share=share),
        exploration=case.rules.exploration,
        policy_id="p",
    )
    names = draw(st.sets(st.sampled_from(NAMES)))
    return case._replace(rules=rules), {name: f"demoted: {name} is bad" for name in sorted(names)}


@any_case
@given(watched_cases())
def test_demoted_models_get_exactly_their_share(watched: tuple[Case, dict[str, str]]) -> None:
    """Together ``probe_share``, each the same; without one they are never chosen. No probes if a unit or pin decides.

    Those that are also unavailable get none. If no other model may answer, the best of them is used and none is probed.
    """
    case, in_force = watched
    assessment = assess(case.rules, "t", case.candidates, case.knowledge._replace(demotions=in_force), case.context)
    choice = choose(assessment, case.context, case.number)
    assert abs(fsum(choice.probabilities) - 1.0) < 1e-12
    assert all(0.0 <= probability <= 1.0 for probability in choice.probabilities)
    names = [row.model_id for row in assessment.ranking]
    assert choice.probabilities[names.index(choice.order[0])] > 0.0
    groups = case.groups(names, in_force)
    shares = [share for group, share in zip(groups, choice.probabilities, strict=True) if group == 2]
    if case.context.pin is not None:
        assert not choice.probed
        return
    assert groups == sorted(groups)
    if groups[0] >= 2:
        assert fsum(choice.probabilities[: assessment.tied]) == pytest.approx(1.0)
        assert (choice.explored, choice.probed) == (False, False)
        return
    by_unit = isinstance(case.rules.exploration, ABTest) and case.context.unit_id is not None
    probe_share = case.rules.demotion.probe_share
    assert len(set(shares)) <= 1
    if by_unit and fsum(shares) == 0.0:
        assert not choice.probed
    else:
        assert fsum(shares) == pytest.approx(probe_share if shares else 0.0)
    assert choice.probed == (choice.order[0] in in_force)
    assert not (choice.probed and probe_share == 0.0)
    assert 3 not in [group for group, share in zip(groups, choice.probabilities, strict=True) if share]


@any_case
@given(watched_cases())
def test_a_probe_says_so_and_demoted_fallbacks_come_last(watched: tuple[Case, dict[str, str]]) -> None:
    """Only the demoted model that was chosen has status ``probe``; the others stay ``demoted``, behind all."""
    case, in_force = watched
    assessment = assess(case.rules, "t", case.candidates, case.knowledge._replace(demotions=in_force), case.context)
    choice = choose(assessment, case.context, case.number)
    fallbacks = case.groups(choice.order[1:], in_force)
    assert fallbacks == sorted(fallbacks)
    ranking = ranking_of(assessment, choice)
    probes = [row.model_id for row in ranking if row.status == "probe"]
    assert probes == ([choice.order[0]] if choice.probed else [])
    for row in ranking:
        if row.model_id not in {*probes, case.context.pin}:
            assert (row.status == "demoted") == (case.groups([row.model_id], in_force) == [2])
            assert row.reason.endswith(in_force.get(row.model_id, row.reason))
    if choice.probed:
        assert choice.explored
        assert choice.reason.startswith("demoted, but probed (probability ")


@pytest.mark.parametrize(
    ("share", "demoted", "probabilities"),
    [
        (0.0, "b", (1.0, 0.0, 0.0, 0.0)),
        (0.5, "b", (0.5, 0.0, 0.0, 0.5)),
        (0.25, "bc", (0.75, 0.0, 0.125, 0.125)),
        (0.25, "", (1.0, 0.0, 0.0, 0.0)),
        (0.25, "abcd", (1.0, 0.0, 0.0, 0.0)),
    ],
)
def test_probes_by_table(share: float, demoted: str, probabilities: tuple[float, ...]) -> None:
    """The demoted have the share between them, at the expense of the others in proportion."""
    rules = policy(demotion=DemoteByEvidence(probe_share=share))
    evidence = records(a=(9, 1), b=(8, 2), c=(7, 3), d=(6, 4))
    assessment = assess(
        rules, "t", "abcd", Knowledge(evidence, None, dict.fromkeys(demoted, "demoted: why")), NO_CONTEXT
    )
    assert choose(assessment, NO_CONTEXT, 0.0).probabilities == probabilities


@pytest.mark.parametrize(
    "exploration",
    [
        NeverExplore(),
        EpsilonGreedy(),
        Adaptive(),
        EpsilonGreedy(epsilon=0.5),
        EpsilonGreedy(epsilon=1),
        ABTest(),
        ABTest(share=0.4, incumbent="c", challenger="a"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("ranking", [SuccessRate(), Posterior()], ids=lambda strategy: strategy.strategy)
def test_frequencies_match_propensities(exploration: ExplorationStrategy, ranking: RankingStrategy) -> None:
    """Each candidate is chosen with its propensity, exactly."""
    rules = policy(exploration, ranking=ranking)
    evidence = records(a=(9, 1), b=(9, 1), c=(6, 4), d=(5, 5), e=(2, 1), f=(0, 10))
    assessment = assess(rules, "t", "abcdef", Knowledge(evidence), NO_CONTEXT)
    chances = chances_of(assessment)
    for row, propensity in zip(assessment.ranking, choose(assessment, NO_CONTEXT, 0.0).probabilities, strict=True):
        assert chances[row.model_id] == pytest.approx(propensity, abs=1e-9), row.model_id
    assert chances["f"] == 0
