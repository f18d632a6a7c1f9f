"""The settings of a connection: of its session or, by way of a pooler, of each transaction.

A pooler may give every transaction another session of the server. What is set for a session would then hold for
others', so each statement brings its settings along, in one message, and none is prepared.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

import psycopg
from psycopg.abc import Params, Query

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.postgres.connecting import PatientConnection

_STEP_MS: Final = 100
"""Deadlines are rounded up to this, so that they seldom have to be set anew."""
_SET_UP: Final = """
SELECT
    pg_backend_pid() <> %(pid)s,
    pg_is_in_recovery(),
    CASE WHEN pg_backend_pid() = %(pid)s THEN
        set_config('default_transaction_isolation', 'read committed', false)
        || CASE WHEN %(read_only)s THEN set_config('default_transaction_read_only', 'on', false) ELSE '' END
        || set_config('synchronous_commit', CASE
            WHEN %(full)s THEN CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                ELSE current_setting('synchronous_commit') END
            ELSE 'off'
        END, false)
    END,
    CASE
        WHEN pg_backend_pid() = %(pid)s AND NOT %(read_only)s::boolean THEN pg_try_advisory_lock(%(sender)s::bigint)
    END
"""
"""The lock tells others that what this connection has sent may still be executed; see ``end_sender`` in SQL."""
_TIMEOUTS: Final = "set_config('lock_timeout', '{}', {scope}), set_config('statement_timeout', '{}', {scope})"
_READING: Final = ", set_config('transaction_read_only', 'on', true)"
_WRITING: Final = (
    ", set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)"
)
"""A host does not notice that a server behind a pooler was killed, so nothing may be lost then."""
_LATER_SECONDS: Final = 0.1
"""How much longer than for locks a statement may take at least: it is known then what was in the way."""
_STANDBY: Final = (
    "{location} is a standby, which can only be read: name the primary, or all servers with "
    "target_session_attrs=read-write"
)


class PooledCursor(psycopg.ClientCursor[Any]):
    """Executes statements in the same message as the settings that they need."""

    def execute(self, query: Query, params: Params | None = None, **options: Any) -> PooledCursor:
        """Execute a statement, given as text, behind the settings of its connection."""
        settings = cast("PatientConnection", self.connection).settings
        statement = query if isinstance(query, bytes) else str(query).encode()
        if statement.startswith((b"BEGIN", b"COMMIT")):
            super().execute(statement, params, **options)
            return self
        super().execute(settings.encode() + statement, params, **options)
        self.nextset()
        return self


def set_up(connection: PatientConnection, location: str, *, durability: Durability, read_only: bool) -> None:
    """Prepare a new connection; raise StoreFailedError if the server is a standby, and nothing can be written."""
    wanted = {
        "pid": connection.info.backend_pid, "read_only": read_only, "full": durability == "full",
        "sender": connection.sender_number,
    }  # fmt: skip
    connection.is_pooled, is_standby, *_ = connection.execute(_SET_UP, wanted).fetchone() or (False, False)
    if is_standby and not read_only:
        raise StoreFailedError(_STANDBY.format(location=location))
    if connection.is_pooled:
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection.cursor_factory = PooledCursor
    connection.others = _READING if read_only else _WRITING


def limit(connection: PatientConnection, wait: float, seconds: float) -> None:
    """Let the statements that follow wait for locks, and run, for so many seconds."""
    timeouts = _rounded(min(wait, seconds - _LATER_SECONDS)), 0 if math.isinf(seconds) else _rounded(seconds)
    if timeouts == connection.timeouts:
        return
    if connection.is_pooled:
        connection.settings = f"SELECT {_TIMEOUTS.format(*timeouts, scope='true')}{connection.others};\n"
    else:
        connection.execute(f"SELECT {_TIMEOUTS.format(*timeouts, scope='false')}".encode())
    connection.timeouts = timeouts


def _rounded(seconds: float) -> int:
    """Return a deadline in milliseconds; 0 would mean that there is none."""
    return max(1, math.ceil(seconds * 1000 / _STEP_MS) * _STEP_MS)
