"""Weighted replay: the success rate of a policy that learns, from the log of another policy.

At each decision of the log, in order, the policy gives its probabilities p_t from the outcomes it has learned so far.
The decision is accepted with probability p_t(a_t)/(C π_t(a_t)), where C is the largest 1/π of the log, and only then
does the policy learn its outcome. So the accepted decisions are, in distribution, what the policy would have done by
itself with a stream of such tasks, and their mean reward is its success while it learns. A uniform log of K candidates
has C = K: one decision in K is accepted. A log that explores little leaves too few for an answer.

Source: L. Li, W. Chu, J. Langford and X. Wang, "Unbiased Offline Evaluation of Contextual-bandit-based News Article
Recommendation Algorithms", 2011; the rejection by propensity after M. Dudík et al., "Sample-efficient Nonstationary
Policy Evaluation for Contextual Bandits", 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.bounds import value_interval
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.estimators import Floats, Logged
from modelperf_plugin.analysis.off_policy.judgement import Estimate
from modelperf_plugin.analysis.simulation.play import Progress, fresh_engine
from modelperf_plugin.config import Config
from modelperf_plugin.values import Outcome, from_milliseconds

MIN_ACCEPTED_DECISIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningEstimate:
    """The success of a policy that starts with nothing and learns by itself."""

    success: Estimate | None
    """Success rate, or mean score, over its first ``kept`` tasks; None if the log is not sufficient: ``refusal`` says
    why."""
    refusal: str | None
    kept: int
    """Number of accepted decisions, or their expected number if that is too small to try."""


def replay_log(
    log: DecisionLog, config: Config, *, seed: int = 0, progress: Progress | None = None
) -> LearningEstimate:
    """Replay ``config``, starting with nothing, on the decisions of ``log``."""
    possible = log.propensities[log.propensities > 0.0]
    scale = 1.0 / float(possible.min()) if len(possible) else float("inf")
    expected = int(len(log) / scale)
    if expected < MIN_ACCEPTED_DECISIONS:
        reason = f"about {expected} of {len(log):,} decisions can be used: {MIN_ACCEPTED_DECISIONS} are needed"
        return LearningEstimate(success=None, refusal=reason, kept=expected)
    rewards = _accepted_rewards(log, config, scale, seed, progress)
    kept = len(rewards)
    if kept < MIN_ACCEPTED_DECISIONS:
        reason = f"{kept} of {len(log):,} decisions could be used: {MIN_ACCEPTED_DECISIONS} are needed"
        return LearningEstimate(success=None, refusal=reason, kept=kept)
    before = np.concatenate([[0.0], np.cumsum(rewards)[:-1]])
    logged = Logged(
        rewards=rewards,
        chosen=np.zeros(kept, np.int32),
        propensities=np.ones((kept, 1)),
        forecasts=((before + 1.0) / (np.arange(kept) + 2.0))[:, None],
    )
    interval = value_interval(logged, np.ones((kept, 1)))
    return LearningEstimate(success=Estimate.within(interval), refusal=None, kept=kept)


def _accepted_rewards(log: DecisionLog, config: Config, scale: float, seed: int, progress: Progress | None) -> Floats:
    rng = Random(f"replay/{seed}")
    rewards = []
    with fresh_engine(config, seed) as (engine, clock):
        for row in range(len(log)):
            clock.now = from_milliseconds(int(log.made_ms[row]))
            task_type, model_id = log.task_types[log.task[row]], log.models[log.chosen[row]]
            names = [log.models[column] for column in np.flatnonzero(log.offered[row]).tolist()]
            decision = engine.explain(task_type, names)
            chance = 0.0 if decision is None else decision.propensities.get(model_id, 0.0)
            if rng.random() * scale * log.propensities[row, log.chosen[row]] < chance:
                outcome = _outcome(log, row)
                engine.record(task_type, model_id, outcome)
                rewards.append(outcome.grade)
            if progress is not None:
                progress(row + 1, len(log))
    return np.array(rewards)


def _outcome(log: DecisionLog, row: int) -> Outcome:
    score = None if np.isnan(log.score[row]) else float(log.score[row])
    cost = float(np.nan_to_num(log.cost_usd[row]))
    return Outcome(success=bool(log.success[row]), score=score, cost_usd=cost)
