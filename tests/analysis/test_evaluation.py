"""Judging policies by the record of decisions of a real store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis import Candidate, Judge, evaluate, read_log
from modelperf_plugin.analysis.off_policy.evaluation import best_single
from modelperf_plugin.analysis.off_policy.replay_log import replay_log
from modelperf_plugin.analysis.off_policy.store_as_of import StoreAsOf
from modelperf_plugin.analysis.off_policy.targets import Configured, constant, per_task_type, uniform
from modelperf_plugin.config import load
from modelperf_plugin.errors import InvalidValueError

RATES = {"plan": {"a": 0.9, "b": 0.5, "c": 0.3}, "code": {"a": 0.6, "b": 0.7, "c": 0.3}}
MODELS = ("a", "b", "c")
SHARE = {"exploration": {"evaluation_share": 0.2, "floor": 0.01}}
UNIFORM = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}, "demotion": {"strategy": "never"}}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def live(
    path: str, config: dict[str, Any], count: int = 600, candidates: tuple[str, ...] = MODELS, *, seed: int = 0
) -> None:
    """Let a policy decide ``count`` tasks; a minute passes with each."""
    clock, rng = Clock(), Random(seed)
    with mp.ModelPerf(config, store=path, clock=clock, seed=seed) as engine:
        for _ in range(count):
            task_type = rng.choice(sorted(RATES))
            decision = engine.select(task_type, candidates)
            assert decision is not None
            success = rng.random() < RATES[task_type][decision.model_id]
            clock.now += timedelta(seconds=30)
            engine.record(task_type, decision.model_id, mp.Outcome(success=success, cost_usd=0.01), decision)
            clock.now += timedelta(seconds=30)


@pytest.fixture
def engine() -> Iterator[mp.ModelPerf]:
    """Return an engine over the log of a policy that explores a fifth of its decisions."""
    live("log.db", SHARE)
    with mp.ModelPerf(SHARE, store="log.db") as opened:
        yield opened


def test_the_log_is_read_as_it_was_made(engine: mp.ModelPerf) -> None:
    """Every decision with an outcome is there, in order, with its propensities; they sum to 1."""
    log = read_log(engine.store)
    kept = engine.store.decisions.newest(limit=1000)
    assert len(log) == len(kept) == 600
    assert log.left_out == {}
    assert log.propensities.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(log.made_ms) > 0).all()
    for row, each in enumerate(reversed(kept)):
        assert log.models[log.chosen[row]] == each.model_id
        assert log.propensities[row, log.chosen[row]] == pytest.approx(each.propensity, abs=1e-7)


def test_decisions_that_cannot_be_used_are_counted_by_reason() -> None:
    """Pins, missing outcomes, fallbacks, later tries and the caller's own errors are left out, and said to be."""
    with mp.ModelPerf({}, store="log.db", seed=0) as perf:
        perf.select("plan", MODELS)
        pinned = perf.select("plan", MODELS, {"pin": "b"})
        fallback, cancelled = perf.select("plan", MODELS), perf.select("plan", MODELS)
        assert pinned is not None
        assert fallback is not None
        assert cancelled is not None
        perf.record("plan", "b", mp.Outcome(success=True), pinned)
        perf.record("plan", fallback[1], mp.Outcome(success=True), fallback)
        perf.record("plan", cancelled[0], mp.Outcome(success=False, error_kind="cancelled"), cancelled)
        retry, reversed_ = perf.select("plan", MODELS, {"retry_of": cancelled}), perf.select("plan", MODELS)
        assert retry is not None
        assert reversed_ is not None
        perf.record("plan", retry[0], mp.Outcome(success=True), retry)
        for model_id in reversed_[1::-1]:
            perf.record("plan", model_id, mp.Outcome(success=False), reversed_)
    with mp.ModelPerf({"mode": "observe"}, store="log.db") as perf:
        perf.select("plan", MODELS)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    assert len(log) == 0
    assert log.left_out == {
        "no outcome has come": 1,
        "the host had pinned the model": 1,
        "only a fallback's outcome has come": 1,
        "a fallback was tried first": 1,
        "it retries a task that had failed": 1,
        "it ended by the caller's own doing": 1,
        "the host was answered None": 1,
    }


def test_what_was_known_at_the_end_is_what_the_store_knows(engine: mp.ModelPerf) -> None:
    """Brought forward past the last outcome, the tallies are those of the store; before the first there are none."""
    then = StoreAsOf(engine.store)
    then.advance(0)
    assert then.all() == []
    then.advance(2**60)
    keys = ("task_type", "model_id", "successes", "failures", "timeouts", "outages", "caller_errors")
    found = {tuple(getattr(each, key) for key in keys) for each in then.all()}
    assert found == {tuple(getattr(each, key) for key in keys) for each in engine.store.tallies.all()}


def test_the_same_configuration_decides_as_it_did(engine: mp.ModelPerf) -> None:
    """With the knowledge of the time, the policy that made the log has nearly its original probabilities."""
    log = read_log(engine.store)
    shares = Configured(log, engine.store).shares(load(SHARE).config)
    assert shares.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert np.abs(shares - log.propensities).sum(axis=1).mean() < 0.1


@pytest.mark.parametrize("outage", ["server_error", "unavailable"])
def test_outages_of_the_time_are_in_force_where_all_others_are_demoted(outage: Any) -> None:
    """A model that is gone ranked behind the demoted ones, one after a mere outage before them; so it does again."""
    demotion = {"strategy": "success_rate", "threshold": 0.6, "min_samples": 5}
    config = {
        "exploration": {"strategy": "never"}, "demotion": demotion, "ranking": {"strategy": "success_rate"},
        "availability": {"pause_seconds": 600, "jitter": 0},
    }  # fmt: skip
    clock = Clock()
    with mp.ModelPerf(config, store="log.db", clock=clock, seed=0) as engine:
        for model_id, successes in zip(MODELS, (200, 80, 60), strict=True):
            engine.record_many([("plan", model_id, mp.Outcome(success=n < successes)) for n in range(200)])
        for number in range(100):
            clock.now += timedelta(seconds=30)
            decision = engine.select("plan", MODELS)
            assert decision is not None
            for model_id in decision:
                out = model_id == "a" and number < 80
                success = model_id == "a" or number % 2 == 0
                answer = mp.Outcome(success=success and not out, error_kind=outage if out else None)
                engine.record("plan", model_id, answer, decision)
                if not out:
                    break
        log = read_log(engine.store)
        shares = Configured(log, engine.store).shares(load(config).config)
    tried_first = (log.chosen == log.models.index("a"))[:80].mean()
    assert tried_first < 0.1 if outage == "unavailable" else tried_first > 0.9
    np.testing.assert_allclose(shares, log.propensities, atol=1e-6)


def test_targets_keep_to_what_was_offered() -> None:
    """Constant and uniform policies choose offered models only; elsewhere they follow the log."""
    live("log.db", UNIFORM, 40, ("a", "b"))
    live("log.db", UNIFORM, 40)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    assert (uniform(log)[~log.offered] == 0.0).all()
    always, position = constant(log, "c"), log.models.index("c")
    assert (always[log.offered[:, position], position] == 1.0).all()
    absent = ~log.offered[:, position]
    assert absent.any()
    assert (always[absent] == log.propensities[absent]).all()
    assert (per_task_type(log, {}) == log.propensities).all()


def test_policies_are_judged_beside_the_baselines(engine: mp.ModelPerf) -> None:
    """Answers contain the truth; the log itself is within its interval; and all is plain JSON."""
    log = read_log(engine.store)
    greedy = load({"exploration": {"strategy": "never"}}).config
    found = evaluate(log, engine.store, [Candidate(name="greedy", config=greedy)], by_task_type=True)
    (judged,) = found.policies
    assert judged.success is not None
    assert judged.success.low <= (0.9 + 0.7) / 2 <= judged.success.high + 0.05
    assert judged.gain is not None
    assert judged.cost_usd is not None
    assert judged.cost_usd.low <= 0.01 <= judged.cost_usd.high + 1e-12
    assert [each.task_type for each in judged.task_types] == sorted(
        RATES, key=lambda name: -int((log.task == log.task_types.index(name)).sum())
    )
    own = found.made_the_log.success
    assert own is not None
    assert own.low <= found.happened <= own.high
    assert found.as_dict()["policies"][0]["name"] == "greedy"


def test_the_best_single_model_allows_for_having_been_picked() -> None:
    """It has the highest lower bound, and its interval is wider than for a single question."""
    live("log.db", UNIFORM, 900)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    judge = Judge(log)
    found = best_single(judge, log)
    assert found is not None
    assert found.name == "a"
    low, high = judge.judge("a", constant(log, "a")).interval
    assert found.interval[0] < low <= 0.75 <= high < found.interval[1]


@pytest.mark.parametrize("seed", range(3))
def test_a_refusal_says_what_would_tell(seed: int) -> None:
    """As many decisions with the evaluation share that a refusal names do answer the question."""
    live("log.db", {}, 300, seed=seed)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    refusal = Judge(log).judge("always c", constant(log, "c")).refusal
    assert refusal is not None
    named = re.search(r"(\S+)(?: decisions)? with (evaluation_share) = (\S+) would tell", refusal)
    assert named is not None, refusal
    number, share = int(named[1].replace(",", "")), float(named[3])
    live("more.db", {"exploration": {named[2]: share}}, number, seed=seed + 1)
    with mp.ModelPerf({}, store="more.db") as perf:
        log = read_log(perf.store)
    judged = Judge(log).judge("always c", constant(log, "c"))
    assert judged.success is not None, (refusal, judged.refusal)


def test_a_model_that_was_never_tried_is_refused_by_name() -> None:
    """No answer about a model that the log never chose, and the reason names it and what would give one."""
    config = {"exploration": {"strategy": "never"}}
    with mp.ModelPerf({}, store="log.db") as perf:  # so that a and b are known, and nothing of c
        for model_id in ("a", "b"):
            perf.record("plan", model_id, mp.Outcome(success=True))
            perf.record("code", model_id, mp.Outcome(success=True))
        perf.record("plan", "c", mp.Outcome(success=False))
        perf.record("code", "c", mp.Outcome(success=False))
    live("log.db", config, 100)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    judged = Judge(log).judge("always c", constant(log, "c"))
    assert judged.success is None
    assert judged.refusal == "c was never tried; about 130 decisions with evaluation_share = 0.5 would tell"


def test_a_log_that_explores_too_little_is_refused() -> None:
    """With little overlap there is no answer, whatever the estimate, and the reason has a number."""
    live("log.db", {"exploration": {"floor": 0.02}})
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    judged = Judge(log).judge("always c", constant(log, "c"))
    assert judged.success is None
    assert judged.refusal is not None
    assert "are needed" in judged.refusal or "too wide" in judged.refusal


def test_too_few_decisions_are_no_log() -> None:
    """Nothing is judged by a handful of decisions."""
    live("log.db", {}, 10)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
        with pytest.raises(InvalidValueError, match="50 decisions"):
            evaluate(log, perf.store, [])


def test_a_policy_that_learns_is_replayed_on_a_uniform_log() -> None:
    """From a uniform log about one decision in three is accepted, and learning from these beats chance."""
    live("log.db", UNIFORM, 900)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
    found = replay_log(log, load({}).config)
    assert 230 <= found.kept <= 370
    assert found.success is not None
    assert found.success.low <= 0.75 <= found.success.high
    assert found.success.value > log.success.mean()
    assert replay_log(log, load({}).config) == found


def test_a_policy_that_learns_is_not_replayed_on_a_log_that_explores_little(engine: mp.ModelPerf) -> None:
    """If hardly any decision can be accepted there is no answer, and the reason gives their number."""
    found = replay_log(read_log(engine.store), load({}).config)
    assert found.success is None
    assert found.refusal == "about 41 of 600 decisions can be used: 100 are needed"
