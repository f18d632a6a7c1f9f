"""Stores: where outcomes and tallies are kept. Knows no policy."""

from __future__ import annotations

from modelperf_plugin.store.ab_tests import ContestVerdict, DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.store.decision_summary import DecisionSummary, ModeSummary
from modelperf_plugin.store.decisions import FormerVerdict, JoinedOutcome, LoggedCandidate, LoggedDecision
from modelperf_plugin.store.entries import CountedProblem, DroppedStep, Entry, Finding, Recorded
from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.opening import open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.trends import Days, DecisionSearch, DecisionSums, FoundDecisions, LatestChoice, TrendStep
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Faded, Revision, WatchState

__all__ = [
    "Attached",
    "Baseline",
    "Change",
    "ContestVerdict",
    "CountedProblem",
    "Days",
    "DecisionOutcome",
    "DecisionRecord",
    "DecisionSearch",
    "DecisionSummary",
    "DecisionSums",
    "Demotion",
    "Direction",
    "DrawnDecisions",
    "DroppedStep",
    "Entry",
    "Event",
    "EventRow",
    "Faded",
    "Finding",
    "FormerVerdict",
    "FoundDecisions",
    "ImportRecord",
    "JoinedOutcome",
    "Joining",
    "LatestChoice",
    "LoggedCandidate",
    "LoggedDecision",
    "Merged",
    "ModeSummary",
    "Prior",
    "Recorded",
    "Revision",
    "Stake",
    "Step",
    "Store",
    "StoredContest",
    "StoredTest",
    "Sums",
    "TrendStep",
    "WatchState",
    "open_store",
    "open_to_read",
    "open_with_fallback",
]
