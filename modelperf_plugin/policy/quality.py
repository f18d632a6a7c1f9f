"""Quality apart from outages: what counts as a failure of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from modelperf_plugin.values import Tally

Timeouts = Literal["failure", "outage", "ignore"]
"""What a failed task that ran out of time counts as."""


def says_something(counts: bool, timed_out: bool, timeouts: Timeouts) -> bool:
    """Return whether an outcome says something about the model.

    ``counts`` is whether it does if failed timeouts count as failures; ``timed_out`` whether it is such a timeout.
    """
    return counts and not (timed_out and timeouts != "failure")


def classified(evidence: Mapping[str, Tally], timeouts: Timeouts) -> Mapping[str, Tally]:
    """Return the tallies of a task type with failed timeouts counted as configured; the same mapping if as failures."""
    if timeouts == "failure":
        return evidence
    return {model_id: of_timeouts(tally, timeouts) for model_id, tally in evidence.items()}


def of_timeouts(tally: Tally, timeouts: Timeouts) -> Tally:
    """Return a tally whose failed timeouts stand among the outages, or among what says nothing of the model."""
    if timeouts == "failure" or not tally.timeout_failures:
        return tally
    if timeouts == "outage":
        return tally._replace(outages=tally.outages + tally.timeout_failures)
    return tally._replace(caller_errors=tally.caller_errors + tally.timeout_failures)
