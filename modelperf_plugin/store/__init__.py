"""Stores: where outcomes and tallies are kept. Knows no policy."""

from __future__ import annotations

from modelperf_plugin.store.abtests import PairVerdict, StoredPair, StoredTest
from modelperf_plugin.store.base import CountedProblem, Entry, Finding, Monitoring, Store
from modelperf_plugin.store.decisions import (
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedCandidate,
    LoggedDecision,
    ModeSummary,
)
from modelperf_plugin.store.monitoring import Baseline, Change, Demotion, Direction, Event, Faded, WatchState
from modelperf_plugin.store.opening import open_steady, open_store, open_to_read

__all__ = [
    "Baseline",
    "Change",
    "CountedProblem",
    "DecisionOutcome",
    "DecisionRecord",
    "DecisionSummary",
    "Demotion",
    "Direction",
    "Entry",
    "Event",
    "Faded",
    "Finding",
    "JoinedOutcome",
    "LoggedCandidate",
    "LoggedDecision",
    "ModeSummary",
    "Monitoring",
    "PairVerdict",
    "Store",
    "StoredPair",
    "StoredTest",
    "WatchState",
    "open_steady",
    "open_store",
    "open_to_read",
]
