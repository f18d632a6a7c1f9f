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
from modelperf_plugin.store.opening import open_store
from modelperf_plugin.store.trends import Days, DecisionSums, Step, Trends

__all__ = [
    "Baseline",
    "Change",
    "CountedProblem",
    "Days",
    "DecisionOutcome",
    "DecisionRecord",
    "DecisionSummary",
    "DecisionSums",
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
    "Step",
    "Store",
    "StoredPair",
    "StoredTest",
    "Trends",
    "WatchState",
    "open_store",
]
