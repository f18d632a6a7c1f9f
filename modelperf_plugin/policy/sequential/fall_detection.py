"""Detects a fall of a success rate below a threshold, and its recovery.

The test is an e-process, the wealth of a bet against "the rate is at least θ": if that is true, the wealth ever
reaches 1/α with a probability of at most α, however often it is evaluated. The bet is that the model broke before
outcome i, with prior weight w_i, and that its rate has been q since:

    L_q = (q/θ)^x ((1 − q)/(1 − θ))^(1 − x)     for every outcome x, 1 a success and 0 a failure
    M_q ← (M_q + w_i) L_q                       for each of five alternatives q below θ
    E   = mean of M_q + the weight not yet spent,    demote when E ≥ 1/α

Given the past, L_q is 1 on average if the rate is θ, and less if it is higher; so is E against what it was before.

A grade x between 0 and 1 counts as the linear interpolation x L_q(1) + (1 − x) L_q(0), a bet on a bounded value: its
average only depends on the mean of x, so E remains an e-process for grades of any distribution with a mean of at least
θ. It is never less than the geometric mean of the two, the average bet on a coin that shows success with chance x.

On a task that others have failed, the chance of success is lower than the rate: g(p) for a model of rate p, increasing
in p. There θ and q give way to g(θ) and g(q):

    L_q = (g(q)/g(θ))^x ((1 − g(q))/(1 − g(θ)))^(1 − x)

A rate of at least θ means a chance of at least g(θ), and L_q falls with x because g(q) < g(θ). So the average of L_q is
still at most 1, and E remains an e-process, whichever outcomes are later tries and whichever models failed before: both
are known before the outcome. If g is too low by some error, the average is only smaller. So g is the lowest plausible
one (see :mod:`modelperf_plugin.policy.sequential.later_tries`).

The weights are w_i = W(i) − W(i + 1) with W(i) = ln 10 / ln(i + 10), the weight not yet spent after i outcomes: the
integral of a density ∝ 1/((x + 10) ln²(x + 10)) from i to i + 1. They fade slowly enough that a model which breaks
after a thousand outcomes is caught almost as soon as one which breaks after two hundred.

Sources: A. Shiryaev, "On optimum methods in quickest detection problems", 1963 (the recursion); J. Shin, A. Ramdas and
A. Rinaldo, "E-detectors", 2023 (mixtures over change points); A. Ramdas et al., "Game-theoretic statistics and safe
anytime-valid inference", 2023 (e-processes).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, floor, lgamma, log, log1p
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.difficulty import Harder
from modelperf_plugin.policy.intervals import expit

ALTERNATIVES: Final = (0.2, 0.35, 0.5, 0.6, 0.68)
"""Possible rates after a fall, for a threshold of .75; other thresholds scale them."""
RATIOS: Final = tuple(rate / 0.75 for rate in ALTERNATIVES)
"""q/θ, the factor of a success, whatever the threshold."""
MAX_THRESHOLD: Final = 0.999
"""Maximum threshold: a higher one counts as this, in favour of the model."""
MAX_MASS: Final = 1e100
"""Maximum of an M: finite in storage, and a smaller E is never wrong."""
MIN_RATE: Final = 0.001
"""Minimum rate of a later try, so that its logit is finite."""
OFFSET: Final = 10
START: Final = log(OFFSET)


class FallWatch(NamedTuple):
    """The state of the test after some outcomes: five numbers and a count.

    Call :meth:`demotes` after every outcome: the e-value can fall again later.

    >>> watch = FallWatch()
    >>> for success in [True] * 100 + [False] * 6:
    ...     watch = watch.updated(success, threshold=0.75)
    >>> round(watch.e_value, 2), watch.demotes()
    (1.08, False)
    """

    outcomes: int = 0
    masses: tuple[float, ...] = (0.0,) * len(ALTERNATIVES)
    """M for each alternative: the current wealth of the weight spent on it."""

    def updated(self, grade: float, threshold: float, harder: Harder | None = None) -> FallWatch:
        """Return the state after another outcome, O(1): its score, or 1 for a success and 0 for a failure.

        The threshold may differ between outcomes, but must be known before each. The null hypothesis then is that the
        rate was at least the threshold each time. For a later try ``harder`` gives the lowest plausible chance.
        """
        count = self.outcomes
        spent = START / log(count + OFFSET) - START / log(count + OFFSET + 1)
        factors = _factors(grade, threshold, harder)
        masses = tuple([(mass + spent) * factor for mass, factor in zip(self.masses, factors, strict=True)])
        if max(masses) > MAX_MASS:
            masses = tuple([min(MAX_MASS, mass) for mass in masses])
        return FallWatch(count + 1, masses)

    def excused(self, before: float, after: float | None, threshold: float, harder: Harder | None = None) -> FallWatch:
        """Return the state after an earlier outcome got another verdict; ``after`` is None if it says nothing by now.

        A verdict in favour of the model takes back what the former one had won against it, from all wealth since. One
        against it changes nothing. So E is at most what it is with the first verdicts, and what it is with the final
        ones: the bound holds if either have a rate of at least the threshold.
        """
        won = _factors(before, threshold, harder)
        due = (1.0,) * len(won) if after is None else _factors(after, threshold, harder)
        masses = [mass * min(1.0, new / old) for mass, new, old in zip(self.masses, due, won, strict=True)]
        return FallWatch(self.outcomes, tuple(masses))

    @property
    def e_value(self) -> float:
        """E: the wealth of the bet against the model; 1 without any outcome."""
        return sum(self.masses) / len(self.masses) + START / log(self.outcomes + OFFSET)

    def demotes(self, alpha: float = 0.05) -> bool:
        """Return whether to demote, with a probability of at most ``alpha`` to ever do so wrongly."""
        return self.e_value * alpha >= 1.0

    def as_list(self) -> list[float]:
        """Return the state for storage: plain finite numbers."""
        return [self.outcomes, *self.masses]

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Restore the state that :meth:`as_list` returned."""
        if len(stored) != len(ALTERNATIVES) + 1:
            raise InvalidValueError("stored", f"the {len(ALTERNATIVES) + 1} numbers of a fall watch", stored)
        outcomes, *masses = stored
        return cls(int(outcomes), tuple(masses))


class Probation(NamedTuple):
    """Outcomes of a demoted model since its demotion; earlier ones do not count.

    A grade x counts as x of a success and 1 − x of a failure. Of all distributions on [0, 1] with the same mean, 0 and
    1 alone spread the sum most: the chance that it is t or more is at most e times that of a count of successes
    (Bentkus, "On Hoeffding's inequalities", 2004), and below it in all cases tried (see the tests), since counts are
    rounded against the change: successes down and failures up to reinstate, the opposite to start over.

    A later try counts as the first tries that say the same about a rate near the threshold θ. With g, the chance of a
    model of rate θ after those failures, and b, the change of logit g with the logit of the rate, the outcome x has
    the score b (x − g) and the information b² g (1 − g); first tries with s successes among n have s − n θ and
    n θ (1 − θ). So n = b² g (1 − g)/(θ (1 − θ)) and s = n θ + b (x − g). Both are scaled down if n is above 1.

    >>> Probation(successes=10).reinstates(threshold=0.75), Probation(successes=9).reinstates(threshold=0.75)
    (True, False)
    """

    successes: float = 0
    failures: float = 0

    def updated(self, grade: float) -> Probation:
        """Return the counts after another first try: its score, or 1 for a success and 0 for a failure."""
        return Probation(self.successes + grade, self.failures + (1 - grade))

    def revised(self, before: float | None, after: float | None) -> Probation:
        """Return the counts after a first try got another verdict; None stands for one that says nothing."""
        successes, failures = self
        if before is not None:
            successes, failures = successes - before, failures - (1 - before)
        if after is not None:
            successes, failures = successes + after, failures + (1 - after)
        return Probation(max(0.0, successes), max(0.0, failures))  # they may have started over since

    def updated_later(self, grade: float, threshold: float, harder: Harder) -> Probation:
        """Return the counts after a later try, where ``harder`` gives the highest plausible chance."""
        limit = min(max(threshold, MIN_RATE), MAX_THRESHOLD)
        slope, offset = harder.line(_logit(limit))
        expected = expit(slope * _logit(limit) + offset)
        outcomes = slope**2 * expected * (1.0 - expected) / (limit * (1.0 - limit))
        weight = 1.0 / max(1.0, outcomes)
        outcomes, score = weight * outcomes, weight * slope * (grade - expected)
        successes = outcomes * limit + score
        return Probation(max(0.0, self.successes + successes), max(0.0, self.failures + outcomes - successes))

    def reinstates(self, threshold: float, level: float = 0.95, minimum: int = 8) -> bool:
        """Return whether P(p > ``threshold``) > ``level``, after ``minimum`` outcomes, from a uniform prior."""
        if self.successes + self.failures < minimum:
            return False
        return chance_above(threshold, floor(self.successes), ceil(self.failures)) > level

    def fails(self, threshold: float, level: float = 0.95, minimum: int = 8) -> bool:
        """Return whether P(p < ``threshold``) > ``level``: then start over, so that a later recovery is not held back.

        >>> Probation(failures=8).fails(threshold=0.75), Probation(successes=4, failures=3).fails(threshold=0.75)
        (True, False)
        """
        if self.successes + self.failures < minimum:
            return False
        return chance_above(threshold, ceil(self.successes), floor(self.failures)) < 1.0 - level

    def as_list(self) -> list[float]:
        """Return the state as finite numbers, for storage."""
        return [self.successes, self.failures]

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Restore the state that :meth:`as_list` returned."""
        if len(stored) != 2:
            raise InvalidValueError("stored", "the 2 numbers of a probation", stored)
        successes, failures = stored
        return cls(successes, failures)


def _factors(grade: float, threshold: float, harder: Harder | None) -> tuple[float, ...]:
    """Return L for each alternative, of an outcome with this score."""
    limit = min(max(threshold, 0.0), MAX_THRESHOLD)
    failure, success = (_on_failure(limit), RATIOS) if harder is None else _on_later_try(limit, harder)
    if 0.0 < grade < 1.0:
        rest = 1.0 - grade
        return tuple([grade * won + rest * lost for won, lost in zip(success, failure, strict=True)])
    return success if grade else failure


@lru_cache(maxsize=1024)
def _on_failure(threshold: float) -> tuple[float, ...]:
    """Return (1 − q)/(1 − θ) for each alternative, the factor of a failure."""
    return tuple([(1.0 - ratio * threshold) / (1.0 - threshold) for ratio in RATIOS])


@lru_cache(maxsize=1024)
def _on_later_try(threshold: float, harder: Harder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return for each alternative the factor of a failure and that of a success."""
    limit, *chances = [harder.chance(_logit(ratio * threshold)) for ratio in (1.0, *RATIOS)]
    failure = tuple([(1.0 - chance) / (1.0 - limit) for chance in chances])
    return failure, tuple([chance / limit for chance in chances])


def _logit(rate: float) -> float:
    rate = max(rate, MIN_RATE)
    return log(rate / (1.0 - rate))


def chance_above(threshold: float, successes: int, failures: int) -> float:
    """Return P(p > ``threshold``) for p of Beta(1 + ``successes``, 1 + ``failures``).

    That is P(X ≤ successes) for X binomial of n + 1 trials with probability ``threshold``: a finite sum, from the
    largest term of the smaller tail outwards until the terms are negligible, after about √n of them.
    Source: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 26.5.24.

    >>> chance_above(0.5, 0, 0), chance_above(0.5, 2, 0)
    (0.5, 0.875)
    """
    if threshold <= 0.0:
        return 1.0
    if threshold >= 1.0:
        return 0.0
    trials = successes + failures + 1
    if successes < trials * threshold:
        return _tail(trials, successes, threshold)
    return 1.0 - _tail(trials, failures, 1.0 - threshold)


def _tail(trials: int, highest: int, chance: float) -> float:
    """Return P(X ≤ ``highest``) for X binomial; ``highest`` is at most about the mean, so that terms only shrink."""
    log_term = lgamma(trials + 1) - lgamma(highest + 1) - lgamma(trials - highest + 1)
    term = exp(log_term + highest * log(chance) + (trials - highest) * log1p(-chance))
    total, odds = term, (1.0 - chance) / chance
    for k in range(highest, 0, -1):
        term *= k / (trials - k + 1) * odds
        total += term
        if term <= total * 1e-17:
            break
    return min(1.0, total)
