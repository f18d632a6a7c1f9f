"""Statements that are executed very often: prepared once, and sent without what psycopg does for any statement.

That takes a third of the time of ``Connection.execute``. Parameters are given as the server reads them.
"""

from __future__ import annotations

import math
import select
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from modelperf_plugin.store.postgres.connecting import PatientConnection

_DONE: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Prepared(NamedTuple):
    """A statement whose parameters are ``$1``, ``$2`` and so on."""

    name: bytes
    statement: bytes


Query = tuple[Prepared, list[bytes | None]]
"""A statement with the values of its parameters, as the server reads them; psycopg before 3.3 takes lists only."""


class ServerSilentError(psycopg.OperationalError):
    """The server has not answered in time."""


def ask(connection: PatientConnection, query: Query) -> PGresult:
    """Return the result of one statement, which is a transaction of its own."""
    prepared, values = query
    _prepare(connection, prepared)
    connection.pgconn.send_query_prepared(prepared.name, values)
    return _result(connection)


def ask_together(connection: PatientConnection, queries: Sequence[Query]) -> list[PGresult]:
    """Return the results of several statements, sent in one round trip as one transaction; raise the first error."""
    for query, _ in queries:
        _prepare(connection, query)
    server = connection.pgconn
    server.enter_pipeline_mode()  # a connection that is left in it is closed
    for query, values in queries:
        server.send_query_prepared(query.name, values)
    server.pipeline_sync()
    results, error = [], None
    for _ in queries:
        try:
            results.append(_result(connection))
        except psycopg.Error as new:
            if connection.closed or isinstance(new, ServerSilentError):
                raise error or new from None
            error = error or new  # the others were skipped
    _next(connection)
    server.exit_pipeline_mode()
    if error is not None:
        raise error
    return results


def readable(connection: PatientConnection, seconds: float) -> bool:
    """Return whether the server sends something within a time."""
    if not hasattr(select, "poll"):
        return bool(select.select([connection], [], [], None if math.isinf(seconds) else seconds)[0])
    if connection.poll is None:
        connection.poll = select.poll()
        connection.poll.register(connection.fileno(), select.POLLIN)
    return bool(connection.poll.poll(None if math.isinf(seconds) else seconds * 1000))


def _prepare(connection: PatientConnection, query: Prepared) -> None:
    if query.name not in connection.prepared:
        connection.pgconn.send_prepare(query.name, query.statement)
        _result(connection)
        connection.prepared.add(query.name)


def _result(connection: PatientConnection) -> PGresult:
    """Return the result of the statement that was sent; raise it if it is an error."""
    server = connection.pgconn
    while server.flush():
        readable(connection, 0.001)
        server.consume_input()
    result = _next(connection)
    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    try:
        while _next(connection) is not None:
            pass
    except psycopg.OperationalError:
        if result.status in _DONE:
            raise
    if result.status not in _DONE:
        raise error_from_result(result)
    return result


def _next(connection: PatientConnection) -> PGresult | None:
    server = connection.pgconn
    while server.is_busy():
        if not readable(connection, connection.silence):
            connection.silence = 0.0  # what follows, such as a rollback, need not wait as long again
            raise ServerSilentError("the server does not answer")
        server.consume_input()
    return server.get_result()
