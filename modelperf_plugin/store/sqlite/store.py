"""The SQLite store: one file, write-ahead log, safe for many threads and many processes."""

from __future__ import annotations

from dataclasses import dataclass

from modelperf_plugin.store.deadline import BUSY_SECONDS
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.store.read_decisions import ReadUnmatchedOutcomes
from modelperf_plugin.store.read_served_models import ReadServedModels
from modelperf_plugin.store.sqlite.ab_tests import SqliteABTests
from modelperf_plugin.store.sqlite.attachments import SqliteAttachments
from modelperf_plugin.store.sqlite.changes import SqliteChanges
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.decisions import SqliteDecisionLog
from modelperf_plugin.store.sqlite.demotions import SqliteDemotions
from modelperf_plugin.store.sqlite.editing import SqliteEditing
from modelperf_plugin.store.sqlite.events import SqliteEvents
from modelperf_plugin.store.sqlite.imports import SqliteImports
from modelperf_plugin.store.sqlite.maintenance import SqliteMaintenance
from modelperf_plugin.store.sqlite.merged import SqliteMerged
from modelperf_plugin.store.sqlite.outcomes import ReadOnlyOutcomes, SqliteOutcomes
from modelperf_plugin.store.sqlite.problems import SqliteProblems
from modelperf_plugin.store.sqlite.reading import SqliteReader
from modelperf_plugin.store.sqlite.spending import SqliteSpending
from modelperf_plugin.store.sqlite.tallies import SqliteTallies, UncachedTallies
from modelperf_plugin.store.sqlite.trends import SqliteTrends
from modelperf_plugin.store.sqlite.watch_states import SqliteWatchStates
from modelperf_plugin.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStore(MainStore):
    """A store in one SQLite file, with what only SQLite can do."""

    connection: SqliteConnection
    outcomes: SqliteOutcomes
    tallies: SqliteTallies
    maintenance: SqliteMaintenance


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOnlySqliteStore(Store):
    """An SQLite file opened for reading only."""

    connection: SqliteReader


def open_sqlite(path: str, *, durability: Durability = "normal", patience: float = BUSY_SECONDS) -> SqliteStore:
    """Open the file at ``path`` (``":memory:"`` for none), creating it if need be.

    A call waits up to ``patience`` seconds for others that write.

    Raises:
        StoreError: it cannot be used; the message says why.
    """
    connection = SqliteConnection(path, durability=durability, patience=patience)
    return SqliteStore(
        connection=connection,
        outcomes=SqliteOutcomes(connection),
        tallies=SqliteTallies(connection),
        events=SqliteEvents(connection),
        changes=SqliteChanges(connection),
        demotions=SqliteDemotions(connection),
        watch_states=SqliteWatchStates(connection),
        decisions=SqliteDecisionLog(connection),
        unmatched=ReadUnmatchedOutcomes(connection, "sqlite"),
        ab_tests=SqliteABTests(connection),
        trends=SqliteTrends(connection),
        choices=SqliteTrends(connection),
        spending=SqliteSpending(connection),
        served_models=ReadServedModels(connection.fetch, "sqlite"),
        imports=SqliteImports(connection),
        attachments=SqliteAttachments(connection),
        merged=SqliteMerged(connection),
        problems=SqliteProblems(connection),
        maintenance=SqliteMaintenance(connection),
        editing=SqliteEditing(connection),
    )


def open_sqlite_read_only(path: str) -> ReadOnlySqliteStore:
    """Open the file at ``path`` for reading only: nothing is created, migrated or locked.

    Raises:
        StoreError: it is missing, cannot be read, or has the schema of another version.
    """
    connection = SqliteReader(path)
    return ReadOnlySqliteStore(
        connection=connection,
        outcomes=ReadOnlyOutcomes(connection),
        tallies=UncachedTallies(connection),
        events=SqliteEvents(connection),
        changes=SqliteChanges(connection),
        demotions=SqliteDemotions(connection),
        watch_states=SqliteWatchStates(connection),
        decisions=SqliteDecisionLog(connection),
        unmatched=ReadUnmatchedOutcomes(connection, "sqlite"),
        ab_tests=SqliteABTests(connection),
        trends=SqliteTrends(connection),
        choices=SqliteTrends(connection),
        spending=SqliteSpending(connection),
        served_models=ReadServedModels(connection.fetch, "sqlite"),
        imports=SqliteImports(connection),
        attachments=SqliteAttachments(connection),
        merged=SqliteMerged(connection),
        problems=SqliteProblems(connection),
        maintenance=SqliteMaintenance(connection),
        editing=SqliteEditing(connection),
    )
