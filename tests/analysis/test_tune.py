"""Tuning and comparing configurations on the record of decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import tomlkit

import modelperf_plugin as mp
from modelperf_plugin.analysis import DecisionLog, read_log
from modelperf_plugin.analysis.off_policy.tune import SPACE, changed, tune
from modelperf_plugin.analysis.views.policy_diff import compare_policies, settings_that_differ
from modelperf_plugin.cli.commands.tune import proposed
from modelperf_plugin.config import load

PRESENT = {
    "ranking": {"strategy": "success_rate", "min_samples": 1000},
    "demotion": {"strategy": "never"},
    "exploration": {"strategy": "epsilon_greedy", "epsilon": 0.5},
}
"""A min_samples that no model reaches, so the policy draws at random."""
BETTER = {"ranking": {"strategy": "posterior"}}
RATES = {"a": 0.9, "b": 0.3}


def live(path: str, count: int = 800) -> DecisionLog:
    """Let the present policy decide; return its log."""
    now, rng = datetime(2026, 1, 1, tzinfo=UTC), Random(0)
    with mp.ModelPerf(PRESENT, store=path, clock=lambda: now, seed=0) as perf:
        for _ in range(count):
            decision = perf.select("plan", list(RATES))
            assert decision is not None
            now += timedelta(seconds=30)
            perf.record("plan", decision[0], mp.Outcome(success=rng.random() < RATES[decision[0]]), decision)
            now += timedelta(seconds=30)
    with mp.ModelPerf({}, store=path) as perf:
        return read_log(perf.store)


def test_a_better_configuration_is_found_and_tested_on_the_rest() -> None:
    """If there is one, it is proposed with an interval of the gain above 0 that contains the true gain."""
    log = live("log.db")
    with mp.ModelPerf({}, store="log.db") as perf:
        found = tune(log, perf.store, load(PRESENT).config, space=[BETTER, {"drift": {"half_life_days": 7.0}}])
    assert found.change == BETTER
    assert found.better
    assert (found.searched_decisions, found.kept_back) == (400, 400)
    assert found.gain is not None
    assert found.gain.low <= 0.15 <= found.gain.high  # half of the decisions stay random


def test_nothing_is_proposed_where_nothing_differs() -> None:
    """A candidate that chooses like the present configuration gains nothing."""
    log = live("log.db", 200)
    with mp.ModelPerf({}, store="log.db") as perf:
        found = tune(log, perf.store, load(PRESENT).config, space=[{"drift": {"half_life_days": 7.0}}])
    assert not found.better
    assert found.change == {}


def test_every_candidate_is_a_configuration() -> None:
    """Each point of the space is usable on top of the defaults, and no two are the same."""
    assert len({repr(changed(load({}).config, change)) for change in SPACE}) == len(SPACE)


def test_a_proposal_keeps_comments_and_order() -> None:
    """Unchanged keys stay as written; keys of another strategy go."""
    text = '# mine\n[ranking]\nstrategy = "success_rate"  # old\nmin_samples = 5\n\n[exploration]\nepsilon = 0.2\n'
    after = proposed(text, {"ranking": {"strategy": "posterior", "pooled": False}, "drift": {"half_life_days": 7.0}})
    assert after.startswith('# mine\n[ranking]\nstrategy = "posterior"  # old\npooled = false\n')
    assert tomlkit.parse(after).unwrap() == {
        "ranking": {"strategy": "posterior", "pooled": False},
        "exploration": {"epsilon": 0.2},
        "drift": {"half_life_days": 7.0},
    }


def test_a_difference_says_how_many_choices_change_and_to_what_effect() -> None:
    """The effect holds the true one, and the models that gain and lose choices are named."""
    log = live("log.db")
    before, after = load(PRESENT).config, changed(load(PRESENT).config, BETTER)
    with mp.ModelPerf({}, store="log.db") as perf:
        found = compare_policies(log, perf.store, before, after)
        same = compare_policies(log, perf.store, before, before)
    assert 0.2 < found.differ < 0.3
    assert found.effect is not None
    assert found.effect.low <= 0.15 <= found.effect.high
    assert [(each.task_type, each.less, each.more) for each in found.task_types] == [("plan", "b", "a")]
    assert (same.differ, same.task_types) == (0.0, ())
    assert same.effect is not None
    assert (same.effect.low, same.effect.high) == (0.0, 0.0)


def test_settings_that_differ_are_listed_with_both_values() -> None:
    """Keys on one side only have None on the other."""
    before, after = {"exploration": {"floor": 0.25}}, {"exploration": {"strategy": "never"}}
    found = settings_that_differ(load(before).config, load(after).config)
    differing = {(each.path, each.before, each.after) for each in found}
    assert {("exploration.strategy", "adaptive", "never"), ("exploration.floor", 0.25, None)} <= differing
