"""The PostgreSQL store: one database for hosts on many machines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelperf_plugin.store.deadline import BUSY_SECONDS
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.store.postgres.ab_tests import PostgresABTests
from modelperf_plugin.store.postgres.attachments import PostgresAttachments
from modelperf_plugin.store.postgres.changes import PostgresChanges
from modelperf_plugin.store.postgres.connecting import Connector
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.decisions import PostgresDecisionLog
from modelperf_plugin.store.postgres.demotions import PostgresDemotions
from modelperf_plugin.store.postgres.editing import PostgresEditing
from modelperf_plugin.store.postgres.events import PostgresEvents
from modelperf_plugin.store.postgres.imports import PostgresImports
from modelperf_plugin.store.postgres.maintenance import PostgresMaintenance
from modelperf_plugin.store.postgres.merged import PostgresMerged
from modelperf_plugin.store.postgres.outcomes import PostgresOutcomes
from modelperf_plugin.store.postgres.problems import PostgresProblems
from modelperf_plugin.store.postgres.spending import PostgresSpending
from modelperf_plugin.store.postgres.tallies import PostgresTallies
from modelperf_plugin.store.postgres.trends import PostgresTrends
from modelperf_plugin.store.postgres.watch_states import PostgresWatchStates
from modelperf_plugin.store.read_decisions import ReadUnmatchedOutcomes
from modelperf_plugin.store.read_served_models import ReadServedModels
from modelperf_plugin.store.read_tallies import ReadTallies


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresStore(MainStore):
    """A store in a PostgreSQL database."""

    connection: PostgresConnection
    outcomes: PostgresOutcomes
    tallies: ReadTallies
    maintenance: PostgresMaintenance


def open_postgres(
    url: str,
    *,
    durability: Durability = "normal",
    patience: float = BUSY_SECONDS,
    longest: float = math.inf,
    read_only: bool = False,
    connector: Connector | None = None,
) -> PostgresStore:
    """Open the database at ``url``, creating the tables if need be.

    A call waits up to ``patience`` seconds for others, and ``longest`` seconds for a statement; ``connector`` opens the
    connections.

    Raises:
        StoreError: it cannot be used; the message says why.
    """
    connection = PostgresConnection(
        url, durability=durability, patience=patience, longest=longest, read_only=read_only, connector=connector
    )
    return PostgresStore(
        connection=connection,
        outcomes=PostgresOutcomes(connection),
        tallies=ReadTallies(connection, "postgres") if read_only else PostgresTallies(connection),
        events=PostgresEvents(connection),
        changes=PostgresChanges(connection),
        demotions=PostgresDemotions(connection),
        watch_states=PostgresWatchStates(connection),
        decisions=PostgresDecisionLog(connection),
        unmatched=ReadUnmatchedOutcomes(connection, "postgres", "decisions.sql"),
        ab_tests=PostgresABTests(connection),
        trends=PostgresTrends(connection),
        choices=PostgresTrends(connection),
        spending=PostgresSpending(connection),
        served_models=ReadServedModels(connection.fetch_folded, "postgres"),
        imports=PostgresImports(connection),
        attachments=PostgresAttachments(connection),
        merged=PostgresMerged(connection),
        problems=PostgresProblems(connection),
        maintenance=PostgresMaintenance(connection),
        editing=PostgresEditing(connection),
    )
