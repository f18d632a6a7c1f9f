"""Off-policy estimators: the value of a policy, from the log of another one with known probabilities.

Of decision t the log has the task, the candidates, the propensity π_t(a) of each candidate, the chosen one a_t and its
reward r_t in [0, 1]. A target policy gives the candidates the probabilities p_t(a). What is estimated is

    V = (1/n) Σ_t Σ_a p_t(a) μ_t(a),

the mean over the decisions of the log, where μ_t(a) is the expected reward of candidate a on task t. It is about those
tasks in that period, not about the future. μ_t may change with time and task in any way.

Assumptions: the choice at t was drawn with the logged probabilities; p_t depends on nothing later than t; and whether
an outcome arrived does not depend on the choice. The logging policy may learn: π_t may depend on everything before t.

Weights are w_t = p_t(a_t)/π_t(a_t). Sources: D. Horvitz and D. Thompson, 1952 (IPS); A. Swaminathan and T. Joachims,
"The Self-Normalized Estimator for Counterfactual Learning", 2015 (SNIPS); M. Dudík, J. Langford and L. Li, "Doubly
Robust Policy Evaluation and Learning", 2011 (DR); L. Kish, "Survey Sampling", 1965 (effective sample size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The decisions of a log as columns: n decisions, in their order, and m models."""

    rewards: Floats
    """n rewards from 0 to 1."""
    chosen: Integers
    """n positions of the chosen models."""
    propensities: Floats
    """n × m: the probability with which each model was chosen; 0 if it was not permitted."""
    forecasts: Floats
    """n × m: the expected reward of each model, from earlier decisions only."""

    def __len__(self) -> int:
        return len(self.rewards)

    def only(self, rows: npt.NDArray[np.bool_] | slice) -> Logged:
        """Return the decisions in ``rows``, a mask or a slice."""
        return Logged(**{name: getattr(self, name)[rows] for name in self.__slots__})


def weights(logged: Logged, target: Floats) -> Floats:
    """Return w_t = p_t(a_t)/π_t(a_t) of each decision; ``target`` is p, n × m."""
    rows = np.arange(len(logged))
    chances: Floats = target[rows, logged.chosen].astype(np.float64)
    return chances / logged.propensities[rows, logged.chosen]


def effective_sample_size(own: Floats) -> float:
    """Return (Σ w)²/Σ w²: the number of decisions by the target itself that the log is equivalent to.

    >>> round(effective_sample_size(np.array([1.0, 1.0, 0.0, 0.0])), 6)
    2.0
    """
    squares = float(np.square(own).sum())
    return float(own.sum()) ** 2 / squares if squares else 0.0


def ips(rewards: Floats, own: Floats) -> float:
    """Return the inverse propensity score estimate (1/n) Σ w_t r_t: unbiased, uncertain if the weights are uneven.

    >>> ips(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 2.0]))
    1.0
    """
    return float((own * rewards).mean())


def snips(rewards: Floats, own: Floats) -> float | None:
    """Return the self-normalised estimate Σ w_t r_t / Σ w_t: less variance, a slight bias; None without weight.

    >>> snips(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 2.0]))
    0.75
    """
    total = float(own.sum())
    return float((own * rewards).sum()) / total if total else None


def doubly_robust(logged: Logged, target: Floats) -> float:
    """Return (1/n) Σ_t [Σ_a p_t(a) q_t(a) + w_t (r_t − q_t(a_t))], where q are the forecasts.

    Unbiased with any forecasts, since they are made from the past only; better forecasts reduce its variance. Where the
    log could not have made the target's choice, only the forecast counts.
    """
    rows = np.arange(len(logged))
    expected = (target * logged.forecasts).sum(axis=1)
    surprise = logged.rewards - logged.forecasts[rows, logged.chosen]
    return float((expected + weights(logged, target) * surprise).mean())


def gain(logged: Logged, target: Floats) -> float:
    """Return the doubly robust estimate of V less the value of the policy that made the log."""
    return doubly_robust(logged, target) - doubly_robust(logged, logged.propensities)
