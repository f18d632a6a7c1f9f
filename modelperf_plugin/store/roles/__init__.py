"""What a store promises: one narrow protocol for each role.

These promises hold for every role of every store, and one suite of contract tests checks them:

- Any thread of any process may call any method at any time.
- A failure is a :class:`~modelperf_plugin.errors.StoreError`, and leaves the store as it was before the call.
- Methods that write are one transaction each. On a store that is open for reading only they fail.
"""

from modelperf_plugin.store.roles.evidence import (
    EVERYTHING,
    Choices,
    DatedTallies,
    Events,
    Outcomes,
    ServedModels,
    Span,
    Spending,
    Tallies,
    Trends,
)
from modelperf_plugin.store.roles.log import ABTests, DecisionHistory, DecisionLog, UnmatchedOutcomes
from modelperf_plugin.store.roles.upkeep import Connection, Editing, Maintenance, Problems
from modelperf_plugin.store.roles.watching import Changes, Demotions, WatchStates

__all__ = [
    "EVERYTHING",
    "ABTests",
    "Changes",
    "Choices",
    "Connection",
    "DatedTallies",
    "DecisionHistory",
    "DecisionLog",
    "Demotions",
    "Editing",
    "Events",
    "Maintenance",
    "Outcomes",
    "Problems",
    "ServedModels",
    "Span",
    "Spending",
    "Tallies",
    "Trends",
    "UnmatchedOutcomes",
    "WatchStates",
]
