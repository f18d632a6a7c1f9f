"""Adaptive exploration: exact propensities, by enumeration."""

from __future__ import annotations

from math import log, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.policy import Adaptive
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.exploration import ChoiceSet
from modelperf_plugin.values import RankedModel, Tally

weights = st.floats(0.5, 500).map(lambda weight: round(weight, 3))  # beliefs are alike or differ: not by rounding
beliefs = st.builds(Belief, weights, weights)
sides = st.lists(st.tuples(beliefs, st.integers(0, 20)), min_size=1, max_size=8)


def choice_set(known: list[Belief], pending: list[int] | None = None, outcomes: int = 100) -> ChoiceSet:
    """Return a choice set of models with these beliefs and this total number of outcomes."""
    rows = [RankedModel(f"m{n}", None, None, Tally("t", f"m{n}"), "ranked", "") for n in range(len(known))]
    return ChoiceSet("t", rows, 1, None, known, pending or [0] * len(known), outcomes)


def enumerated(strategy: Adaptive, known: list[Belief], pending: list[int], outcomes: int) -> list[float]:
    """Return the probabilities by trying every point of the grid."""
    shares = [strategy.floor / len(known)] * len(known)
    for number in range(24):
        z = strategy.optimism * (0.25 + 0.75 * (number + 0.5) / 24) * NormalDist().inv_cdf(1 - 1 / (outcomes + 3))
        index = [
            log(a / b) + z * sqrt((1 / a + 1 / b) / (1 + waiting / (a + b)))
            for (a, b, *_), waiting in zip(known, pending, strict=True)
        ]
        best = [row for row, value in enumerate(index) if value >= max(index) - 1e-12]
        for row in best:
            shares[row] += (1 - strategy.floor) / 24 / len(best)
    return shares


@given(sides, st.floats(0, 1), st.floats(0.01, 4.5), st.integers(0, 10**9))
def test_probabilities_are_those_of_the_whole_grid(
    known: list[tuple[Belief, int]], floor: float, optimism: float, outcomes: int
) -> None:
    """The upper envelope gives what enumerating all points and candidates gives, and it sums to 1."""
    strategy = Adaptive(floor=floor, optimism=optimism)
    given_beliefs, pending = [each[0] for each in known], [each[1] for each in known]
    shares = strategy(choice_set(given_beliefs, pending, outcomes)).probabilities
    assert sum(shares) == pytest.approx(1.0, abs=1e-12)
    expected = enumerated(strategy, given_beliefs, pending, outcomes)
    # two indices that meet within rounding at one point may share it or not
    assert sum(abs(a - b) for a, b in zip(shares, expected, strict=True)) <= 2 / 24 + 1e-9
    assert min(shares) >= floor / len(known) - 1e-15
    assert max(shares) <= 1.0


@given(sides, st.randoms())
def test_the_order_of_candidates_does_not_matter(known: list[tuple[Belief, int]], random: object) -> None:
    """The probability of a candidate does not depend on its position."""
    strategy = Adaptive()
    shares = strategy(choice_set([each[0] for each in known], [each[1] for each in known])).probabilities
    backwards = strategy(choice_set([each[0] for each in known[::-1]], [each[1] for each in known[::-1]])).probabilities
    assert shares == pytest.approx(backwards[::-1], abs=1e-12)


def test_the_known_best_is_chosen_and_the_uncertain_tried() -> None:
    """Far better evidence takes nearly all; an unknown candidate beside a known one gets a good share."""
    clear = Adaptive()(choice_set([Belief(900, 100), Belief(500, 500)])).probabilities
    assert clear == pytest.approx([0.9975, 0.0025])
    doubtful = Adaptive()(choice_set([Belief(80, 20), Belief(1, 1)])).probabilities
    assert 0.4 < doubtful[1] < 0.8


def test_equal_beliefs_share_alike() -> None:
    """Nothing known: every candidate has the same probability."""
    assert Adaptive()(choice_set([Belief(1, 1)] * 5)).probabilities == pytest.approx([0.2] * 5)


def test_waiting_choices_make_a_candidate_less_tempting() -> None:
    """A candidate that was chosen ten times without an outcome yet is explored less than before."""
    known = [Belief(80, 20), Belief(2, 2)]
    before = Adaptive()(choice_set(known)).probabilities[1]
    after = Adaptive()(choice_set(known, [0, 10])).probabilities[1]
    assert after < before


def test_a_poor_candidate_is_tried_again_after_many_outcomes() -> None:
    """The credit grows with the outcomes of all, so that every model is tried again, even without a floor."""
    known = [Belief(850, 150), Belief(12, 10)]
    shares = [
        Adaptive(floor=0)(choice_set(known, outcomes=outcomes)).probabilities[1] for outcomes in (100, 1000, 10**9)
    ]
    assert shares[0] == 0.0 < shares[2]
    assert shares == sorted(shares)


def test_without_optimism_and_floor_it_is_greedy() -> None:
    """With both at 0 the highest mean takes all."""
    shares = Adaptive(floor=0, optimism=0)(choice_set([Belief(5, 5), Belief(6, 4), Belief(1, 1)])).probabilities
    assert shares == [0.0, 1.0, 0.0]


def test_without_beliefs_the_tallies_count() -> None:
    """Used with a ranking that knows no beliefs, it goes by each model's own outcomes."""
    rows = [
        RankedModel("good", None, None, Tally("t", "good", 90, 10), "ranked", ""),
        RankedModel("bad", None, None, Tally("t", "bad", 10, 90), "ranked", ""),
    ]
    assert Adaptive()(ChoiceSet("t", rows, 1, None)).probabilities == pytest.approx([0.9975, 0.0025])


@given(sides, st.floats(0, 1), st.floats(0, 1))
def test_the_evaluation_share_is_spread_alike(known: list[tuple[Belief, int]], share: float, floor: float) -> None:
    """With a share s the probabilities are s/K + (1 − s) times those without it."""
    given_beliefs, pending = [each[0] for each in known], [each[1] for each in known]
    without = Adaptive(floor=floor)(choice_set(given_beliefs, pending)).probabilities
    with_share = Adaptive(floor=floor, evaluation_share=share)(choice_set(given_beliefs, pending)).probabilities
    expected = [share / len(known) + (1 - share) * each for each in without]
    assert with_share == pytest.approx(expected, abs=1e-12)
