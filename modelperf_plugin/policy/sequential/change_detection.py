"""Detects a change of a model: a CUSUM over all its task types, in both directions.

For every outcome x (1 a success, 0 a failure) whose rate was predicted as p, the log-likelihood ratio of a rate that is
δ logits away is

    l = δ x − ln(1 + p (e^δ − 1)),      δ = ±1.5
    S ← max(0, S + l),                  alarm at S ≥ ln 20,000

for each direction. The change is dated to the last time that S was zero. By Lorden's bound, one direction runs for
at least 20,000 outcomes on average to a false alarm, as long as the predictions are right; in simulations of rates
from .3 to .9, both together run for 80,000 to 140,000.

For a grade x between 0 and 1, l is the logarithm of the linear interpolation between the likelihood ratios of a failure
and of a success, ln(1 + x (e^δ − 1)) − ln(1 + p (e^δ − 1)). Its exponential is 1 on average whenever the mean grade is
p, whatever the distribution, and Lorden's bound needs no more: Σ exp over all starting points is a martingale plus the
number of outcomes, and it exceeds e^S.

Sources: E. Page, "Continuous inspection schemes", 1954; G. Lorden, "Procedures for reacting to a change in
distribution", 1971.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, log, log1p
from typing import Final, Literal, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError

SHIFT: Final = 1.5
"""δ in logits: from .80 to .47, or from .50 to .82."""
ALARM: Final = log(20_000.0)
"""The S at which a direction raises an alarm."""
MAX_STATISTIC: Final = 100.0
"""Maximum of S, so that its exponential stays finite."""
MIN_RATE, MAX_RATE = 0.02, 0.98
"""A model is not believed to be worse, or better, than this when it turns out better, or worse."""
_UP, _DOWN = expm1(SHIFT), expm1(-SHIFT)

Direction = Literal["up", "down"]


class Alarm(NamedTuple):
    """A detected change of one model."""

    direction: Direction
    """Whether it succeeds more or less often than predicted."""
    since: int
    """Estimated change point: the outcomes after this position were under the new rate."""
    likelihood_ratio: float
    """Likelihood of the outcomes since then under the new rate, relative to the predicted one."""


class ChangeWatch(NamedTuple):
    """The state of the test after some outcomes. Start a new one after an alarm.

    >>> watch = ChangeWatch()
    >>> for position in range(1, 53):
    ...     watch = watch.updated(predicted=0.8, grade=position <= 40, position=position)
    >>> alarm = watch.alarm()
    >>> alarm and (alarm.direction, alarm.since, round(alarm.likelihood_ratio))
    ('down', 40, 115652)
    """

    up: float = 0.0
    """S for a higher rate."""
    up_since: int = 0
    """Position at which it was last zero; 0 is before the first."""
    down: float = 0.0
    """S for a lower rate."""
    down_since: int = 0

    def updated(self, predicted: float, grade: float, position: int, highest: float | None = None) -> ChangeWatch:
        """Return the state after another outcome, O(1).

        ``grade`` is its score, or 1 for a success and 0 for a failure; ``predicted`` is the mean believed before it,
        the success rate; ``position`` is an increasing number from 1, such as its
        row in the log. If the chance of success is uncertain, ``predicted`` is the lowest plausible one, and
        ``highest`` the highest.
        """
        highest = max(MIN_RATE, min(predicted if highest is None else highest, 1.0))
        lowest = min(max(0.0, predicted), MAX_RATE)
        if 0.0 < grade < 1.0:
            gain, loss = log1p(grade * _UP), log1p(grade * _DOWN)
        else:
            gain, loss = (SHIFT, -SHIFT) if grade else (0.0, 0.0)
        up = self.up + gain - log1p(highest * _UP)
        down = self.down + loss - log1p(lowest * _DOWN)
        up, up_since = (min(up, MAX_STATISTIC), self.up_since) if up > 0.0 else (0.0, position)
        down, down_since = (min(down, MAX_STATISTIC), self.down_since) if down > 0.0 else (0.0, position)
        return ChangeWatch(up, up_since, down, down_since)

    def alarm(self, level: float = ALARM) -> Alarm | None:
        """Return the alarm, if any; the stronger one if both directions raise it."""
        if max(self.up, self.down) < level:
            return None
        if self.up >= self.down:
            return Alarm("up", self.up_since, exp(self.up))
        return Alarm("down", self.down_since, exp(self.down))

    def as_list(self) -> list[float]:
        """Return the state as finite numbers, for storage."""
        return list(self)

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Restore the state that :meth:`as_list` returned."""
        if len(stored) != 4:
            raise InvalidValueError("stored", "the 4 numbers of a change watch", stored)
        up, up_since, down, down_since = stored
        return cls(up, int(up_since), down, int(down_since))


def shifted(rate: float, direction: Direction) -> float:
    """Return ``rate`` shifted by the 1.5 logits of an alarm.

    >>> round(shifted(0.8, "down"), 2), round(shifted(0.5, "up"), 2)
    (0.47, 0.82)
    """
    change = _UP if direction == "up" else _DOWN
    return rate * (1.0 + change) / (1.0 + rate * change)
