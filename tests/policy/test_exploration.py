"""Exploration strategies: exact shares, and assignments that stick."""

from __future__ import annotations

import random
from collections import Counter
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy import ABTest, AnyExploration, EpsilonGreedy, NeverExplore, pick
from modelperf_plugin.policy.exploration import ChoiceSet, ExplorationStrategy, Shares
from modelperf_plugin.policy.exploration.ab_test import find_sides, unit_position
from modelperf_plugin.values import RankedModel, Tally
from tests.policy.tables import check_loaded, check_refused

UNITS = [f"user-{number}" for number in range(20_000)]


def choice_set(*names: str, tied: int = 1, unit_id: str | None = None, samples: tuple[int, ...] = ()) -> ChoiceSet:
    """Return a choice set of these models, best first, with these numbers of outcomes (10 each by default)."""
    rows = [
        RankedModel(name, 0.5, None, Tally("t", name, count), "ranked", f"{name} is fine")
        for name, count in zip(names, samples or [10] * len(names), strict=True)
    ]
    return ChoiceSet("t", rows, tied, unit_id)


def drawn(strategy: ExplorationStrategy, held: ChoiceSet, number: float = 0.0) -> str:
    """Return the model that ``strategy`` gives this choice set to, with this random number."""
    shares = strategy(held)
    return held.rows[pick(shares.probabilities, number if shares.point is None else shares.point)].model_id


def challenged(strategy: ABTest, *names: str, challenger: str) -> set[str]:
    """Return the units whose task goes to ``challenger``, of models ranked like ``names``."""
    return {unit for unit in UNITS if drawn(strategy, choice_set(*names, unit_id=unit)) == challenger}


@pytest.mark.parametrize(
    ("count", "tied", "expected"),
    [(1, 1, [1.0]), (3, 1, [1.0, 0.0, 0.0]), (3, 2, [0.5, 0.5, 0.0]), (4, 4, [0.25] * 4)],
)
def test_never_explores(count: int, tied: int, expected: list[float]) -> None:
    """All to the best-ranked, in equal parts if several are tied; nothing to the others; nothing more to say."""
    assert NeverExplore()(choice_set(*"abcd"[:count], tied=tied)) == Shares(expected)


@pytest.mark.parametrize(
    ("epsilon", "count", "tied", "expected"),
    [
        (0.1, 1, 1, [1.0]),
        (0.1, 2, 1, [0.95, 0.05]),
        (0.1, 4, 1, [0.925, 0.025, 0.025, 0.025]),
        (0.2, 4, 2, [0.45, 0.45, 0.05, 0.05]),
        (0.3, 3, 3, [1 / 3, 1 / 3, 1 / 3]),
        (0.0, 3, 1, [1.0, 0.0, 0.0]),
        (1.0, 4, 1, [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_epsilon_greedy_shares(epsilon: float, count: int, tied: int, expected: list[float]) -> None:
    """ε/K for each of K candidates, and (1 − ε)/T more for each of the T at the top."""
    shares = EpsilonGreedy(epsilon=epsilon)(choice_set(*"abcd"[:count], tied=tied))
    assert shares.probabilities == pytest.approx(expected, abs=1e-15)
    assert shares.point is None


def test_epsilon_greedy_ignores_the_unit() -> None:
    """Only an A/B test sticks: with ε-greedy the same unit may get another model next time."""
    held = choice_set("a", "b", unit_id="user-1")
    assert [drawn(EpsilonGreedy(), held, number) for number in (0.0, 0.999)] == ["a", "b"]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ((10, 10, 10), [0.9, 0.1, 0.0]),
        ((10, 9, 3), [0.9, 0.0, 0.1]),
        ((10, 3, 9), [0.9, 0.1, 0.0]),
        ((1, 9, 9), [0.9, 0.1, 0.0]),
        ((10, 0, 0), [0.9, 0.1, 0.0]),
    ],
)
def test_sides_that_are_not_named(samples: tuple[int, ...], expected: list[float]) -> None:
    """The best-ranked against the one with the fewest outcomes among the others, the better-ranked of equals."""
    assert ABTest()(choice_set(*"abc", samples=samples)).probabilities == expected


@pytest.mark.parametrize(
    ("incumbent", "challenger", "expected"),
    [
        ("c", "b", [0.0, 0.25, 0.75]),
        ("b", "c", [0.0, 0.75, 0.25]),
        ("c", None, [0.25, 0.0, 0.75]),
        (None, "c", [0.75, 0.0, 0.25]),
        (None, "a", [0.25, 0.75, 0.0]),
        ("a", None, [0.75, 0.25, 0.0]),
    ],
)
def test_sides_that_are_named(incumbent: str | None, challenger: str | None, expected: list[float]) -> None:
    """A named side is that model at any rank; the other is one of the rest; all others get nothing."""
    strategy = ABTest(share=0.25, incumbent=incumbent, challenger=challenger)
    shares = strategy(choice_set(*"abc"))
    assert shares.probabilities == expected
    reasons = {row: reason for row, reason in zip("abc", shares.reasons, strict=True) if reason is not None}
    challenged_name = "abc"[expected.index(0.25)]
    assert reasons == {
        "abc"[expected.index(0.75)]: "incumbent of an A/B test, share 0.75",
        challenged_name: "challenger of an A/B test, share 0.25",
    }


@pytest.mark.parametrize(
    ("incumbent", "challenger", "names", "expected", "says"),
    [
        (None, None, "a", [1.0], "there is no other candidate"),
        ("a", None, "a", [1.0], "there is no other candidate"),
        (None, "a", "a", [1.0], "there is no other candidate"),
        ("c", "z", "abc", [0.0, 0.0, 1.0], "z is not available"),
        ("z", "c", "abc", [0.0, 0.0, 1.0], "z is not available"),
        (None, "z", "abc", [1.0, 0.0, 0.0], "z is not available"),
        ("z", None, "abc", [1.0, 0.0, 0.0], "z is not available"),
        ("y", "z", "abc", [1.0, 0.0, 0.0], "y is not available, z is not available"),
    ],
)
@pytest.mark.parametrize("unit_id", [None, "user-1"])
def test_without_one_side_there_is_no_test(
    incumbent: str | None, challenger: str | None, names: str, expected: list[float], says: str, unit_id: str | None
) -> None:
    """The side that is named and there gets all, else the best-ranked, and the reason says what is missing."""
    strategy = ABTest(incumbent=incumbent, challenger=challenger)
    shares = strategy(choice_set(*names, samples=(10, 9, 3)[: len(names)], unit_id=unit_id))
    assert (shares.probabilities, shares.point) == (expected, None)
    assert shares.reasons[expected.index(1.0)] == f"no A/B test: {says}"


def test_without_an_incumbent_ties_are_broken_at_random() -> None:
    """Without an available side, candidates tied at the top share the decisions as without exploration."""
    shares = ABTest(incumbent="z")(choice_set(*"abc", tied=2))
    assert shares.probabilities == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("share", [0.001, 0.1, 1 / 3, 0.5, 0.7, 0.999])
@pytest.mark.parametrize("unit_id", [None, "user-1"])
def test_the_propensity_of_the_challenger_is_exactly_the_share(share: float, unit_id: str | None) -> None:
    """The logged probability is the configured figure itself, also when a unit decides."""
    for names in ("abc", "bac", "cba"):
        shares = ABTest(share=share, incumbent="a", challenger="b")(choice_set(*names, unit_id=unit_id))
        assert shares.probabilities[names.index("b")] == share
        assert shares.probabilities[names.index("a")] == 1 - share
        assert shares.probabilities[names.index("c")] == 0.0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_of_units_on_the_challengers_side_is_the_share(share: float) -> None:
    """Of 20,000 units as many get the challenger as the share says, give or take five standard errors."""
    strategy = ABTest(share=share, incumbent="a", challenger="b")
    error = sqrt(share * (1 - share) / len(UNITS))
    for names in ("ab", "ba"):
        found = len(challenged(strategy, *names, challenger="b")) / len(UNITS)
        assert abs(found - share) < 5 * error


def test_a_unit_keeps_its_side_whatever_the_ranking() -> None:
    """While a test runs the ranking turns, others come and go, numbers differ: a unit's side never changes."""
    strategy = ABTest(share=0.3, incumbent="a", challenger="b")
    before = challenged(strategy, "a", "b", challenger="b")
    for names in (("b", "a"), ("c", "b", "d", "a"), ("a", "c", "b")):
        assert challenged(strategy, *names, challenger="b") == before
    held = choice_set("a", "b", unit_id="user-1")
    assert len({drawn(strategy, held, number / 100) for number in range(100)}) == 1


def test_a_larger_share_only_adds_units() -> None:
    """A larger share moves no unit back: units with the challenger at 10 % have it at 20 %, in either order."""
    for names in ("ab", "ba"):
        tenth, fifth = (
            challenged(ABTest(share=share, incumbent="a", challenger="b"), *names, challenger="b")
            for share in (0.1, 0.2)
        )
        assert tenth < fifth


SEVERAL = ABTest(share=0.6, incumbent="a", challenger=("b", "c", "d"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("abcd", [0.4, 0.2, 0.2, 0.2]),
        ("xdcba", [0.0, 0.2, 0.2, 0.2, 0.4]),
        ("abc", [0.6, 0.2, 0.2]),
        ("da", [0.2, 0.8]),
        ("ax", [1.0, 0.0]),
        ("xcb", [0.0, 1.0, 0.0]),
        ("xy", [1.0, 0.0]),
    ],
)
def test_several_challengers_share_equally(names: str, expected: list[float]) -> None:
    """Each has its part; that of one who is not there is the incumbent's; without the incumbent the best of them."""
    assert SEVERAL(choice_set(*names)).probabilities == pytest.approx(expected)


def test_a_unit_keeps_its_side_while_others_come_and_go() -> None:
    """Who is missing gives its units to the incumbent, and no other unit changes its side."""
    before = {unit: drawn(SEVERAL, choice_set(*"abcd", unit_id=unit)) for unit in UNITS[:2000]}
    after = {unit: drawn(SEVERAL, choice_set(*"dxba", unit_id=unit)) for unit in UNITS[:2000]}
    assert after == {unit: "a" if side == "c" else side for unit, side in before.items()}


def test_a_larger_share_of_several_moves_nobody_back() -> None:
    """Who had a challenger keeps it when all challengers get more."""
    more = ABTest(share=0.9, incumbent="a", challenger=("b", "c", "d"))
    for unit in UNITS[:2000]:
        side = drawn(SEVERAL, choice_set(*"abcd", unit_id=unit))
        assert side in {"a", drawn(more, choice_set(*"abcd", unit_id=unit))}


@settings(max_examples=5)
@given(
    share=st.floats(0.01, 0.99),
    challengers=st.sampled_from([("b",), ("b", "c"), ("c", "b", "d")]),
    names=st.permutations("abcde"),
    seed=st.integers(0, 2**32),
)
def test_the_propensities_are_the_frequencies(
    share: float, challengers: tuple[str, ...], names: list[str], seed: int
) -> None:
    """They sum to 1, do not depend on the order of the rows, and 100,000 seeded draws agree with them."""
    strategy = ABTest(share=share, incumbent="a", challenger=challengers)
    shares = strategy(choice_set(*names)).probabilities
    assert sum(shares) == pytest.approx(1.0, abs=1e-12)
    in_order = dict(zip("abcde", strategy(choice_set(*"abcde")).probabilities, strict=True))
    assert dict(zip(names, shares, strict=True)) == in_order
    numbers = random.Random(seed)
    counted = Counter(pick(shares, numbers.random()) for _ in range(100_000))
    for position, expected in enumerate(shares):
        error = sqrt(expected * (1 - expected) / 100_000)
        assert abs(counted[position] / 100_000 - expected) <= 6 * error
        assert not counted[position] or expected > 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_units_fall_on_the_sides_of_several_as_the_shares_say(share: float) -> None:
    """Of 20,000 units each side has its part, give or take five standard errors."""
    strategy = ABTest(share=share, incumbent="a", challenger=("b", "c", "d"))
    found = Counter(drawn(strategy, choice_set(*"dacb", unit_id=unit)) for unit in UNITS)
    for side, expected in (("a", 1 - share), *((side, share / 3) for side in "bcd")):
        assert abs(found[side] / len(UNITS) - expected) < 5 * sqrt(expected * (1 - expected) / len(UNITS))


def sides(*challengers: str, share: float = 0.3) -> list[str]:
    """Return the side of each unit with these challengers."""
    strategy = ABTest(share=share, incumbent="a", challenger=challengers)
    return [drawn(strategy, choice_set(*"abcd", unit_id=unit)) for unit in UNITS]


def test_the_order_of_challengers_means_nothing() -> None:
    """In any order they are the same test, and each unit has the same side."""
    assert sides("b", "c", "d") == sides("d", "b", "c")
    assert ABTest(challenger=("b", "c")).fingerprint == ABTest(challenger=("c", "b")).fingerprint


def test_a_challenger_that_joins_takes_only_what_it_gets() -> None:
    """At the same share of all, a tenth moves: to the new one, from the other challengers in equal parts."""
    before, after = sides("b", "c"), sides("b", "c", "d")
    moved = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    assert set(moved) == {("b", "d"), ("c", "d")}
    for count in moved.values():
        assert abs(count / len(UNITS) - 0.05) < 5 * sqrt(0.05 * 0.95 / len(UNITS))


def test_a_challenger_that_leaves_moves_no_unit_of_the_others() -> None:
    """Its units go to the other challengers, who now have its share; the incumbent and they keep theirs."""
    for before, after in zip(sides("b", "c", "d"), sides("b", "d"), strict=True):
        assert after == before or before == "c" != after != "a"


def test_what_makes_a_test() -> None:
    """Incumbent and salt, and whether challengers are named; not which, nor their share, nor the terms."""
    same = [
        ABTest(challenger="b"),
        ABTest(challenger=("b",)),
        ABTest(challenger=("c", "b"), share=0.2),
        ABTest(challenger="b", alpha=0.01, min_samples=5, max_samples=10, promote=True),
    ]
    others = [ABTest(), ABTest(challenger="b", salt="x"), ABTest(challenger="b", incumbent="a")]
    assert len({each.fingerprint for each in same}) == 1
    assert len({each.fingerprint for each in (same[0], *others)}) == 4
    assert ABTest(challenger="b").fingerprint == "cedfeaa4cee1", "kept in stores: the same in every version"
    assert ABTest(challenger="b").earlier_fingerprint == "59abb5438ba7", "of earlier versions"
    assert all(ABTest(challenger="b").identifies(each) for each in ("cedfeaa4cee1", "59abb5438ba7"))


def test_another_salt_or_task_type_reshuffles_the_units() -> None:
    """A new test with a new salt is independent of the last one: half of each side changes over, not none or all."""
    first, second = (
        challenged(ABTest(share=0.5, salt=salt, incumbent="a", challenger="b"), "a", "b", challenger="b")
        for salt in ("spring", "summer")
    )
    assert abs(len(first & second) / len(UNITS) - 0.25) < 5 * sqrt(0.25 * 0.75 / len(UNITS))
    assert unit_position("", "plan", "user-1") != unit_position("", "execute", "user-1")


def test_assignments_outlive_versions() -> None:
    """The hash is part of the contract: the positions of these units are those of the first release."""
    assert unit_position("", "execute-task", "user-1") == 0.5199386157176045
    assert unit_position("spring", "execute-task", "user-1") == 0.8850788707778169
    assert unit_position("", "plan", "Zoë") == 0.5742683934100985


def test_without_a_unit_the_side_is_drawn_anew() -> None:
    """The same choice set goes to one side or the other as the random number falls."""
    strategy = ABTest(share=0.25, incumbent="a", challenger="b")
    assert [drawn(strategy, choice_set("a", "b"), number) for number in (0.0, 0.7499, 0.75, 0.99)] == [
        "a",
        "a",
        "b",
        "b",
    ]


@settings(deadline=None)
@given(st.text(max_size=5), st.text(max_size=20), st.text(max_size=20))
def test_a_unit_falls_somewhere_in_0_to_1(salt: str, task_type: str, unit_id: str) -> None:
    """Always the same place, and one that a random number could have had: below 1, on a grid of 2^-53."""
    position = unit_position(salt, task_type, unit_id)
    assert position == unit_position(salt, task_type, unit_id)
    assert 0.0 <= position < 1.0
    assert (position * 2**53).is_integer()


def test_find_sides_among_no_rows() -> None:
    """Without candidates there are no sides; a candidate never competes with itself."""
    assert find_sides([]) == (None, ())
    (row,) = choice_set("a").rows
    assert find_sides([row]) == ("a", ())
    assert find_sides([row], challengers=("a",)) == (None, ("a",))
    assert find_sides([row], "a") == ("a", ())


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"strategy": "ab_test", "incumbent": "a", "challenger": "a"}, "two different models, but both are 'a'"),
        ({"strategy": "ab_test", "incumbent": "a", "challenger": ["b", "a"]}, "two different models, but both are 'a'"),
        ({"strategy": "ab_test", "challenger": ["b", "b"]}, "must name each challenger once"),
        ({"strategy": "ab_test", "challenger": []}, "must be a model id or a list of model ids"),
        ({"strategy": "ab_test", "challenger": ["b", 1]}, "must be a model id or a list of model ids"),
        ({"strategy": "ab_test", "challenger": 1}, "must be a model id or a list of model ids, but got 1"),
        ({"strategy": "ab_test", "alpha": 0}, "alpha"),
        ({"strategy": "ab_test", "min_samples": -1}, "min_samples"),
        ({"strategy": "ab_test", "min_samples": 9, "max_samples": 8}, "max_samples must be at least min_samples"),
        ({"strategy": "ab_test", "promote": 1}, "promote"),
        ({"strategy": "ab_test", "share": 0}, "share"),
        ({"strategy": "ab_test", "share": 1}, "share"),
        ({"strategy": "ab_test", "share": 10}, "share"),
        ({"strategy": "ab_test", "salt": 7}, "salt"),
        ({"strategy": "ab_test", "epsilon": 0.1}, "epsilon"),
        ({"strategy": "epsilon_greedy", "epsilon": -0.1}, "epsilon"),
        ({"strategy": "epsilon_greedy", "epsilon": 1.1}, "epsilon"),
        ({"strategy": "epsilon_greedy", "epsilon": float("nan")}, "epsilon"),
        ({"strategy": "epsilon_greedy", "epsilon": True}, "epsilon"),
        ({"strategy": "epsilon_greedy", "epsilon": "0.1"}, "epsilon"),
        ({"strategy": "never", "epsilon": 0.1}, "epsilon"),
        ({"strategy": "sometimes"}, "sometimes"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(table: dict[str, Any], names: str) -> None:
    """Out of range, of the wrong type, unknown, or a model set against itself: one error, which names it."""
    check_refused(AnyExploration, table, names)


def test_a_strategy_is_found_by_its_name_and_frozen() -> None:
    """The TOML table is the strategy, which is immutable."""
    check_loaded(AnyExploration, {"strategy": "epsilon_greedy", "epsilon": 0.5}, EpsilonGreedy(epsilon=0.5))
    check_loaded(AnyExploration, {"strategy": "never"}, NeverExplore())
