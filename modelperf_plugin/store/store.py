"""The object that holds the roles of a store."""

from __future__ import annotations

from dataclasses import dataclass

from modelperf_plugin.store.exchange_roles import Attachments, Imports, MergedExperience
from modelperf_plugin.store.roles import (
    ABTests,
    Changes,
    Choices,
    Connection,
    DecisionLog,
    Demotions,
    Editing,
    Events,
    Maintenance,
    Outcomes,
    Problems,
    ServedModels,
    Spending,
    Tallies,
    Trends,
    UnmatchedOutcomes,
    WatchStates,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One object for each role. Take the roles that you need, not the store."""

    connection: Connection
    outcomes: Outcomes
    tallies: Tallies
    events: Events
    changes: Changes
    demotions: Demotions
    watch_states: WatchStates
    decisions: DecisionLog
    unmatched: UnmatchedOutcomes
    ab_tests: ABTests
    trends: Trends
    choices: Choices
    spending: Spending
    served_models: ServedModels
    imports: Imports
    attachments: Attachments
    merged: MergedExperience
    problems: Problems
    maintenance: Maintenance
    editing: Editing

    @property
    def location(self) -> str:
        """The path or URL, for messages."""
        return self.connection.location

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be used and a fallback is in use; None if the database works."""
        return self.connection.degraded

    @property
    def busy(self) -> bool:
        """Whether others have kept the database busy for so long that outcomes wait to be moved into it."""
        return self.connection.busy

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only."""
        return self.connection.read_only

    def close(self) -> None:
        """Release all resources; closing twice is fine."""
        self.connection.close()
