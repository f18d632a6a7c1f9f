"""Stores: where outcomes and tallies are kept. Knows no policy."""

from __future__ import annotations

from modelperf_plugin.store.ab_tests import PairVerdict, StoredPair, StoredTest
from modelperf_plugin.store.decisions import (
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedCandidate,
    LoggedDecision,
    ModeSummary,
)
from modelperf_plugin.store.exchange import Attached, EventRow, Exchange, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.opening import open_steady, open_store, open_to_read
from modelperf_plugin.store.roles import CountedProblem, Entry, Finding, Monitoring, Store
from modelperf_plugin.store.trends import Days, DecisionSums, Trends, TrendStep
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Faded, WatchState

__all__ = [
    "Attached",
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
    "EventRow",
    "Exchange",
    "Faded",
    "Finding",
    "ImportRecord",
    "JoinedOutcome",
    "LoggedCandidate",
    "LoggedDecision",
    "Merged",
    "ModeSummary",
    "Monitoring",
    "PairVerdict",
    "Prior",
    "Step",
    "Store",
    "StoredPair",
    "StoredTest",
    "Sums",
    "TrendStep",
    "Trends",
    "WatchState",
    "open_steady",
    "open_store",
    "open_to_read",
]
