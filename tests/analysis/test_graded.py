"""Outcomes with scores in the analyses: what was known at a moment, the decision log, and replays."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis import Candidate, evaluate, read_log
from modelperf_plugin.analysis.off_policy.store_as_of import StoreAsOf
from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
from modelperf_plugin.analysis.simulation.replay import replay
from modelperf_plugin.analysis.views.hints import empty_verdicts
from modelperf_plugin.config import load
from modelperf_plugin.values import DAY_MS, Tally

MEANS = {"a": 0.9, "b": 0.6, "c": 0.3}


def live(config: dict[str, Any], count: int) -> float:
    """Let a policy decide ``count`` tasks with scores near the mean of their model; return the mean score."""
    rng, scores = Random(0), []
    with mp.ModelPerf(config, store="log.db", seed=0) as perf:
        for _ in range(count):
            decision = perf.select("t", list(MEANS))
            assert decision is not None
            mean = MEANS[decision.model_id]
            scores.append(rng.betavariate(20 * mean, 20 * (1 - mean)))
            perf.record("t", decision.model_id, mp.Outcome(score=scores[-1]), decision)
    return sum(scores) / count


def test_policies_are_judged_by_scores() -> None:
    """What happened is the mean score; the estimate of a policy that always takes the best is near its mean."""
    mean = live({"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}}, 600)
    with mp.ModelPerf({}, store="log.db") as perf:
        log = read_log(perf.store)
        found = evaluate(log, perf.store, [Candidate(name="default", config=load({}).config)])
    assert log.graded == found.graded == 600
    assert found.happened == pytest.approx(mean, abs=1e-5)
    assert found.best_single is not None
    assert found.best_single.name == "a"
    assert found.best_single.dr == pytest.approx(0.9, abs=0.05)
    assert (log.success != log.grade).any()


def test_a_log_without_scores_is_judged_by_success() -> None:
    """Then the grade is success, and no outcome is graded."""
    with mp.ModelPerf({}, store="log.db", seed=0) as perf:
        for number in range(20):
            decision = perf.select("t", ["a", "b"])
            assert decision is not None
            perf.record("t", decision.model_id, mp.Outcome(success=number % 3 > 0), decision)
        log = read_log(perf.store)
    assert log.graded == 0
    assert np.array_equal(log.grade, log.success)


def test_what_was_known_has_the_scores_of_the_store() -> None:
    """Brought forward past the last outcome, tallies and faded counts hold the same scores as the store's."""
    with mp.ModelPerf({"drift": {"detect": False}}, store="log.db", seed=0) as perf:
        for number in range(30):
            first = perf.select("t", ["a", "b"], {"pin": "a"})
            assert first is not None
            perf.record("t", "a", mp.Outcome(score=number / 60, timeout=number % 2 == 0), first)
            perf.record("t", "b", mp.Outcome(score=number / 30), first)
        then, store, today = StoreAsOf(perf.store), perf.store.tallies, 2**60 // DAY_MS
        then.advance(2**60)
        assert {each.model_id: each for each in then.all()} == dict(store.of("t"))
        assert then.later("t") == store.later("t")
        known, own = then.faded(("t", "t"), today, 1e9), store.faded(("t", "t"), today, 1e9)
        for pair, faded in own.items():
            assert known[pair].counts == faded.counts
            assert known[pair].later_counts == faded.later_counts
            assert known[pair].score_shift == pytest.approx(faded.score_shift, abs=1.0)
            assert known[pair].later_score_shift == pytest.approx(faded.later_score_shift, abs=1.0)


def test_a_file_with_scores_alone_is_replayed_by_scores(tmp_path: Path) -> None:
    """Successes follow from the configured cut; policies are judged, and learn, by the mean score."""
    rows = ["instance_id,task_type,model_id,score"]
    rng = Random(0)
    for number in range(200):
        rows += [
            f"{number},t,{model},{rng.betavariate(20 * mean, 20 * (1 - mean)):.3f}" for model, mean in MEANS.items()
        ]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(rows))
    data = read_outcomes(path)
    assert data.graded == 600
    report = replay(data, {"quality": {"pass_score": 0.2}}, repeats=2)
    assert report.best_single.model_id == "a"
    assert report.best_single.success_rate == pytest.approx(0.9, abs=0.02)
    assert report.random.success_rate == pytest.approx(0.6, abs=0.02)
    assert 0.6 < report.policy.success_rate < 0.92
    assert report.as_dict()["graded"] == 600


def test_verdicts_with_scores_carry_information() -> None:
    """Only where every outcome is a success and no score differs from it, nothing can be learned."""
    alike = [Tally("t", "a", 80), Tally("t", "b", 70)]
    assert empty_verdicts(alike) is not None
    assert empty_verdicts([alike[0], alike[1]._replace(graded=70, score_shift=-9_000_000)]) is None
