"""Running A/B tests: which outcomes count, which sides stay, what a verdict does, and that all processes agree."""

from __future__ import annotations

import json
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.ab_tests import trials
from modelperf_plugin.engine import ab_tests
from modelperf_plugin.engine.ab_verdicts import in_words, level_of, state_of
from modelperf_plugin.errors import StoreBusyError, StoreFailedError
from modelperf_plugin.policy import ABTest
from modelperf_plugin.policy.sequential import TwoSampleTest
from modelperf_plugin.store import StoredTest
from tests.store.faults import held

MODELS = ["a", "b", "c"]
HALF: dict[str, Any] = {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0}
SURE = {"a": 0.3, "b": 1.0}
"""Rates that differ clearly."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each process reload the tests at once."""
    monkeypatch.setattr(ab_tests, "RELOAD_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store of a test is."""
    return tmp_path / "tests.db"


def opened(path: Path | str, seed: int | None = 1, **test: Any) -> mp.ModelPerf:
    """Return an engine whose exploration is an A/B test."""
    return mp.ModelPerf({"exploration": {**HALF, **test}}, store=path, seed=seed)


def chosen(perf: mp.ModelPerf, context: dict[str, Any] | None = None, models: list[str] | None = None) -> mp.Decision:
    """Return a decision."""
    decision = perf.select("t", models or MODELS, context)
    assert decision is not None
    return decision


def run(perf: mp.ModelPerf, count: int, rates: dict[str, float], seed: int = 0) -> Counter[str]:
    """Choose and record ``count`` times; return how often each model was chosen."""
    world = random.Random(seed)
    counted: Counter[str] = Counter()
    for _ in range(count):
        decision = chosen(perf)
        counted[decision.model_id] += 1
        perf.record("t", decision.model_id, mp.Outcome(success=world.random() < rates[decision.model_id]), decision)
    return counted


def only(perf: mp.ModelPerf) -> StoredTest:
    """Return the only test."""
    (test,) = perf.store.ab_tests.all()
    return test


def outcomes(perf: mp.ModelPerf) -> int:
    """Return how many outcomes the first challenger's contest has counted."""
    return state_of(only(perf).contests[0]).outcomes


def verdicts(perf: mp.ModelPerf) -> list[str | None]:
    """Return the verdict on each challenger."""
    return [contest.verdict for contest in only(perf).contests]


# What counts.


def test_the_evidence_is_that_of_the_outcomes_with_the_shares_that_the_sides_had(path: Path) -> None:
    """The state is what TwoSampleTest makes of the same outcomes, with the true probability of the challenger."""
    with opened(path, share=0.3) as perf:
        expected = TwoSampleTest()
        for number in range(60):
            decision = chosen(perf)
            perf.record("t", decision.model_id, mp.Outcome(success=number % 3 > 0), decision)
            expected = expected.updated("B" if decision.model_id == "b" else "A", number % 3 > 0, 0.3)
        (contest,) = only(perf).contests
        state = state_of(contest)
        assert state[:4] == expected[:4]
        assert state.logs == pytest.approx(expected.logs)


def test_a_missing_challenger_changes_the_shares_of_the_others(path: Path) -> None:
    """The incumbent gets the share of an excluded side, and the other contest learns with the new shares."""
    with opened(path, challenger=["b", "c"], share=0.4) as perf:
        expected = TwoSampleTest()
        chosen(perf)
        for number in range(40):
            decision = chosen(perf, {"exclude": ["c"]})
            assert decision.propensities == {"a": 0.8, "b": 0.2}
            perf.record("t", decision.model_id, mp.Outcome(success=number % 4 > 0), decision)
            expected = expected.updated("B" if decision.model_id == "b" else "A", number % 4 > 0, 0.2)
        one, other = only(perf).contests
        assert state_of(one).logs == pytest.approx(expected.logs)
        assert state_of(other) == TwoSampleTest()


@pytest.mark.parametrize("hand_back", [lambda decision: decision, lambda decision: decision.decision_id])
def test_a_decision_counts_by_itself_or_by_its_id_once(path: Path, hand_back: Any) -> None:
    """Either way its outcome is counted, and a second outcome of the same decision is not."""
    with opened(path) as perf:
        decision = chosen(perf)
        for _ in range(2):
            perf.record("t", decision.model_id, mp.Outcome(success=True), hand_back(decision))
        assert outcomes(perf) == 1


@pytest.mark.parametrize(
    ("context", "outcome", "counted"),
    [
        (None, mp.Outcome(success=False), 1),
        (None, mp.Outcome(success=False, timeout=True), 1),
        (None, mp.Outcome(success=False, error_kind="other"), 1),
        (None, mp.Outcome(success=True, error_kind="network"), 1),
        (None, mp.Outcome(success=False, error_kind="rate_limit"), 0),
        (None, mp.Outcome(success=False, error_kind="cancelled"), 0),
        ({"pin": "b"}, mp.Outcome(success=True), 0),
        ({"exclude": ["b"]}, mp.Outcome(success=True), 0),
        ({"exclude": ["a"]}, mp.Outcome(success=True), 0),
    ],
)
def test_what_counts(path: Path, context: dict[str, Any] | None, outcome: mp.Outcome, counted: int) -> None:
    """Outcomes count if the choice was left to the test and they are informative about the model."""
    with opened(path) as perf:
        chosen(perf)
        decision = chosen(perf, context)
        perf.record("t", decision.model_id, outcome, decision)
        assert outcomes(perf) == counted
        assert (decision.assignment is not None) == (context is None)


@pytest.mark.parametrize("timeouts", ["failure", "outage", "ignore"])
def test_timeouts_count_as_configured(path: Path, timeouts: str) -> None:
    """A failed timeout counts only if it is configured as a failure; a successful one is a success."""
    with mp.ModelPerf({"exploration": HALF, "quality": {"timeouts": timeouts}}, store=path) as perf:
        for success in (False, True):
            decision = chosen(perf)
            perf.record("t", decision.model_id, mp.Outcome(success=success, timeout=True), decision)
        assert outcomes(perf) == (2 if timeouts == "failure" else 1)


def test_outcomes_that_were_not_drawn_do_not_count(path: Path) -> None:
    """An outcome without a decision, of a fallback, with a repeated id or of another task type does not count."""
    with opened(path) as perf:
        decision = chosen(perf)
        perf.record("t", decision.model_id, mp.Outcome(success=True))
        perf.record("t", decision[1], mp.Outcome(success=True), decision)
        perf.record("t", decision.model_id, mp.Outcome(success=True, outcome_id="x"), None)
        perf.record("t", decision.model_id, mp.Outcome(success=True, outcome_id="x"), decision)
        perf.record("u", decision.model_id, mp.Outcome(success=True))
        assert outcomes(perf) == 0
        perf.record("t", decision.model_id, mp.Outcome(success=True), decision)
        assert outcomes(perf) == 1


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("by_id", [True, False])
def test_only_first_tries_count(path: Path, failed: bool, by_id: bool) -> None:
    """Once a fallback has failed on the task, the chosen model's outcome says something else; an outage is no try."""
    with opened(path) as perf:
        decision = chosen(perf)
        named = decision.decision_id if by_id else decision
        fallback = mp.Outcome(success=False, error_kind=None if failed else "network")
        perf.record("t", decision[1], fallback, named)
        perf.record("t", decision.model_id, mp.Outcome(success=True), named)
        assert outcomes(perf) == (0 if failed else 1)


@pytest.mark.parametrize("failed", [True, False])
def test_only_first_tries_of_other_processes_count(path: Path, failed: bool) -> None:
    """The same for outcomes that wait for the decision: whoever joins them looks at all of them."""
    with opened(path) as perf:
        decision = chosen(perf)
        with mp.ModelPerf({}, store=path) as worker:
            fallback = mp.Outcome(success=False, error_kind=None if failed else "network")
            worker.record("t", decision[1], fallback, decision.decision_id)
            worker.record("t", decision.model_id, mp.Outcome(success=True), decision.decision_id)
        perf._decision_writer.close()
        assert outcomes(perf) == (0 if failed else 1)


def test_a_retry_is_not_part_of_a_test(path: Path) -> None:
    """It takes the best of the models that are left; its outcome does not count, nor does it begin a test."""
    with opened(path, share=0.9) as perf:
        unknown = chosen(perf, {"retry_of": "0" * 20})
        assert unknown.assignment is None
        assert perf.store.ab_tests.all() == []
        decision = chosen(perf)
        perf.record("t", decision.model_id, mp.Outcome(success=False), decision)
        for _ in range(20):
            retry = chosen(perf, {"retry_of": decision})
            assert retry.assignment is None
            assert retry.propensities["c"] in {0.0, 0.5, 1.0}
            assert retry.policy_id == decision.policy_id
            perf.record("t", retry.model_id, mp.Outcome(success=True), retry)
        assert outcomes(perf) == 1


def test_a_retry_goes_to_the_winner_of_a_test_that_is_over(path: Path) -> None:
    """A promoted challenger gets the tasks that others have failed, too, unless it is the one that failed."""
    with opened(path, promote=True) as perf:
        run(perf, 400, SURE)
        assert verdicts(perf) == ["challenger"]
        earlier = chosen(perf)
        assert earlier.model_id == "b"
        assert chosen(perf, {"retry_of": earlier}).model_id == "b"
        perf.record("t", "b", mp.Outcome(success=False), earlier)
        assert "b" not in chosen(perf, {"retry_of": earlier})


def test_an_outage_does_not_use_up_the_decision(path: Path) -> None:
    """After an outage the same decision can still get the outcome that counts."""
    with opened(path) as perf:
        decision = chosen(perf)
        perf.record("t", decision.model_id, mp.Outcome(success=False, error_kind="network"), decision.decision_id)
        perf.record("t", decision.model_id, mp.Outcome(success=True), decision.decision_id)
        assert outcomes(perf) == 1


def test_only_the_first_outcome_of_a_unit_counts(path: Path) -> None:
    """A unit always gets the same side, so its later outcomes are not evidence."""
    with opened(path) as perf:
        for unit in ("x", "y", "x", "x", "y", "z"):
            decision = chosen(perf, {"unit_id": unit})
            perf.record("t", decision.model_id, mp.Outcome(success=True), decision)
        assert outcomes(perf) == 3
    connection = sqlite3.connect(path)
    kept = connection.execute("SELECT count(*), min(typeof(unit)) FROM ab_unit").fetchone()
    connection.close()
    assert kept == (3, "integer")


def test_observing_and_explaining_begin_no_test(path: Path) -> None:
    """Only decisions that hosts get begin a test."""
    with mp.ModelPerf({"mode": "observe", "exploration": HALF}, store=path) as perf:
        assert perf.select("t", MODELS) is None
        assert perf.explain("t", MODELS) is not None
        assert perf.store.ab_tests.all() == []
    with opened(path) as perf:
        explained = perf.explain("t", MODELS)
        assert explained is not None
        assert explained.assignment is None
        assert perf.store.ab_tests.all() == []


# Sides that are not named.


def test_unnamed_sides_stay(path: Path) -> None:
    """Best-ranked against fewest outcomes when it begins; neither turns with the ranking, a restart or the process."""
    config = {"exploration": {"strategy": "ab_test", "share": 0.5}, "demotion": {"strategy": "never"}}
    with mp.ModelPerf(config, store=path, seed=1) as perf:
        for model_id, successes, failures in (("good", 9, 1), ("fair", 6, 4), ("rare", 1, 1)):
            for number in range(successes + failures):
                perf.record("t", model_id, mp.Outcome(success=number < successes))
        models = ["rare", "fair", "good"]
        assert chosen(perf, models=models).propensities == {"good": 0.5, "rare": 0.5, "fair": 0.0}
        for _ in range(100):
            perf.record("t", "fair", mp.Outcome(success=True))
            perf.record("t", "good", mp.Outcome(success=False))
            perf.record("t", "rare", mp.Outcome(success=False))
        assert chosen(perf, models=models).ranking[0].model_id == "fair"
        with mp.ModelPerf(config, store=path, seed=2) as other:
            for each in (perf, other):
                assert chosen(each, models=models).propensities == {"good": 0.5, "rare": 0.5, "fair": 0.0}
            explained = other.explain("t", models)
            assert explained is not None
            assert explained.propensities == {"good": 0.5, "rare": 0.5, "fair": 0.0}
    with mp.ModelPerf(config, store=path, seed=3) as perf:
        assert chosen(perf, models=models).propensities == {"good": 0.5, "rare": 0.5, "fair": 0.0}
        without = chosen(perf, {"exclude": ["good"]}, models)
        assert without.propensities == {"fair": 1.0, "rare": 0.0}, "nobody named the challenger: the best stands in"


def test_a_second_try_does_not_begin_a_test(path: Path) -> None:
    """Where the host excludes a model or insists on one, the sides that are not named cannot be told yet."""
    with mp.ModelPerf({"exploration": {"strategy": "ab_test"}}, store=path) as perf:
        for context in ({"exclude": ["a"]}, {"pin": "b"}):
            chosen(perf, context)
            assert perf.store.ab_tests.all() == []
        chosen(perf)
        assert only(perf).incumbent == "a"


def test_another_configuration_is_another_test(path: Path) -> None:
    """Sides, share and salt make a test; going back to the first configuration goes on with the first test."""
    for salt, count in (("x", 10), ("y", 4), ("x", 5)):
        with opened(path, salt=salt) as perf:
            run(perf, count, {"a": 1.0, "b": 1.0})
    with opened(path) as perf:
        counted = {test.salt: state_of(test.contests[0]).outcomes for test in perf.store.ab_tests.all()}
        assert counted == {"x": 15, "y": 4}


def counted(perf: mp.ModelPerf) -> dict[str, int]:
    """Return how many outcomes the contest of each challenger of the only test has counted."""
    return {contest.challenger: state_of(contest).outcomes for contest in only(perf).contests}


EQUAL = {"a": 0.8, "b": 0.8, "c": 0.8, "d": 0.8}


def test_challengers_join_leave_and_return_with_their_evidence(path: Path) -> None:
    """Neither another order, nor another list or share begins another test: the contests go on."""
    with opened(path, challenger=["b", "c"]) as perf:
        run(perf, 100, EQUAL)
        before = counted(perf)
    with opened(path, challenger=["c", "b"]) as perf:
        run(perf, 1, EQUAL)
        assert only(perf).contests[0].calibrate_from == 0, "nothing has changed"
        before = counted(perf)
    with opened(path, challenger=["b"], share=0.4) as perf:
        chosen(perf)
        run(perf, 50, EQUAL)
        after = counted(perf)
        assert after == {"b": before["b"] + 50, "c": before["c"]}
        assert only(perf).contests[0].calibrate_from == before["b"]
        assert only(perf).share == 0.4
    with opened(path, challenger=["c", "d", "b"]) as perf:
        chosen(perf, models=["a", "b", "c", "d"])
        assert counted(perf) == {**after, "d": 0}
        assert [contest.share for contest in only(perf).contests] == [pytest.approx(0.5 / 3)] * 3


def test_a_change_of_the_shares_calibrates_again(path: Path) -> None:
    """The first outcomes that come after it are those of quick tasks, as when the test began."""
    with opened(path, share=0.3, min_samples=30) as perf:
        run(perf, 60, EQUAL)
    with opened(path, share=0.6, min_samples=30) as perf:
        chosen(perf)
        before = state_of(only(perf).contests[0])
        run(perf, 30, EQUAL)
        assert state_of(only(perf).contests[0]).logs == before.logs
        run(perf, 5, EQUAL)
        assert state_of(only(perf).contests[0]).logs != before.logs


def test_a_withdrawn_winner_does_not_stop_the_others(path: Path) -> None:
    """With promotion, a contest that is not configured any more decides nothing."""
    with opened(path, challenger=["b", "c"], promote=True) as perf:
        run(perf, 200, {"a": 0.3, "b": 1.0, "c": 0.3})
        assert verdicts(perf) == ["challenger", None]
    with opened(path, challenger="c", promote=True) as perf:
        before = counted(perf)
        run(perf, 20, EQUAL)
        assert counted(perf) == {"b": before["b"], "c": before["c"] + 20}


def test_a_unit_counts_in_a_contest_that_begins_later(path: Path) -> None:
    """Of units that are known, too, a challenger that joins gets evidence; the others count none of them twice."""
    units = [f"u{number}" for number in range(100)]
    for challengers in (["b"], ["b", "c"]):
        with opened(path, challenger=challengers) as perf:
            for unit in units:
                decision = chosen(perf, {"unit_id": unit})
                perf.record("t", decision.model_id, mp.Outcome(success=True), decision)
    with opened(path) as perf:
        first, second = only(perf).contests
        assert state_of(first).outcomes == 100
        assert state_of(second).outcomes_a == state_of(first).outcomes_a
        assert 0 < state_of(second).outcomes_b < state_of(first).outcomes_b


def test_naming_the_sides_that_were_found_keeps_the_evidence(path: Path) -> None:
    """The configuration is another one, but the contest is the same."""
    config = {"exploration": {"strategy": "ab_test", "share": 0.5}, "demotion": {"strategy": "never"}}
    with mp.ModelPerf(config, store=path, seed=1) as perf:
        run(perf, 50, EQUAL)
        found = only(perf)
    with opened(path, incumbent=found.incumbent, challenger=found.contests[0].challenger) as perf:
        chosen(perf)
        newest = perf.store.ab_tests.all()[0]
        assert newest.test_id != found.test_id
        assert state_of(newest.contests[0]) == state_of(found.contests[0])


def test_an_incumbent_that_was_found_may_become_a_challenger(path: Path) -> None:
    """That is another test, with another incumbent."""
    with opened(path, incumbent=None, challenger="c") as perf:
        chosen(perf)
        found = only(perf).incumbent
    with opened(path, incumbent=None, challenger=["c", found]) as perf:
        decision = chosen(perf)
        assert decision.assignment is not None
        assert only(perf).incumbent not in {"c", found}


def test_a_test_of_an_earlier_version_continues(path: Path) -> None:
    """Where the list, its order and the share were part of the fingerprint: same evidence, under the one of today."""
    test = ABTest(incumbent="a", challenger=("c", "b"), share=0.5, min_samples=0)
    with opened(path, challenger=["c", "b"]) as perf:
        run(perf, 50, EQUAL)
        before = only(perf)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ab_test SET fingerprint = ?", (test.earlier_fingerprint,))
    connection.commit()
    connection.close()
    with opened(path, challenger=["c", "b"]) as perf:
        chosen(perf)
        assert only(perf) == before
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ab_test SET fingerprint = ?", (test.earlier_fingerprint,))
    connection.commit()
    connection.close()
    with opened(path, challenger=["b"]) as perf:
        chosen(perf)
        newest, earlier = perf.store.ab_tests.all()
        assert earlier.test_id == before.test_id
        assert state_of(newest.contests[0]) == state_of(before.contests[1])


def test_the_same_sides_for_a_unit_in_every_process(path: Path) -> None:
    """Sticky over restarts, and whoever else is offered."""
    sides = []
    for seed, models in ((1, ["a", "b", "c"]), (2, ["c", "b", "a"]), (3, ["b", "a"])):
        with opened(path, seed=seed) as perf:
            sides.append([chosen(perf, {"unit_id": f"u{number}"}, models).model_id for number in range(50)])
    assert sides[0] == sides[1] == sides[2]
    assert set(sides[0]) == {"a", "b"}


# Verdicts.


def test_without_promotion_the_split_goes_on(path: Path) -> None:
    """The verdict is there, in words too, stays whatever comes later, and changes no decision."""
    with opened(path) as perf:
        run(perf, 150, SURE)
        assert verdicts(perf) == ["challenger"]
        decided = only(perf).contests[0].decided_ms
        assert "b is better: 1.000 against 0." in in_words(only(perf), only(perf).contests[0])
        assert chosen(perf).propensities == {"a": 0.5, "b": 0.5, "c": 0.0}
        run(perf, 600, {"a": 1.0, "b": 0.0})
        assert verdicts(perf) == ["challenger"]
        assert only(perf).contests[0].decided_ms == decided
        assert outcomes(perf) == 750


def test_a_promoted_challenger_gets_all(path: Path) -> None:
    """Once it has won, in this process and in one that has run all the time."""
    with opened(path, promote=True) as perf, opened(path, seed=2, promote=True) as other:
        assert chosen(other).propensities["a"] == 0.5
        run(perf, 150, SURE)
        for each in (perf, other):
            decision = chosen(each, {"unit_id": "x"})
            assert decision.propensities == {"a": 0.0, "b": 1.0, "c": 0.0}
            assert decision.reason.startswith("won the A/B test against a; ")
            assert decision.assignment is None
        assert chosen(perf, {"exclude": ["b"]}).reason.startswith(
            "won the A/B test against a, but b is not available; "
        )
        assert chosen(perf, {"pin": "c"}).model_id == "c"


def test_what_was_under_way_does_not_turn_a_promotion(path: Path) -> None:
    """Outcomes that come after the verdict, of decisions from before, make no second winner."""
    with opened(path, challenger=["b", "c"], share=0.6, promote=True) as perf:
        late = [chosen(perf) for _ in range(400)]
        run(perf, 200, {"a": 0.2, "b": 0.95, "c": 0.2})
        assert verdicts(perf) == ["challenger", None]
        for decision in late:
            perf.record("t", decision.model_id, mp.Outcome(success=decision.model_id != "a"), decision)
        assert verdicts(perf) == ["challenger", None]
        assert chosen(perf).model_id == "b"


def test_promotion_may_be_decided_after_the_verdict(path: Path) -> None:
    """Setting ``promote`` later acts on the verdict that is there; it is the same test."""
    with opened(path) as perf:
        run(perf, 150, SURE)
        counted = outcomes(perf)
    with opened(path, promote=True) as perf:
        decision = chosen(perf)
        assert decision.reason.startswith("won the A/B test against a; ")
        assert decision.propensities["b"] >= 0.98, "all but the probes of a, which is demoted by now"
        assert outcomes(perf) == counted


def test_an_incumbent_that_wins_gets_all(path: Path) -> None:
    """With promotion, a beaten challenger gets no more decisions."""
    with opened(path, promote=True) as perf:
        run(perf, 150, {"a": 1.0, "b": 0.3})
        assert verdicts(perf) == ["incumbent"]
        assert chosen(perf).propensities == {"a": 1.0, "b": 0.0, "c": 0.0}
        assert chosen(perf).reason.startswith("won the A/B test; ")


def test_a_beaten_challenger_leaves_the_others_on_trial(path: Path) -> None:
    """Its part goes to the incumbent, and no unit of another challenger changes its side."""
    with opened(path, challenger=["b", "c"], share=0.6, promote=True) as perf:
        units = [f"u{number}" for number in range(200)]
        before = {unit: chosen(perf, {"unit_id": unit}).model_id for unit in units}
        run(perf, 200, {"a": 0.95, "b": 0.05, "c": 0.95})
        assert verdicts(perf) == ["incumbent", None]
        assert chosen(perf).propensities == pytest.approx({"a": 0.7, "b": 0.0, "c": 0.3})
        after = {unit: chosen(perf, {"unit_id": unit}).model_id for unit in units}
        assert after == {unit: "a" if side == "b" else side for unit, side in before.items()}


def test_the_level_holds_for_all_challengers_together(path: Path) -> None:
    """With two challengers each must reach 2/alpha."""
    with opened(path, challenger=["b", "c"], alpha=0.1) as perf:
        run(perf, 1, {"a": 1.0, "b": 1.0, "c": 1.0})
        assert level_of(only(perf)) == pytest.approx(20)


def test_the_first_outcomes_only_teach_the_rates(path: Path) -> None:
    """The first ``min_samples`` outcomes are not evidence, however clear; then a few are enough."""
    with opened(path, min_samples=200) as perf:
        run(perf, 200, SURE)
        (contest,) = only(perf).contests
        assert (state_of(contest).outcomes, state_of(contest).e_value, contest.verdict) == (200, 1.0, None)
        assert in_words(only(perf), contest).startswith("inconclusive, about ")
        run(perf, 30, SURE)
        assert verdicts(perf) == ["challenger"]


def test_after_the_maximum_the_incumbent_gets_all(path: Path) -> None:
    """The verdict says so; with a larger maximum the test resumes with its state."""
    fair = {"a": 1.0, "b": 1.0}
    with opened(path, max_samples=50) as perf:
        run(perf, 50, fair)
        assert verdicts(perf) == ["none"]
        decision = chosen(perf)
        assert decision.propensities == {"a": 1.0, "b": 0.0, "c": 0.0}
        assert decision.reason.startswith("the A/B test is over without a winner; ")
        assert in_words(only(perf), only(perf).contests[0]) == "no winner within 50 outcomes; a stays"
        run(perf, 5, fair)
        assert outcomes(perf) == 50
    with opened(path, max_samples=60) as perf:
        run(perf, 20, fair)
        assert outcomes(perf) == 60
        assert verdicts(perf) == ["none"]
    with opened(path) as perf:
        assert chosen(perf).assignment is not None
        assert verdicts(perf) == [None]


def test_a_winner_stays_after_the_maximum(path: Path) -> None:
    """The maximum ends only contests without a verdict."""
    with opened(path, max_samples=160) as perf:
        run(perf, 170, SURE)
        assert verdicts(perf) == ["challenger"]
        assert chosen(perf).propensities == {"a": 0.5, "b": 0.5, "c": 0.0}


# Lost outcomes.


def run_with_losses(
    perf: mp.ModelPerf, count: int, rates: dict[str, float], lost: dict[tuple[str, bool], float], seed: int = 0
) -> None:
    """Choose and record, but report no outcome of a share of the tasks, by model and success."""
    world = random.Random(seed)
    for _ in range(count):
        decision = chosen(perf)
        success = world.random() < rates[decision.model_id]
        if world.random() >= lost.get((decision.model_id, success), 0.0):
            perf.record("t", decision.model_id, mp.Outcome(success=success), decision)


def withheld(perf: mp.ModelPerf) -> bool:
    """Return whether the views say that the verdict is withheld."""
    perf._decision_writer.flush()
    return trials(perf)[0].withheld


def test_no_verdict_while_one_side_loses_outcomes(path: Path) -> None:
    """A model that seems better because its failures are not reported does not win, and it is said why."""
    with opened(path, min_samples=100, promote=True) as perf:
        run_with_losses(perf, 600, {"a": 0.5, "b": 0.5}, {("b", False): 0.8})
        assert verdicts(perf) == [None]
        assert withheld(perf)
        (trial,) = trials(perf)
        reported, reported_b = trial.reported
        assert reported == 1.0
        assert reported_b is not None
        assert reported_b < 0.75
        assert trial.state == "withheld, outcomes are missing on one side"
        assert trial.verdict.startswith("no verdict: 100.0 % of the decisions for a have an outcome, but ")
        assert "modelperf reset test t" in trial.verdict


def test_equal_losses_do_not_withhold(path: Path) -> None:
    """Where half of all outcomes are lost, whichever the side and the result, the verdict comes."""
    lost = dict.fromkeys([(side, success) for side in "ab" for success in (True, False)], 0.5)
    with opened(path) as perf:
        run_with_losses(perf, 600, SURE, lost)
        assert verdicts(perf) == ["challenger"]
        assert not withheld(perf)


def test_no_outcomes_are_no_mismatch(path: Path) -> None:
    """A host that reports nothing with its decisions gets no verdict, and is told nothing wrong."""
    with opened(path) as perf:
        for _ in range(100):
            chosen(perf)
        assert not withheld(perf)
        assert trials(perf)[0].reported == (None, None)


def test_a_verdict_waits_for_outcomes_that_could_change_it(path: Path) -> None:
    """Before a loss is certain: if the outcomes that one side lacks could turn the verdict, it comes with them."""
    with opened(path) as perf:
        decisions = [chosen(perf) for _ in range(60)]
        late = [decision for decision in decisions if decision.model_id == "b"][:10]
        successes = {"a": 0, "b": 0}
        for decision in decisions:
            if decision not in late:
                successes[decision.model_id] += 1
                success = decision.model_id == "b" or successes["a"] % 5 < 2
                perf.record("t", decision.model_id, mp.Outcome(success=success), decision)
        assert verdicts(perf) == [None]
        assert "no verdict yet: b lacks 10 outcomes more than chance explains" in trials(perf)[0].verdict
        for decision in late:
            perf.record("t", "b", mp.Outcome(success=True), decision)
        assert verdicts(perf) == ["challenger"]


# Beside the rest of the policy.


def demote(perf: mp.ModelPerf, model_id: str) -> None:
    """Demote a model by evidence, as a watch would."""
    perf.record("t", model_id, mp.Outcome(success=False))
    assert perf.store.demotions.add("t", model_id, 1, 0.5, 30.0, "surely below 0.5")
    perf._monitor._reload()


def test_sides_are_not_demoted_while_the_test_runs(path: Path) -> None:
    """Other models are demoted and probed; once the test is over, the demotion of a side applies again."""
    with opened(path, promote=True) as perf:
        run(perf, 2, SURE)
        for model_id in ("b", "c"):
            demote(perf, model_id)
        decision = chosen(perf)
        assert [row.status for row in decision.ranking].count("demoted") == 1
        assert decision.propensities == pytest.approx({"a": 0.49, "b": 0.49, "c": 0.02})
        assert chosen(perf, {"unit_id": "x"}).propensities["c"] == 0.0
        run(perf, 150, {"a": 1.0, "b": 0.2, "c": 0.2})
        assert verdicts(perf) == ["incumbent"]
        assert chosen(perf).ranking.of("b").status == "demoted"


def test_a_probe_is_not_part_of_the_test(path: Path) -> None:
    """A demoted model that is probed is on neither side."""
    with opened(path) as perf:
        run(perf, 2, SURE)
        demote(perf, "c")
        decisions = [chosen(perf) for _ in range(300)]
        assert {decision.assignment is None for decision in decisions if decision.model_id == "c"} == {True}
        assert {decision.assignment is None for decision in decisions if decision.model_id != "c"} == {False}


def test_a_budget_is_kept(path: Path) -> None:
    """A side that costs too much is not in the test for that task."""
    with opened(path) as perf:
        perf.record("t", "b", mp.Outcome(success=True, cost_usd=1.0))
        decision = chosen(perf, {"max_cost_usd": 0.1})
        assert decision.propensities == {"a": 1.0, "c": 0.0}
        assert decision.assignment is None


# Reset.


def test_a_reset_starts_over_in_every_process(path: Path) -> None:
    """The old test stays in the store; it and outcomes of earlier decisions no longer count."""
    with opened(path) as perf, opened(path, seed=2) as other:
        run(perf, 20, SURE)
        before = chosen(perf), chosen(other)
        assert perf.store.ab_tests.end("t", 1) == 1
        for engine, decision in zip((perf, other), before, strict=True):
            engine.record("t", decision.model_id, mp.Outcome(success=True), decision)
        assert perf.store.ab_tests.all() == []
        run(other, 3, SURE)
        run(perf, 4, SURE)
        assert outcomes(perf) == 7
        assert len(perf.store.ab_tests.all(ended=True)) == 2


# Other processes, and failures.


def test_a_decision_of_another_process_counts(path: Path) -> None:
    """A process that has no test configured gets a pickled decision; what it records counts at once."""
    with opened(path) as perf, mp.ModelPerf({}, store=path) as worker:
        decision = pickle.loads(pickle.dumps(chosen(perf)))  # noqa: S301 - it was pickled here
        worker.record("t", decision.model_id, mp.Outcome(success=True), decision)
        assert outcomes(perf) == 1


def test_a_decision_of_another_process_counts_by_its_id(path: Path) -> None:
    """The outcome waits in the store for the decision, and counts once when that is written."""
    with opened(path) as perf:
        decisions = [chosen(perf) for _ in range(3)]
        decisions.append(chosen(perf, {"pin": "a"}))
        with mp.ModelPerf({}, store=path) as worker:
            for decision in decisions:
                worker.record("t", decision.model_id, mp.Outcome(success=True), decision.decision_id)
            worker.record("t", "a", mp.Outcome(success=True), "made-by-nobody")
            assert outcomes(perf) == 0
        perf._decision_writer.close()
        assert outcomes(perf) == 3


def test_an_id_counts_at_once_if_its_decision_is_in_the_log(path: Path) -> None:
    """The process that reports the outcome counts it, once."""
    with opened(path) as perf, mp.ModelPerf({}, store=path) as worker:
        decision = chosen(perf)
        perf._decision_writer.close()
        time.sleep(ab_tests.FRESH_SECONDS)
        for decision_id in (decision.decision_id, "unknown", decision.decision_id):
            worker.record("t", decision.model_id, mp.Outcome(success=True), decision_id)
        assert outcomes(perf) == 1
        assert not worker._ab_tests._unknown


def test_ids_are_looked_up_only_where_a_test_is_live(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are not looked up for a test that has counted nothing for a day."""
    with opened(path) as perf:
        decision = chosen(perf)
        monkeypatch.setattr(ab_tests, "IDLE_MS", -10_000)
        with mp.ModelPerf({}, store=path) as worker:
            worker.record("t", decision.model_id, mp.Outcome(success=True), decision.decision_id)
            assert not worker._ab_tests._unknown
        assert outcomes(perf) == 0


def test_a_busy_store_delays_a_step_and_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is recorded; its step in the test follows as soon as the store answers."""
    with opened(path) as perf:
        decision = chosen(perf)
        advance = perf.store.ab_tests.advance

        def busy(*_: Any) -> None:
            raise StoreBusyError("busy")

        monkeypatch.setattr(perf.store.ab_tests, "advance", busy)
        assert perf.record("t", decision.model_id, mp.Outcome(success=True), decision)
        assert outcomes(perf) == 0
        with pytest.raises(StoreBusyError):
            perf._ab_tests.catch_up()
        monkeypatch.setattr(perf.store.ab_tests, "advance", advance)
        perf._ab_tests.catch_up()
        assert outcomes(perf) == 1


def test_a_test_that_cannot_begin_is_reported_and_begins_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are split all the same, but are not part of a test; not every decision retries."""
    reported: list[Exception] = []
    with mp.ModelPerf({"exploration": HALF}, store=path, on_background_error=reported.append) as perf:
        begin = perf.store.ab_tests.begin

        def fail(_: StoredTest, **__: Any) -> StoredTest:
            raise StoreFailedError("the disk is full")

        monkeypatch.setattr(perf.store.ab_tests, "begin", fail)
        for _ in range(3):
            decision = chosen(perf)
            assert decision.propensities == {"a": 0.5, "b": 0.5, "c": 0.0}
            assert decision.assignment is None
        assert len(reported) == 1
        monkeypatch.setattr(perf.store.ab_tests, "begin", begin)
        perf._ab_tests._begin_at = 0.0
        assert chosen(perf).assignment is not None


def test_a_test_that_cannot_begin_because_others_write_begins_with_the_next_choice(path: Path) -> None:
    """That is no failure and nothing is reported: the decision is split all the same, and is not part of the test."""
    reported: list[Exception] = []
    with mp.ModelPerf({"exploration": HALF}, store=path, on_background_error=reported.append) as perf:
        with held(path):
            decision = chosen(perf)
        assert decision.propensities == {"a": 0.5, "b": 0.5, "c": 0.0}
        assert decision.assignment is None
        assert chosen(perf).assignment is not None
    assert reported == []


def test_a_state_of_another_version_starts_over(path: Path) -> None:
    """A state that cannot be read is replaced by an empty one."""
    with opened(path) as perf:
        run(perf, 5, SURE)
        test = only(perf)
        perf.store.ab_tests.advance(test.test_id, None, lambda test: [test.contests[0]._replace(state=(1.0, 2.0))])
        run(perf, 3, SURE)
        assert outcomes(perf) == 3


HOST = """
import random, sys
import modelperf_plugin as mp

path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
test = {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.3}
world = random.Random(seed)
perf = mp.ModelPerf({"exploration": test}, store=path, seed=seed)
number = drawn = 0
while number < count or not count:
    decision = perf.select("t", ["a", "b", "c"])
    drawn += decision.assignment is not None
    outcome = mp.Outcome(success=world.random() < 0.8)
    perf.record("t", decision.model_id, outcome, [decision, decision.decision_id][number % 2])
    number += 1
    if number == 1:
        print("ready", flush=True)
perf.close()
print(drawn)
"""


def started(path: Path, seed: int, count: int = 0) -> subprocess.Popen[str]:
    """Return a host in a process of its own, which runs a test for ``count`` tasks, or for ever."""
    command = [sys.executable, "-W", "error", "-c", HOST, str(path), str(seed), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")


def in_the_file(path: Path) -> tuple[int, int]:
    """Return how many outcomes there are, and how many of them the test has counted."""
    connection = sqlite3.connect(path)
    try:
        (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
        ((state,),) = connection.execute("SELECT state FROM ab_challenger").fetchall()
    finally:
        connection.close()
    counts = json.loads(state)
    return events, counts[0] + counts[2]


def test_two_processes_lose_nothing(path: Path) -> None:
    """Two hosts begin at the same moment and record 300 outcomes each: one test, which has counted all that it drew.

    A choice of one host while the other one begins the test belongs to no test: it does not wait.
    """
    hosts = [started(path, seed, 300) for seed in (1, 2)]
    drawn = 0
    for host in hosts:
        drawn += int(host.communicate(timeout=120)[0].split()[-1])
        assert host.returncode == 0
    assert in_the_file(path) == (600, drawn)
    assert drawn > 550


def test_threads_lose_nothing(path: Path) -> None:
    """Eight threads of one host, by decision and by id: every outcome is counted once."""
    with opened(path) as perf:
        chosen(perf)  # the test has begun: what other threads choose while one begins it belongs to no test
        threads = [threading.Thread(target=work_in_turns, args=(perf, 50)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes(perf) == 400


def work_in_turns(perf: mp.ModelPerf, count: int) -> None:
    """Choose and record, handing back the decision and its id in turn."""
    for number in range(count):
        decision = chosen(perf)
        handed_back = decision if number % 2 else decision.decision_id
        perf.record("t", decision.model_id, mp.Outcome(success=number % 3 > 0), handed_back)


@pytest.fixture
def killed(path: Path) -> int:
    """Kill hosts at random moments; return how many."""
    rounds = 5
    for seed in range(rounds):
        with started(path, seed) as host:
            assert host.stdout is not None
            host.stdout.readline()
            time.sleep(random.uniform(0, 0.2))
            host.kill()
    return rounds


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_a_kill_loses_no_more_than_one_step(path: Path, killed: int) -> None:
    """The file opens, and the test resumes; it lacks no more than the outcome that was being recorded."""
    recorded, counted = in_the_file(path)
    assert killed <= counted <= recorded <= counted + killed
    with opened(path, share=0.3) as perf:
        run(perf, 3, SURE)
        assert outcomes(perf) == counted + 3
