"""Intervals for a probability of success."""

from __future__ import annotations

from math import exp, log, sqrt

Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""


def expit(x: float) -> float:
    """Return 1/(1 + e^-x), the inverse of the logit; safe for any finite ``x``."""
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    e = exp(x)
    return e / (1.0 + e)


def wilson_interval(successes: float, samples: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for a rate of ``successes`` in ``samples`` (at least 1).

    For a sum of scores from 0 to 1 it is too wide: no distribution with that mean varies more than 0 and 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    rate = successes / samples
    zz = z * z / samples
    centre = (rate + zz / 2) / (1 + zz)
    half = z / (1 + zz) * sqrt(rate * (1 - rate) / samples + zz / (4 * samples))
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def beta_interval(alpha: float, beta: float, z: float = Z_95) -> tuple[float, float]:
    """Return an interval with about 95 % of Beta(``alpha``, ``beta``), from the normal on the logit scale.

    The logit of a Beta variable has about mean ln(α/β) and variance 1/α + 1/β; the interval never leaves
    (0, 1). Source: A. Gelman et al., "Bayesian Data Analysis", section 4.1 (normal approximation after a
    transformation).

    >>> low, high = beta_interval(9.0, 3.0)
    >>> round(low, 3), round(high, 3)
    (0.448, 0.917)
    """
    middle = log(alpha / beta)
    half = z * sqrt(1.0 / alpha + 1.0 / beta)
    return expit(middle - half), expit(middle + half)
