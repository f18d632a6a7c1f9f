"""The propensity e-process for A/B tests: by hand, exactly under equal rates, and in small simulations."""

from __future__ import annotations

import json
import random
from heapq import heappop, heappush
from itertools import product
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.sequential.two_sample_test import Side, TwoSampleTest, outcomes_needed, verdict

QUICK = settings(deadline=None, max_examples=25)
SIDES: tuple[Side, Side] = ("A", "B")
Past = list[tuple[Side, bool, float]]
sides: st.SearchStrategy[Side] = st.sampled_from(SIDES)
shares = st.floats(0.01, 0.99)
pasts = st.lists(st.tuples(sides, st.booleans(), shares), max_size=60)


def judged(past: Past) -> TwoSampleTest:
    """Return the evidence after some outcomes."""
    state = TwoSampleTest()
    for side, success, share_b in past:
        state = state.updated(side, success, share_b)
    return state


def simulated(seed: int, rate_a: float, rate_b: float, share_b: float, most: int = 2000) -> TwoSampleTest:
    """Return the state at the verdict, or after ``most`` outcomes without one."""
    rng, state = random.Random(seed), TwoSampleTest()
    for _ in range(most):
        side: Side = "B" if rng.random() < share_b else "A"
        state = state.updated(side, rng.random() < (rate_b if side == "B" else rate_a), share_b)
        if state.peak >= log(20):
            break
    return state


def test_the_first_outcomes_by_hand() -> None:
    """The first says nothing: both rates are ½. The second is judged by the first, shrunk by k = 5, 20, 60.

    After one success of A, p̄ = 1.5/2 = .75, p_A = (1 + .75 k)/(1 + k), p_B = .75. A failure of B at ρ = .3 multiplies
    E by .25 / (1 − .7 p_A − .3 · .75).
    """
    first = TwoSampleTest().updated("A", grade=True, share_b=0.3)
    assert first.e_value == 1.0
    second = first.updated("B", grade=False, share_b=0.3)
    factors = [0.25 / (1 - 0.7 * (1 + 0.75 * k) / (1 + k) - 0.3 * 0.75) for k in (5, 20, 60)]
    assert [exp(each) for each in second.logs] == pytest.approx(factors)
    assert second.e_value == pytest.approx(sum(factors) / 3)
    assert second[:4] == (1, 1, 1, 0)
    assert second.leader == "A"


def test_a_side_that_gets_all_is_no_evidence() -> None:
    """With a share of 0 or 1 there is nothing to compare with."""
    state = judged([("A", True, 0.5), ("B", False, 0.5)])
    for _ in range(5):
        assert state.updated("A", grade=True, share_b=0.0).logs == state.logs
        state = state.updated("B", grade=True, share_b=1.0)
    assert state.logs == judged([("A", True, 0.5), ("B", False, 0.5)]).logs


def test_what_only_teaches_the_rates_is_no_evidence() -> None:
    """The counts are the same as with evidence, E and its peak stay; later outcomes are judged by those rates."""
    past: Past = [("A", True, 0.3), ("B", False, 0.3)] * 10
    taught = TwoSampleTest()
    for side, success, share_b in past:
        taught = taught.updated(side, success, share_b, counts=False)
    assert taught == TwoSampleTest(*judged(past)[:4])
    known = taught._replace(logs=judged(past).logs)
    after, other = taught.updated("B", grade=False, share_b=0.3), known.updated("B", grade=False, share_b=0.3)
    for factor, with_past, before in zip(after.logs, other.logs, known.logs, strict=True):
        assert factor == pytest.approx(with_past - before)


def late_sides_differ(seed: int, minimum: int) -> bool:
    """Return whether equal sides seem to differ when A's outcomes come twice as late, and failures three times."""
    rng = random.Random(seed)
    arriving: list[tuple[int, int, Side, bool]] = []
    state = TwoSampleTest()
    for now in range(1000):
        side: Side = rng.choice(SIDES)
        success = rng.random() < 0.8
        heappush(arriving, (now + (100 if side == "A" else 50) * (1 if success else 3), now, side, success))
        while arriving[0][0] <= now:
            *_, side, success = heappop(arriving)
            state = state.updated(side, success, 0.5, counts=state.outcomes >= minimum)
            if state.peak >= log(20):
                return True
    return False


def test_late_failures_are_no_evidence_after_the_first_outcomes() -> None:
    """At first the slower side has successes only: without a minimum that is taken for a difference."""
    assert sum(late_sides_differ(seed, 0) for seed in range(40)) > 30
    assert sum(late_sides_differ(seed, 200) for seed in range(40)) <= 4


@pytest.mark.parametrize(("side", "share_b"), [("B", 0.0), ("A", 1.0), ("A", -0.1), ("B", 1.1), ("B", float("nan"))])
def test_impossible_shares_are_refused(side: Side, share_b: float) -> None:
    """A side that could not get an outcome cannot have one."""
    with pytest.raises(InvalidValueError, match="share_b"):
        TwoSampleTest().updated(side, grade=True, share_b=share_b)


@settings(deadline=None, max_examples=6)
@given(st.floats(0.0, 1.0), st.lists(shares, min_size=6, max_size=6))
def test_the_expected_evidence_is_one_where_the_sides_are_equal(rate: float, split: list[float]) -> None:
    """Over all sequences of six sides and outcomes, for any rate and any split, E is exactly 1 on average."""
    level = [(TwoSampleTest(), 1.0)]
    for share_b in split:
        level = [
            (
                state.updated(side, success, share_b),
                chance * (share_b if side == "B" else 1 - share_b) * (rate if success else 1 - rate),
            )
            for (state, chance), side, success in product(level, SIDES, (True, False))
        ]
        assert sum(state.e_value * chance for state, chance in level) == pytest.approx(1)


@QUICK
@given(pasts, st.floats(0.0, 1.0), shares)
def test_no_past_makes_the_next_outcome_a_winning_bet(past: Past, rate: float, share_b: float) -> None:
    """From any state, for any rate that both sides share and any split: E is on average what it was."""
    state = judged(past)
    expected = sum(
        state.updated(side, success, share_b).e_value * share * chance
        for side, share in zip(SIDES, (1 - share_b, share_b), strict=True)
        for success, chance in zip((True, False), (rate, 1 - rate), strict=True)
    )
    assert expected == pytest.approx(state.e_value)


@QUICK
@given(pasts)
def test_exchanging_the_sides_changes_only_the_names(past: Past) -> None:
    """The evidence is the same, and the other side leads."""
    state = judged(past)
    mirrored = judged([("A" if side == "B" else "B", success, 1 - share_b) for side, success, share_b in past])
    assert mirrored.logs == pytest.approx(state.logs)
    assert mirrored[:4] == state[2:4] + state[:2]


@QUICK
@given(pasts)
def test_storage_gives_back_what_was_put_in(past: Past) -> None:
    """Through JSON, to the last bit."""
    state = judged(past)
    assert TwoSampleTest.from_list(json.loads(json.dumps(state.as_list()))) == state


def test_storage_of_something_else_is_refused() -> None:
    """A list of the wrong length is an error that says what was expected."""
    with pytest.raises(InvalidValueError, match="9 numbers of an A/B test"):
        TwoSampleTest.from_list([1.0])


def test_a_verdict_stays() -> None:
    """A winner is never revoked, even if E falls later."""
    state = judged([("A", False, 0.5), ("B", True, 0.5)] * 20)
    assert verdict(state).winner == "B"
    for _ in range(15):
        state = state.updated("B", grade=False, share_b=0.5).updated("A", grade=True, share_b=0.5)
    found = verdict(state)
    assert found.e_value < 20
    assert found.decided
    assert found.winner == "B"
    assert not verdict(state, level=1e12).decided


def test_no_verdict_before_the_minimum() -> None:
    """Evidence alone does not decide before ``minimum`` outcomes; the text says how many are missing."""
    state = judged([("A", False, 0.5), ("B", True, 0.5)] * 20)
    found = verdict(state, minimum=100)
    assert not found.decided
    assert found.winner is None
    assert found.more == 60, "the evidence is there, only outcomes are missing"
    assert found.text == "inconclusive, about 60 more outcomes needed"
    assert verdict(state, minimum=40).winner == "B"


def test_the_maximum_ends_the_test() -> None:
    """After ``maximum`` outcomes the test ends without a winner; an earlier winner remains."""
    undecided = judged([("A", True, 0.5), ("B", True, 0.5), ("A", False, 0.5)] * 4)
    over = verdict(undecided, maximum=12)
    assert (over.decided, over.winner, over.more) == (True, None, None)
    assert over.text == "no winner within 12 outcomes (maximum 12)"
    waiting = verdict(undecided, maximum=13)
    assert not waiting.decided
    assert waiting.text.endswith("but only 1 left to the maximum")
    won = judged([("A", False, 0.5), ("B", True, 0.5)] * 20)
    assert verdict(won, maximum=40).winner == "B"


def test_the_text_says_who_is_better() -> None:
    """One sentence with both rates, the winner's first."""
    found = verdict(judged([("A", True, 0.5), ("B", False, 0.5)] * 20))
    assert found.winner == "A"
    assert found.text.startswith("A is better: 1.000 against 0.000 (e-value ")
    assert found.text.endswith(", 20 needed)")
    assert found.more is None


def test_rates_come_with_wilson_intervals() -> None:
    """8 of 10 is .490 to .943; a side without outcomes is unknown, from 0 to 1."""
    found = verdict(judged([("A", number < 8, 0.5) for number in range(10)]))
    assert (found.a.rate, round(found.a.low, 3), round(found.a.high, 3)) == (0.8, 0.49, 0.943)
    assert found.b == (0, 0, None, 0.0, 1.0)
    assert found.text == "inconclusive, B has no outcomes yet"
    assert found.more is None


def test_how_many_more_by_hand() -> None:
    """What ln E lacks, over the information per outcome: at .5 and .9 evenly, the mean divergence from .7."""
    state = TwoSampleTest(100, 50, 100, 90, (0.0, 0.0, 0.0))
    low = 0.5 * log(0.5 / 0.7) + 0.5 * log(0.5 / 0.3)
    high = 0.9 * log(0.9 / 0.7) + 0.1 * log(0.1 / 0.3)
    assert outcomes_needed(state) == round(log(20) / ((low + high) / 2))
    assert verdict(state).text == f"inconclusive, about {outcomes_needed(state)} more outcomes needed"


@pytest.mark.parametrize(
    "state",
    [
        TwoSampleTest(10, 8, 10, 8),
        TwoSampleTest(10, 10, 30, 30),
        TwoSampleTest(10, 0, 30, 0),
        TwoSampleTest(10**6, 500_000, 10**6, 500_900),
    ],
)
def test_equal_rates_have_no_forecast(state: TwoSampleTest) -> None:
    """With equal rates, or so nearly that a million outcomes are not enough, nothing is promised."""
    found = verdict(state)
    assert found.more is None
    assert found.text.startswith("inconclusive, no difference to detect at the current rates (")


def test_the_forecast_has_the_right_order() -> None:
    """After 100 outcomes at .80/.90 the median forecast is within a factor 2 of the median number really needed."""
    forecasts, needed = [], []
    for seed in range(60):
        early = simulated(seed, 0.8, 0.9, 0.5, 100)
        if early.outcomes == 100:
            forecasts.append(outcomes_needed(early) or 10**6)
            needed.append(simulated(seed, 0.8, 0.9, 0.5).outcomes - 100)
    ratio = sorted(forecasts)[len(forecasts) // 2] / sorted(needed)[len(needed) // 2]
    assert 0.5 < ratio < 2


@pytest.mark.parametrize("share_b", [0.5, 0.1])
def test_equal_sides_are_rarely_told_apart(share_b: float) -> None:
    """At .80/.80, looked at after each of 1,000 outcomes, at most one test in twenty finds a winner."""
    assert sum(verdict(simulated(seed, 0.8, 0.8, share_b, 1000)).decided for seed in range(100)) <= 5


@pytest.mark.parametrize(("share_b", "least"), [(0.5, 58), (0.1, 42)])
def test_a_better_side_is_found(share_b: float, least: int) -> None:
    """At .80/.90 side B wins within 2,000 outcomes: nearly always at 50/50, in most tests at 90/10."""
    winners = [verdict(simulated(seed, 0.8, 0.9, share_b)).winner for seed in range(60)]
    assert winners.count("B") >= least
    assert winners.count("A") == 0


def test_huge_evidence_stays_finite() -> None:
    """After thousands of unanimous outcomes the reported e-value is at most e^700."""
    state = TwoSampleTest(5000, 0, 5000, 5000, (3000.0, 2900.0, 2800.0), 3000.0, "B")
    assert state.e_value == exp(700)
    assert verdict(state).winner == "B"
    assert TwoSampleTest(1, 1, 1, 1, (-3000.0,) * 3).e_value == 0.0
