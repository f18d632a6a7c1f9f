"""A/B tests take in verdicts that were replaced, and stay valid."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine import ab_tests
from modelperf_plugin.engine.ab_draws import Draw
from modelperf_plugin.engine.ab_stakes import exchanged, stakes_of
from modelperf_plugin.engine.ab_verdicts import advanced, standing, state_of
from modelperf_plugin.policy.sequential import TwoSampleTest
from modelperf_plugin.store import Entry, Stake, StoredContest, StoredTest
from modelperf_plugin.values import Assignment, Outcome

HALF: dict[str, Any] = {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0}
NOON_MS = 1_767_268_800_000


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each process reload the tests at once."""
    monkeypatch.setattr(ab_tests, "RELOAD_SECONDS", 0.0)


def engine(path: Path, **test: Any) -> mp.ModelPerf:
    """Return an engine whose exploration is an A/B test."""
    return mp.ModelPerf({"exploration": {**HALF, **test}}, store=path, seed=1)


def the_test(perf: mp.ModelPerf) -> StoredTest:
    """Return the only test."""
    (test,) = perf.store.ab_tests.all()
    return test


def chosen(perf: mp.ModelPerf) -> mp.Decision:
    """Return a decision."""
    decision = perf.select("t", ["a", "b"])
    assert decision is not None
    return decision


@pytest.mark.parametrize("how", ["report", "report by another", "outcome id", "outcome id only", "many ids"])
def test_the_last_outcome_counts_as_if_its_final_verdict_had_been_the_first(how: str, tmp_path: Path) -> None:
    """After a correction a test is where it would be without the first verdict; the former one leaves no trace."""
    with (
        engine(tmp_path / "guess.db") as perf,
        engine(tmp_path / "final.db") as plain,
        engine(tmp_path / "guess.db") as other,
    ):
        for success in (True, False, True, True):
            for each in (perf, plain):
                decision = chosen(each)
                each.record("t", decision.model_id, Outcome(success=success), decision)
        for each, verdict in ((perf, False), (plain, True)):
            decision = chosen(each)
            outcome = Outcome(success=verdict, outcome_id="last" if "id" in how else None)
            each.record("t", decision.model_id, outcome, decision)
            if each is perf and how == "outcome id":
                assert perf.record("t", decision.model_id, Outcome(success=True, outcome_id="last"), decision)
            elif each is perf and how == "many ids":
                assert other.record_many([("t", decision.model_id, Outcome(success=True, outcome_id="last"))]) == 1
            elif each is perf and how == "outcome id only":
                assert other.record("t", decision.model_id, Outcome(success=True, outcome_id="last"))
            elif each is perf:
                assert (other if "another" in how else perf).report(decision.decision_id, success=True)
        (corrected,), (expected,) = the_test(perf).contests, the_test(plain).contests
        old, new = state_of(corrected), state_of(expected)
        assert old[:4] == new[:4]
        assert old.logs == pytest.approx(new.logs)


def test_a_decided_test_stays_decided(tmp_path: Path) -> None:
    """A test that ended by the first verdicts is not reopened, whatever comes later."""
    with engine(tmp_path / "a.db", promote=False) as perf:
        decisions = []
        for _ in range(60):
            decision = chosen(perf)
            perf.record("t", decision.model_id, Outcome(success=decision.model_id == "b"), decision)
            decisions.append(decision)
        before = the_test(perf)
        assert before.contests[0].verdict == "challenger"
        for decision in decisions:
            perf.report(decision, success=decision.model_id == "a")
        assert the_test(perf) == before


def test_a_verdict_that_says_nothing_takes_its_outcome_out(tmp_path: Path) -> None:
    """An outcome that turns out to be an outage leaves the counts of a test, and may come back."""
    with engine(tmp_path / "a.db") as perf:
        decision = chosen(perf)
        first = Outcome(success=True, outcome_id="x")
        perf.record("t", decision.model_id, first, decision)
        outage = Outcome(success=False, error_kind="server_error", outcome_id="x")
        assert perf.record("t", decision.model_id, outage, decision)
        assert state_of(the_test(perf).contests[0]).outcomes == 0
        assert perf.record("t", decision.model_id, first, decision)
        assert state_of(the_test(perf).contests[0]).outcomes == 1


def _runs_to_verdict(generator: random.Random, rate: float, flips: float, outcomes: int) -> bool:
    """Return whether a test of two equal models, whose verdicts flip later at random, ever finds a winner."""
    test = StoredTest(
        task_type="t", fingerprint="", incumbent="a", share=0.5, salt="", alpha=0.05, min_samples=10,
        max_samples=None, promote=False, started_ms=0, contests=(StoredContest("b", ()),),
    )  # fmt: skip
    shares = {"a": 0.5, "b": 0.5}
    open_bets: list[tuple[dict[str, Stake], bool]] = []
    for _ in range(outcomes):
        side, success = generator.choice("ab"), generator.random() < rate
        draw = Draw(Assignment(1, None), side, shares)
        entry = Entry("t", side, Outcome(success=success), NOON_MS)
        contests = advanced(test, draw, entry)
        open_bets.append((dict(stakes_of(test, contests, draw, entry)), success))
        test = _with(test, contests)
        if generator.random() < flips:  # one of the last outcomes is judged again
            stakes, verdict = open_bets[-1 - generator.randrange(min(30, len(open_bets)))]
            contests, kept = exchanged(test, stakes, float(not verdict))
            stakes.update(kept)
            test = _with(test, contests)
        if any(standing(test, contest).winner for contest in test.contests):
            return True
    return False


def _with(test: StoredTest, contests: Any) -> StoredTest:
    # without the verdict, which would end the exchange: what counts is whether there ever is one
    return StoredTest(**{**{name: getattr(test, name) for name in test.__slots__}, "contests": tuple(contests)})


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "flips"), [(0.5, 0.3), (0.8, 0.3), (0.5, 1.0), (0.9, 1.0)])
def test_verdicts_that_flip_at_random_decide_nothing(rate: float, flips: float) -> None:
    """With flips that do not depend on the side, looked at after each, equal sides get a winner in 5 % at most."""
    generator = random.Random(f"{rate} {flips}")
    runs = 200
    wrong = sum(_runs_to_verdict(generator, rate, flips, 400) for _ in range(runs))
    assert wrong / runs <= 0.05


def test_an_exchange_is_exact() -> None:
    """Taking out a verdict and putting it in again gives back the state, up to rounding."""
    state = TwoSampleTest()
    for number in range(20):
        state = state.updated("AB"[number % 2], number % 3 == 0, 0.4)  # type: ignore[arg-type]
    before, stake_of = state, state.updated("B", 1.0, 0.4)
    stake = Stake(1.0, "B", 0.4, True, tuple(before.as_list()))
    test = StoredTest(
        task_type="t", fingerprint="", incumbent="a", share=0.4, salt="", alpha=0.05, min_samples=0,
        max_samples=None, promote=False, started_ms=0, contests=(StoredContest("b", tuple(stake_of.as_list())),),
    )  # fmt: skip
    there, stakes = exchanged(test, {"b": stake}, 0.25)
    (again,), _ = exchanged(_with(test, there), stakes, 1.0)
    assert state_of(again)[:4] == pytest.approx(stake_of[:4])
    assert state_of(again).logs == pytest.approx(stake_of.logs)
