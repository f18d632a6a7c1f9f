"""Reads a store under canonical ids.

Nothing in the store is rewritten: an alias counts from the moment that it is configured, and no longer once it is
removed. Without aliases every answer is the store's own object.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelperf_plugin.store.aliases.editing import RenamedEditing
from modelperf_plugin.store.aliases.evidence import (
    RenamedEvents,
    RenamedMerged,
    RenamedServedModels,
    RenamedSpending,
    RenamedTallies,
    RenamedTrends,
)
from modelperf_plugin.store.aliases.log import RenamedABTests, RenamedDecisions, RenamedUnmatched
from modelperf_plugin.store.aliases.recording import RenamedOutcomes
from modelperf_plugin.store.aliases.watching import RenamedChanges, RenamedDemotions, RenamedWatchStates
from modelperf_plugin.store.store import Store
from modelperf_plugin.values.names import Aliases


def with_aliases(store: Store, aliases: Aliases) -> Store:
    """Return ``store`` as it is under the canonical ids of the ``aliases`` in force."""
    roles: dict[str, Any] = {
        "outcomes": RenamedOutcomes(store.outcomes, store.tallies, aliases),
        "tallies": RenamedTallies(store.tallies, aliases),
        "events": RenamedEvents(store.events, aliases),
        "changes": RenamedChanges(store.changes, aliases),
        "demotions": RenamedDemotions(store.demotions, aliases),
        "watch_states": RenamedWatchStates(store.watch_states, aliases),
        "decisions": RenamedDecisions(store.decisions, aliases),
        "unmatched": RenamedUnmatched(store.unmatched, aliases),
        "ab_tests": RenamedABTests(store.ab_tests, aliases),
        "served_models": RenamedServedModels(store.served_models, aliases),
        "spending": RenamedSpending(store.spending, aliases),
        "trends": RenamedTrends(store.trends, aliases),
        "choices": RenamedTrends(store.choices, aliases),
        "editing": RenamedEditing(store.editing, aliases),
        "merged": RenamedMerged(store.merged, aliases),
    }
    return replace(store, **roles)
