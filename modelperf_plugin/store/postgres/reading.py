"""Reading several answers at one moment: from one snapshot of the database, in as few round trips as possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from modelperf_plugin.store.counted import later_of, pairs_with_later_tries
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.tally_cache import NO_COUNTS, Counts
from modelperf_plugin.values import Tally, most_sets

Statement = tuple[str, Sequence[Any]]
_BEGIN: Final[Statement] = ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", ())
_COMMIT: Final[Statement] = ("COMMIT", ())


def bound(parameters: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any] | None:
    """Return parameters as psycopg takes them: a single mapping binds by name."""
    if not parameters:
        return None
    first = parameters[0]
    return first if isinstance(first, dict) else parameters


def at_once(connection: PatientConnection, statements: Iterable[Statement]) -> list[list[Any]]:
    """Execute statements in one round trip, as one transaction; return the rows of each.

    By way of a pooler each takes a round trip, and those between ``BEGIN`` and ``COMMIT`` are one transaction.

    An error is raised again outside of the pipeline: psycopg would write a line to the log if it passed through.
    """
    if connection.is_pooled:
        return [_rows(connection.execute(text.encode(), bound(parameters))) for text, parameters in statements]
    failure: psycopg.Error | None = None
    rows: list[list[Any]] = []
    try:
        with connection.pipeline() as pipeline:
            try:
                cursors = [connection.execute(text.encode(), bound(parameters)) for text, parameters in statements]
                pipeline.sync()
                rows = [_rows(cursor) for cursor in cursors]
            except psycopg.Error as error:
                failure = error
    except psycopg.Error as error:
        raise failure or error from None
    if failure is not None:
        raise failure
    return rows


def _rows(cursor: psycopg.Cursor[Any]) -> list[Any]:
    return cursor.fetchall() if cursor.description else []


def read_counts(
    connection: PatientConnection, task_types: Sequence[str], senders: Iterable[str], others: Sequence[Statement] = ()
) -> tuple[dict[str, Counts], dict[str, int], list[list[Any]]]:
    """Return the counts of task types, how far connections have come, and the rows of other queries, of one moment."""
    sql = load_queries("postgres", "following.sql")
    wanted = [(sql["senders"], (list(senders),)), (sql["tallies"], (list(task_types),)), *others]
    _, sent, rows, *answers = at_once(connection, [_BEGIN, *wanted])
    tallies: dict[str, dict[str, Tally]] = {name: {} for name in task_types}
    for row in rows:
        tallies[row[0]][row[1]] = Tally._make(row)
    sets = {name: pairs for name, models in tallies.items() if (pairs := pairs_with_later_tries(models.values()))}
    later_sql = load_queries("postgres")["later_of_task_type"]
    questions = [(later_sql, ({"task_type": name, "most": most_sets(pairs)},)) for name, pairs in sets.items()]
    *found, _ = at_once(connection, [*questions, _COMMIT])
    later = {name: later_of(rows) for name, rows in zip(sets, found, strict=True)}
    counts = {
        name: Counts(models, later.get(name, NO_COUNTS.later)) if models else NO_COUNTS
        for name, models in tallies.items()
    }
    return counts, dict(sent), answers
