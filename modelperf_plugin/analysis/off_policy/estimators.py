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
from math import log
from statistics import NormalDist
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]

BETS: Final = 16
"""Number of bets in the mixture, each best for another variance."""
_MIN_BET, _MAX_BET = 1 / 30, 1.5
"""The smallest bet in units of √(10/n), right for a variance of 1 (weights of a thousand need less), and the largest
one, right where hardly anything is uncertain."""
_CHUNK_SIZE: Final = 100_000
_MAX_MIXED, _HEAD_SIZE = 200_000, 20_000
"""In a longer log only the head is judged by all bets; the whole log by the one that is best there, for its length."""
_MIN_FORECAST: Final = 1e-4


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


def value_interval(logged: Logged, target: Floats, alpha: float = 0.05) -> Interval:
    """Return an interval that contains V with a probability of about 1 − ``alpha``.

    It is valid for a logging policy that learns and for models that change. It is not symmetric, and leaves room for
    rare choices that the log did not happen to make. See :func:`lower_bound`; each side spends α/2.
    """
    low, high = _bounds(logged, target.astype(np.float64), alpha)
    return Interval(max(0.0, low), min(1.0, high))


def gain_interval(logged: Logged, target: Floats, alpha: float = 0.05, *, base: Floats | None = None) -> Interval:
    """Return an interval for V less the value of ``base``, by default that of the policy that made the log.

    The same confidence as :func:`value_interval`. Nothing is uncertain where the two agree, so it is narrower than the
    difference of two intervals.
    """
    than = logged.propensities if base is None else base
    low, high = _bounds(logged, target.astype(np.float64) - than, alpha)
    return Interval(max(-1.0, low), min(1.0, high))


def gain(logged: Logged, target: Floats) -> float:
    """Return the doubly robust estimate of V less the value of the policy that made the log."""
    return doubly_robust(logged, target) - doubly_robust(logged, logged.propensities)


def _bounds(logged: Logged, shares: Floats, alpha: float) -> tuple[float, float]:
    return lower_bound(logged, shares, alpha / 2), 0.0 - lower_bound(logged, -shares, alpha / 2)


def lower_bound(logged: Logged, shares: Floats, alpha: float) -> float:
    """Return a number that (1/n) Σ_t Σ_a c_t(a) μ_t(a) exceeds with a probability of about 1 − ``alpha``.

    ``shares`` are c, n × m, of any sign: p for the value of a policy, p − π for its gain. Where c < 0, c μ = −c(1 − μ)
    + c: so only c ≥ 0 and rewards in [0, 1] are needed. For a bet λ > 0 let u = λ c/π and

        y_t = (c/π)(r_t − g_t(a_t)),   x̂_t = Σ_a c_t(a) g_t(a),   ν_t = Σ_a c_t(a) μ_t(a).

    Then E[1 + λ y_t | past] = 1 + λ(ν_t − x̂_t) ≤ exp(λ(ν_t − x̂_t)), so Π (1 + λ y_t)·exp(−λ Σ(ν_t − x̂_t)) is a
    non-negative supermartingale as long as u g ≤ 1. The g that lets it grow fastest if the forecast q is right solves
    q = g + u g (1 − g): it is near q for small weights and near q/(1 + u) for large ones, and keeps u g ≤ 1. A choice
    that the log could not have made adds nothing, since μ ≥ 0.

    The logarithm of this process at the best λ is a dual empirical likelihood ratio, over all rewards that were
    possible and not only those that came: twice the logarithm at the truth has about the distribution of a squared
    standard normal variable. With uneven weights it has heavier tails, like a squared variable of Student's t
    distribution with :func:`degrees_of_freedom`. The bound is where the process reaches exp(t²/2).

    The mean of the processes exceeds 1/α with a probability of α at most, whatever the weights (Ville's inequality):
    where hardly any decision counts that bound is the higher one, and is returned.

    Sources: N. Karampatziakis, J. Langford and P. Mineiro, "Empirical Likelihood for Contextual Bandits", 2020; A.
    Owen, "Empirical Likelihood Ratio Confidence Regions", 1990 (the heavier tails); I. Waudby-Smith and A. Ramdas,
    "Estimating means of bounded random variables by betting", 2023; I. Waudby-Smith et al., "Anytime-valid off-policy
    inference for contextual bandits", 2022. The bets are fixed, because only then is it a bound of the plain mean when
    μ_t changes.
    """
    if not shares.any():
        return 0.0
    unit = (10.0 / len(logged)) ** 0.5
    bets = np.geomspace(_MIN_BET * unit, max(_MAX_BET, unit), BETS)
    level = _level(degrees_of_freedom(weights(logged, shares)), alpha)
    if len(logged) > _MAX_MIXED:
        head = slice(0, _HEAD_SIZE)
        logs, _ = _run(logged.only(head), shares[head], bets)
        bets = bets[[np.argmax((logs - level) / bets)]] * (_HEAD_SIZE / len(logged)) ** 0.5
    logs, offset = _run(logged, shares, bets)
    total = max(float(((logs - level) / bets).max()), _solve(bets, logs, log(1.0 / alpha)))
    return (total + offset) / len(logged)


def degrees_of_freedom(own: Floats) -> float:
    """Return (Σ w²)²/Σ w⁴: the number of terms of equal size that a sum of terms with variances w² amounts to.

    Source: F. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946.

    >>> degrees_of_freedom(np.array([2.0, 2.0, -2.0, 0.0]))
    3.0
    """
    squares = np.square(own)
    largest = float(squares.max(initial=0.0))
    return effective_sample_size(squares / largest) if largest else 0.0


def _level(freedom: float, alpha: float) -> float:
    """Return t²/2, where t is the quantile 1 − ``alpha`` of Student's distribution, by its expansion at the normal one.

    Source: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.5. It is too small below three
    degrees of freedom, where Ville's inequality gives the better bound anyway.

    >>> round((2 * _level(10, 0.025)) ** 0.5, 2), round((2 * _level(1e9, 0.025)) ** 0.5, 2)
    (2.23, 1.96)
    """
    z, v = NormalDist().inv_cdf(1.0 - alpha), max(freedom, 1.0)
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return t**2 / 2


def _run(logged: Logged, shares: Floats, bets: Floats) -> tuple[Floats, float]:
    """Return the logarithm of each bet's process for a total of 0, and the sum of the negative shares."""
    logs = np.zeros(len(bets))
    offset = 0.0
    for start in range(0, len(logged), _CHUNK_SIZE):
        offset += _add(logged, shares, slice(start, start + _CHUNK_SIZE), bets, logs)
    return logs, offset


def _add(logged: Logged, shares: Floats, part: slice, bets: Floats, logs: Floats) -> float:
    """Add ``part`` to the logarithm of each process, including λ Σ x̂; return the sum of its negative shares."""
    share, propensity, chosen = shares[part], logged.propensities[part], logged.chosen[part]
    rows = np.arange(len(chosen))
    possible = (share != 0.0) & (propensity > 0.0)
    is_chosen = np.zeros(share.shape, bool)
    is_chosen[rows, chosen] = True
    size = share[possible].astype(np.float64)
    negative = size < 0.0
    forecast = np.clip(logged.forecasts[part][possible].astype(np.float64), _MIN_FORECAST, 1.0 - _MIN_FORECAST)
    forecast = np.where(negative, 1.0 - forecast, forecast)
    size = np.abs(size)
    ratio = size / propensity[possible]
    taken = is_chosen[possible]
    reward = logged.rewards[part][possible[rows, chosen]]
    reward = np.where(negative[taken], 1.0 - reward, reward)
    for position, bet in enumerate(bets):
        control = _control(bet * ratio, forecast)
        won = bet * ratio[taken] * (reward - control[taken])
        logs[position] += np.log1p(won).sum() + bet * float(size @ control)
    return float(np.minimum(share, 0.0).sum())


def _control(u: Floats, forecast: Floats) -> Floats:
    """Return the g between 0 and 1 that solves q = g + u g (1 − g)."""
    root: Floats = 2.0 * forecast / (1.0 + u + np.sqrt(np.square(1.0 + u) - 4.0 * u * forecast))
    return root


def _solve(bets: Floats, logs: Floats, level: float) -> float:
    """Return the total at which the logarithm of the mean of exp(logs − bets · total) is ``level``."""

    def height(total: float) -> float:
        heights = logs - bets * total
        top = float(heights.max())
        return top + log(float(np.exp(heights - top).mean())) - level

    # each bet alone gives a bound; the mixture's is between the worst and the best of them
    singles = (logs - level - log(len(bets))) / bets
    low, high = float(singles.max()), float(((logs - level) / bets).max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if height(middle) > 0.0 else (low, middle)
    return low
