"""Bounds for a sum over the decisions of a log, whatever was chosen: the ends of all off-policy intervals.

For shares c_t(a) of any sign they bound S = (1/n) Σ_t Σ_a c_t(a) μ_t(a), where μ_t(a) is the expected reward of model a
on task t: c = p is the value of a policy, c = p − π its gain. Where c < 0, c μ = −c(1 − μ) + c: so only c ≥ 0 and
rewards in [0, 1] are needed. For a bet λ > 0 let u = λ c/π and

    y_t = (c/π)(r_t − g_t(a_t)),   x̂_t = Σ_a c_t(a) g_t(a),   ν_t = Σ_a c_t(a) μ_t(a).

Then E[1 + λ y_t | past] = 1 + λ(ν_t − x̂_t) ≤ exp(λ(ν_t − x̂_t)), so Π (1 + λ y_t)·exp(−λ Σ(ν_t − x̂_t)) is a
non-negative supermartingale as long as u g ≤ 1. The g that lets it grow fastest if the forecast q is right solves
q = g + u g (1 − g): it is near q for small weights and near q/(1 + u) for large ones, and keeps u g ≤ 1. A choice that
the log could not have made adds nothing, since μ ≥ 0.

The logarithm of this process at the best λ is a dual empirical likelihood ratio, over all rewards that were possible
and not only those that came: twice the logarithm at the truth has about the distribution of a squared standard normal
variable. With uneven weights it has heavier tails, like a squared variable of Student's t distribution with
:func:`degrees_of_freedom`, where a weight w counts as far as the bet lets it: w/(1 + λ w). The bound is where the
process reaches t²/2. The mean of the processes exceeds 1/α with a probability of α at most, whatever the weights
(Ville's inequality): where hardly any decision counts that bound is the higher one, and is used.

Sources: N. Karampatziakis, J. Langford and P. Mineiro, "Empirical Likelihood for Contextual Bandits", 2020; A. Owen,
"Empirical Likelihood Ratio Confidence Regions", 1990 (the heavier tails); I. Waudby-Smith and A. Ramdas, "Estimating
means of bounded random variables by betting", 2023; I. Waudby-Smith et al., "Anytime-valid off-policy inference for
contextual bandits", 2022. The bets are fixed, because only then is it a bound of the plain mean when μ_t changes.
"""

from __future__ import annotations

from math import log
from statistics import NormalDist
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.estimators import Floats, Interval, Logged

BETS: Final = 16
"""Number of bets in the mixture, each best for another variance."""
_MIN_BET, _MAX_BET = 1 / 30, 1.5
"""The smallest bet in units of √(10/n), right for a variance of 1 (weights of a thousand need less), and the largest
one, right where hardly anything is uncertain."""
_CHUNK_SIZE: Final = 100_000
_MAX_MIXED, _HEAD_SIZE = 200_000, 20_000
"""In a longer log only the head is judged by all bets; the whole log by the one that is best there, for its length."""
_MIN_FORECAST: Final = 1e-4
_CHANCE_GAP: Final = 0.5
"""A gap between the two sides of fewer standard errors is there by chance, although nothing is unseen."""


def value_interval(logged: Logged, target: Floats, alpha: float = 0.05) -> Interval:
    """Return an interval that contains V with a probability of about 1 − ``alpha``.

    It is valid for a logging policy that learns and for models that change. It is not symmetric, and leaves room for
    rare choices that the log did not happen to make. See :func:`bounds`.
    """
    low, high = bounds(logged, target.astype(np.float64), alpha)
    return Interval(max(0.0, low), min(1.0, high))


def gain_interval(logged: Logged, target: Floats, alpha: float = 0.05, *, base: Floats | None = None) -> Interval:
    """Return an interval for V less the value of ``base``, by default that of the policy that made the log.

    The same confidence as :func:`value_interval`. Nothing is uncertain where the two agree, so it is narrower than the
    difference of two intervals.
    """
    than = logged.propensities if base is None else base
    low, high = bounds(logged, target.astype(np.float64) - than, alpha)
    return Interval(max(-1.0, low), min(1.0, high))


def lower_bound(logged: Logged, shares: Floats, alpha: float) -> float:
    """Return a number that S exceeds with a probability of about 1 − ``alpha``; ``shares`` are c, n × m."""
    return _Side(logged, shares, alpha).at(alpha) if shares.any() else 0.0


def bounds(logged: Logged, shares: Floats, alpha: float = 0.05) -> tuple[float, float]:
    """Return two numbers that have S between them with a probability of about 1 − ``alpha``.

    Each bound is what it is for two reasons: chance, which is t standard errors, and choices that the log practically
    never makes, whose rewards are taken as all 0 at one end and all 1 at the other. If those leave a gap between the
    ends, S cannot be missed at both. The distance of each, c standard errors, then only has to fulfil
    Φ(c + gap) − Φ(−c) = 1 − α: with a wide gap c is 1.64 instead of 1.96. If chance has brought the two sides closer
    than their standard errors allow, they are moved apart again around their middle.

    Sources: G. Imbens and C. Manski, "Confidence Intervals for Partially Identified Parameters", 2004; J. Stoye, "More
    on Confidence Intervals for Partially Identified Parameters", 2009.
    """
    if not shares.any():
        return 0.0, 0.0
    below, above = _Side(logged, shares, alpha / 2), _Side(logged, -shares, alpha / 2)
    low, high = below.at(alpha / 2), 0.0 - above.at(alpha / 2)
    gap = high - low - below.distance - above.distance
    gap_in_errors = gap / max(below.error, above.error)
    if gap_in_errors > _CHANCE_GAP:
        each = _alpha_beside(gap_in_errors - _CHANCE_GAP, alpha)
        return below.at(each), 0.0 - above.at(each)
    closer = min(0.0, gap) / 2
    return low + closer, high - closer


class _Side:
    """The bound on one side, at any confidence."""

    def __init__(self, logged: Logged, shares: Floats, alpha: float) -> None:
        self._count = len(logged)
        unit = (10.0 / self._count) ** 0.5
        bets = np.geomspace(_MIN_BET * unit, max(_MAX_BET, unit), BETS)
        if self._count > _MAX_MIXED:
            head = slice(0, _HEAD_SIZE)
            process = _Process(bets)
            process.run(logged.only(head), shares[head])
            bets = bets[[process.best(alpha)]] * (_HEAD_SIZE / self._count) ** 0.5
        self._process = _Process(bets)
        self._process.run(logged, shares)
        best = self._process.best(alpha)
        level = float(self._process.levels(alpha)[best])
        self.distance = 2.0 * level / float(bets[best]) / self._count
        """That of the bound from what is expected at the best bet: t standard errors."""
        self.error = self.distance / (2.0 * level) ** 0.5

    def at(self, alpha: float) -> float:
        """Return the lower bound that S exceeds with a probability of about 1 − ``alpha``."""
        process = self._process
        single = float(process.totals(alpha).max())
        return (max(single, _solve(process.bets, process.logs, log(1.0 / alpha))) + process.offset) / self._count


class _Process:
    """The logarithm of the process of each bet for a total of 0."""

    def __init__(self, bets: Floats) -> None:
        self.bets = bets
        self.logs = np.zeros(len(bets))
        self.offset = 0.0
        """The sum of the negative shares."""
        self._squares, self._fourths = np.zeros(len(bets)), np.zeros(len(bets))

    def run(self, logged: Logged, shares: Floats) -> None:
        """Add all decisions."""
        for start in range(0, len(logged), _CHUNK_SIZE):
            self._add(logged, shares, slice(start, start + _CHUNK_SIZE))

    def levels(self, alpha: float) -> Floats:
        """Return the level that the logarithm of each bet must reach: at most that of Ville's inequality for all."""
        freedom = degrees_of_freedom(self._squares, self._fourths)
        return np.array([min(_level(each, alpha), log(BETS / alpha)) for each in freedom.tolist()])

    def totals(self, alpha: float) -> Floats:
        """Return the total at which each bet reaches its level."""
        totals: Floats = (self.logs - self.levels(alpha)) / self.bets
        return totals

    def best(self, alpha: float) -> int:
        """Return which bet gives the highest bound."""
        return int(np.argmax(self.totals(alpha)))

    def _add(self, logged: Logged, shares: Floats, part: slice) -> None:
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
        for position, bet in enumerate(self.bets):
            control = _control(bet * ratio, forecast)
            won = bet * ratio[taken] * (reward - control[taken])
            self.logs[position] += np.log1p(won).sum() + bet * float(size @ control)
            counted = np.square(ratio[taken] / (1.0 + bet * ratio[taken]))
            self._squares[position] += counted.sum()
            self._fourths[position] += np.square(counted).sum()
        self.offset += float(np.minimum(share, 0.0).sum())


def degrees_of_freedom(squares: Floats, fourths: Floats) -> Floats:
    """Return (Σ w²)²/Σ w⁴: the number of terms of equal size that a sum of terms with variances w² amounts to.

    Source: F. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946.

    >>> degrees_of_freedom(np.array([12.0, 0.0]), np.array([48.0, 0.0])).tolist()
    [3.0, 0.0]
    """
    none = np.zeros(len(squares))
    freedom: Floats = np.divide(np.square(squares), fourths, out=none, where=fourths > 0.0)
    return freedom


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


def _alpha_beside(gap: float, alpha: float) -> float:
    """Return the α of each side if the gap between them is so many standard errors wide.

    >>> round(_alpha_beside(0.0, 0.05), 4), round(_alpha_beside(3.0, 0.05), 4)
    (0.025, 0.05)
    """
    normal = NormalDist()
    least, most = normal.inv_cdf(1.0 - alpha), normal.inv_cdf(1.0 - alpha / 2)
    for _ in range(50):
        middle = 0.5 * (least + most)
        holds = normal.cdf(middle + gap) - normal.cdf(-middle) >= 1.0 - alpha
        least, most = (least, middle) if holds else (middle, most)
    return 1.0 - normal.cdf(most)


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
