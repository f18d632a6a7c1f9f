"""What counts as a failure of the model, as configured: :mod:`modelperf_plugin.values.outcome` says who is to blame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from modelperf_plugin.values import WHOLE_SCORE, Blame, Outcome, Tally

Timeouts = Literal["failure", "outage", "ignore"]
"""What a failed task that ran out of time counts as."""


def is_informative(blame: Blame | None, timed_out: bool, timeouts: Timeouts) -> bool:
    """Return whether an outcome is informative about the model: a success, or a failure that it is to blame for."""
    return blame is None or (blame == "model" and not (timed_out and timeouts != "failure"))


def is_outage(blame: Blame | None, timed_out: bool, timeouts: Timeouts) -> bool:
    """Return whether an outcome is an outage of the provider."""
    return blame == "provider" or (blame == "model" and timed_out and timeouts == "outage")


def is_verdict(outcome: Outcome, timeouts: Timeouts) -> bool:
    """Return the same of a whole outcome: with a score it counts by that, whether or not it timed out."""
    return is_informative(outcome.blame, outcome.timeout and outcome.score is None, timeouts)


def later_counts(tally: Tally) -> tuple[int, int, int, int]:
    """Return the successes, quality failures, timeout failures and the shift of scores that were later tries."""
    return tally.later_successes, tally.later_failures, tally.later_timeout_failures, tally.later_score_shift


def by_score(successes: float, failures: float, score_shift: float) -> tuple[float, float]:
    """Return counts in which an outcome with a score counts as that much of a success, and the rest of a failure.

    ``score_shift`` is Σ (score − success) over these outcomes, in millionths. What another program has written may
    exceed what they allow: neither count falls below zero.

    >>> by_score(2, 1, -500_000), by_score(2, 1, 0)
    ((1.5, 1.5), (2, 1))
    """
    if not score_shift:
        return successes, failures
    shift = max(-successes, min(failures, score_shift / WHOLE_SCORE))
    return successes + shift, failures - shift


def quality_failures(failures: float, timeout_failures: float, timeouts: Timeouts) -> float:
    """Return the failures that count against the model, of those that it is to blame for."""
    return failures if timeouts == "failure" else failures - timeout_failures


def classified(evidence: Mapping[str, Tally], timeouts: Timeouts) -> Mapping[str, Tally]:
    """Return the tallies of a task type with failed timeouts counted as configured; the same mapping if as failures.

    An outcome with a score counts by it, whether or not it timed out: it is no failed timeout.
    """
    if timeouts == "failure":
        return evidence
    return {model_id: of_timeouts(tally, timeouts) for model_id, tally in evidence.items()}


def of_timeouts(tally: Tally, timeouts: Timeouts) -> Tally:
    """Return a tally whose failed timeouts are counted as outages, or as the caller's errors, if so configured."""
    if timeouts == "failure" or not tally.timeout_failures:
        return tally
    if timeouts == "outage":
        return tally._replace(outages=tally.outages + tally.timeout_failures)
    return tally._replace(caller_errors=tally.caller_errors + tally.timeout_failures)
