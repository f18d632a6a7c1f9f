"""A change of a model: a CUSUM over all its task types, in both directions.

For every outcome x (1 a success, 0 a failure) whose rate was predicted as p, the log-likelihood ratio of a rate that is
δ logits away is

    l = δ x − ln(1 + p (e^δ − 1)),      δ = ±1.5
    S ← max(0, S + l),                  alarm at S ≥ ln 20,000

for each direction. The change is dated to the last time that S was zero. By Lorden's bound, one direction runs for
20,000 outcomes or more on average to a false alarm, as long as the predictions are right; in simulations of rates
from .3 to .9, both together run for 80,000 to 140,000.

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
"""The S at which a direction gives an alarm."""
MAX_STATISTIC: Final = 100.0
"""S never grows beyond this, so that its exponential stays finite."""
MIN_RATE, MAX_RATE = 0.02, 0.98
"""Predictions are not trusted beyond these: one outcome must not weigh all."""
_UP, _DOWN = expm1(SHIFT), expm1(-SHIFT)

Direction = Literal["up", "down"]


class Alarm(NamedTuple):
    """A change of one model that people want to see."""

    direction: Direction
    """Whether it succeeds more often or less often than predicted."""
    since: int
    """The estimated change point: the outcomes after this position were under the new rate."""
    likelihood_ratio: float
    """How many times as likely the outcomes since then are under the new rate as under the predicted one."""


class ChangeWatch(NamedTuple):
    """The evidence of a change, after some outcomes. Start a new one after an alarm.

    >>> watch = ChangeWatch()
    >>> for position in range(1, 53):
    ...     watch = watch.updated(predicted=0.8, success=position <= 40, position=position)
    >>> alarm = watch.alarm()
    >>> alarm and (alarm.direction, alarm.since, round(alarm.likelihood_ratio))
    ('down', 40, 115652)
    """

    up: float = 0.0
    """S for a better rate."""
    up_since: int = 0
    """The position at which it was last zero; 0 is before the first."""
    down: float = 0.0
    """S for a worse rate."""
    down_since: int = 0
    """The position at which it was last zero."""

    def updated(self, predicted: float, success: bool, position: int) -> ChangeWatch:
        """Return the evidence after another outcome, O(1).

        ``predicted`` is the rate of success believed before it; ``position`` is the outcome's place in any count
        that starts at 1 and only grows, such as its row in the log.
        """
        rate = min(max(predicted, MIN_RATE), MAX_RATE)
        gain = SHIFT if success else 0.0
        up = self.up + gain - log1p(rate * _UP)
        down = self.down - gain - log1p(rate * _DOWN)
        up, up_since = (min(up, MAX_STATISTIC), self.up_since) if up > 0.0 else (0.0, position)
        down, down_since = (min(down, MAX_STATISTIC), self.down_since) if down > 0.0 else (0.0, position)
        return ChangeWatch(up, up_since, down, down_since)

    def alarm(self, level: float = ALARM) -> Alarm | None:
        """Return the alarm, if there is one; the better founded if the rate has changed both ways."""
        if max(self.up, self.down) < level:
            return None
        if self.up >= self.down:
            return Alarm("up", self.up_since, exp(self.up))
        return Alarm("down", self.down_since, exp(self.down))

    def as_list(self) -> list[float]:
        """Return the state for storage: plain finite numbers."""
        return list(self)

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Return the state from what :meth:`as_list` gave."""
        if len(stored) != 4:
            raise InvalidValueError("stored", "the 4 numbers of a change watch", stored)
        up, up_since, down, down_since = stored
        return cls(up, int(up_since), down, int(down_since))


def shifted(rate: float, direction: Direction) -> float:
    """Return ``rate`` moved by the 1.5 logits that an alarm speaks of.

    >>> round(shifted(0.8, "down"), 2), round(shifted(0.5, "up"), 2)
    (0.47, 0.82)
    """
    change = _UP if direction == "up" else _DOWN
    return rate * (1.0 + change) / (1.0 + rate * change)
