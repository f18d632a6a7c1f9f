"""Counts and sums for one task type and model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from modelperf_plugin.values.moments import from_milliseconds
from modelperf_plugin.values.outcome import BLAMES, NANO_USD, WHOLE_SCORE, Outcome


class Tally(NamedTuple):
    """Counts and sums for one (task type, model); nothing is estimated."""

    task_type: str
    model_id: str
    successes: int = 0
    failures: int = 0
    """Unsuccessful outcomes, whatever the reason."""
    timeouts: int = 0
    """Outcomes that timed out, failed or not."""
    outages: int = 0
    """Failures of the provider: rate_limit, server_error, network, unavailable."""
    caller_errors: int = 0
    """Failures of the caller: cancelled, caller_error."""
    total_tokens: int = 0
    total_cost_nano_usd: int = 0
    priced: int = 0
    """Outcomes with a reported cost above 0."""
    last_used_ms: int | None = None
    """When the newest outcome ended, in milliseconds since the Unix epoch; None without any."""
    timeout_failures: int = 0
    """Failures that timed out, have no score, and are neither outages nor the caller's errors."""
    later_successes: int = 0
    """The successes that were later tries: other tries had failed on the same task before."""
    later_failures: int = 0
    """The quality failures that were later tries."""
    later_timeout_failures: int = 0
    """The timeout failures that were later tries."""
    graded: int = 0
    """Outcomes with a score, without failures that say nothing about the model."""
    score_shift: int = 0
    """The sum of their scores minus their successes, in millionths. So the sum of all verdicts, where one without a
    score is 0 or 1, is ``successes`` + ``score_shift`` / 1,000,000."""
    later_score_shift: int = 0
    """The part of ``score_shift`` from later tries."""

    @property
    def samples(self) -> int:
        """Outcomes of any kind."""
        return self.successes + self.failures

    @property
    def success_rate(self) -> float | None:
        """Successes over all outcomes, including outages (the migration guide's rule); None without any."""
        samples = self.successes + self.failures
        return self.successes / samples if samples else None

    @property
    def quality_failures(self) -> int:
        """Failures of the model: neither outages nor the caller's errors."""
        return self.failures - self.outages - self.caller_errors

    @property
    def first_successes(self) -> int:
        """The successes of first tries."""
        return self.successes - self.later_successes

    @property
    def first_failures(self) -> int:
        """The quality failures of first tries."""
        return self.quality_failures - self.later_failures

    @property
    def mean_score(self) -> float | None:
        """Mean of the verdicts that say something about the model; None without any.

        A verdict is the score of an outcome or, without one, 1 for a success and 0 for a failure.
        """
        verdicts = self.successes + self.quality_failures
        return (self.successes + self.score_shift / WHOLE_SCORE) / verdicts if verdicts else None

    @property
    def availability(self) -> float | None:
        """Fraction of outcomes that were not outages; None without any."""
        samples = self.successes + self.failures
        return 1.0 - self.outages / samples if samples else None

    @property
    def total_cost_usd(self) -> float:
        """Total cost in US dollars."""
        return self.total_cost_nano_usd / NANO_USD

    @property
    def mean_cost_usd(self) -> float | None:
        """Mean of the reported costs in US dollars; None without any."""
        return self.total_cost_nano_usd / (NANO_USD * self.priced) if self.priced else None

    @property
    def cost_per_success_usd(self) -> float | None:
        """US dollars spent per success, including failures; None without a success or a reported cost.

        Outcomes without a cost are estimated at the mean of the others.
        """
        mean = self.mean_cost_usd
        return mean * self.samples / self.successes if mean is not None and self.successes else None

    @property
    def last_used(self) -> datetime | None:
        """When the newest outcome ended, in UTC."""
        return None if self.last_used_ms is None else from_milliseconds(self.last_used_ms)

    def plus(self, outcome: Outcome, at_ms: int, *, later: bool = False) -> Tally:
        """Return this tally plus an outcome that ended at ``at_ms``; ``later``: not the first try of a task."""
        failed = not outcome.success
        blame = BLAMES[outcome.error_kind] if failed else None
        cost = outcome.cost_nano_usd
        newest = self.last_used_ms
        score = None if outcome.score is None else outcome.score_millionths
        timeout_failure = blame == "model" and outcome.timeout and score is None
        shift = 0 if score is None else score - WHOLE_SCORE * outcome.success
        return Tally(
            self.task_type, self.model_id, self.successes + outcome.success, self.failures + failed,
            self.timeouts + outcome.timeout, self.outages + (blame == "provider"),
            self.caller_errors + (blame == "caller"), self.total_tokens + outcome.tokens_used,
            self.total_cost_nano_usd + cost, self.priced + (cost > 0),
            at_ms if newest is None or at_ms > newest else newest,
            self.timeout_failures + timeout_failure, self.later_successes + (later and outcome.success),
            self.later_failures + (later and blame == "model"),
            self.later_timeout_failures + (later and timeout_failure), self.graded + (score is not None),
            self.score_shift + shift, self.later_score_shift + (shift if later else 0),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return the tally as plain JSON values."""
        last_used = self.last_used
        values = {name: getattr(self, name) for name in _SHOWN}
        return {**values, "last_used": None if last_used is None else last_used.isoformat()}


_SHOWN: Final = (
    "task_type", "model_id", "successes", "failures", "timeouts", "timeout_failures", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "availability", "cost_per_success_usd",
    "later_successes", "later_failures", "later_timeout_failures", "graded", "mean_score",
)  # fmt: skip
_SUMMED: Final = tuple(name for name in Tally._fields if name not in {"task_type", "model_id", "last_used_ms"})


def combine(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies of the same pair."""
    moments = [moment for moment in (one.last_used_ms, other.last_used_ms) if moment is not None]
    sums = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    return one._replace(**sums, last_used_ms=max(moments, default=None))


def mean_costs(tallies: Iterable[Tally]) -> dict[str, float]:
    """Return the mean cost of a task in US dollars for each model with reported costs."""
    sums: dict[str, tuple[float, int]] = {}
    for tally in tallies:
        cost, outcomes = sums.get(tally.model_id, (0.0, 0))
        sums[tally.model_id] = (cost + tally.total_cost_usd, outcomes + tally.priced)
    return {model_id: cost / outcomes for model_id, (cost, outcomes) in sums.items() if outcomes}
