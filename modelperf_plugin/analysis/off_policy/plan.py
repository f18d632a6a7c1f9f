"""The cost of a sufficient log: the decisions and successes that each evaluation share takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.enough import EVALUATION_SHARES, decisions_for, variance_of, with_share
from modelperf_plugin.analysis.off_policy.estimators import Floats, Logged
from modelperf_plugin.analysis.off_policy.targets import uniform

ROUGH_HALF_WIDTH, PRECISE_HALF_WIDTH = 0.12, 0.05
"""Half the width of the interval of a rough and of a precise answer: 12 and 5 percentage points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The effect of one evaluation share."""

    evaluation_share: float
    """Share of the decisions that is drawn at random."""
    decisions: int
    """Number of decisions until there is a rough answer: about ± 12 percentage points."""
    decisions_precise: int
    """Number of decisions until the answer is precise: about ± 5 percentage points."""
    lost_per_1000: float
    """Successes lost in every 1,000 decisions."""

    @property
    def price(self) -> float:
        """Successes lost until there is a rough answer."""
        return self.lost_per_1000 * self.decisions / 1000


def plan(decisions: DecisionLog, logged: Logged, target: Floats) -> tuple[Plan, ...]:
    """Return a plan for each of some shares, to evaluate the policy whose probabilities are ``target``.

    With the share s the propensities become π_s = s/K + (1 − s) π. An interval is about ± 1.96 √(σ²/N) wide, where σ²
    is the mean of Σ_a p²/π_s · q(1 − q). The share costs s times the difference between the expected success of the
    log's policy and of a random one. The forecasts are the latest ones.
    """
    random, latest = uniform(decisions), _latest(decisions, logged)
    spread = np.clip(latest * (1.0 - latest), 0.05, 0.25)
    gap = max(0.0, float(((logged.propensities - random) * latest).sum(axis=1).mean()))
    plans = []
    for share in EVALUATION_SHARES:
        variance = variance_of(with_share(decisions, share), target, spread)
        needed, precise = (ceil(decisions_for(variance, half)) for half in (ROUGH_HALF_WIDTH, PRECISE_HALF_WIDTH))
        lost = 1000.0 * share * gap
        plans.append(Plan(evaluation_share=share, decisions=needed, decisions_precise=precise, lost_per_1000=lost))
    return tuple(plans)


def _latest(decisions: DecisionLog, logged: Logged) -> Floats:
    """Return for each decision the forecasts for its task type at the end of the log."""
    last = np.zeros(len(decisions.task_types), int)
    last[decisions.task] = np.arange(len(decisions))
    return logged.forecasts[last[decisions.task]].astype(np.float64)
