"""What the state of a PostgreSQL server means for the store in it, and what its operator should do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import Finding
from modelperf_plugin.store.postgres.slots import MAX_CONNECTIONS
from modelperf_plugin.text import count

_OLD_XID_AGE: Final = 1_000_000_000
"""Of about 2,000 million transactions until the server stops; autovacuum should have begun at 200 million."""
LONG_SECONDS: Final = 3600
"""How long a transaction may be open before it is a finding."""
_RELOAD: Final = "SELECT pg_reload_conf()"


class ServerState(NamedTuple):
    """A server, and the tables of a store in it."""

    version: str
    schema: int
    """The last migration."""
    size: int
    """Of the tables and their indexes, in bytes."""
    waiting: int
    """How many outcomes are not added up yet."""
    is_standby: bool
    has_checksums: bool
    checksum_failures: int
    """How many damaged pages the server has seen in this database."""
    invalid_indexes: Sequence[str]
    unsafe: Sequence[str]
    """The settings that are off and without which a crash can destroy the database."""
    synchronous_commit: str
    """In this session."""
    no_vacuum: Sequence[str]
    """The settings that are off and without which there is no autovacuum."""
    no_vacuum_tables: Sequence[str]
    """Our tables with autovacuum disabled."""
    dead_tables: Sequence[str]
    """Our tables that mostly consist of deleted rows."""
    connections: int
    """How many are open in all databases of the server."""
    free: int
    """How many more this role can open to this database."""
    xid_age: int
    """How many transactions the oldest row that is not frozen is old."""
    public_tables: Sequence[str]
    """Our tables and views that every role of the database may read or write."""
    sees_all: bool
    """Whether this role sees the transactions of others."""


class Holder(NamedTuple):
    """What keeps deleted rows from being cleared away."""

    name: str
    remedy: str


def examine(
    state: ServerState, holders: Sequence[Holder], *, newest_schema: int, durability: Durability, read_only: bool
) -> list[Finding]:
    """Return what is known of the server, the most important first.

    Args:
        state: of the server.
        holders: what has kept deleted rows for long.
        newest_schema: the last migration that this version of the package knows.
        durability: what the host asked for.
        read_only: whether the store was opened for reading only.
    """
    return [
        _integrity(state),
        _schema(state, newest_schema),
        *_standby(state, read_only=read_only),
        _durability(state, durability),
        _vacuum(state),
        _transactions(state, holders),
        *_transaction_ids(state),
        _connections(state),
        _permissions(state),
        Finding("size", ok=True, message=f"{state.size / 1e6:,.1f} MB, {_waiting(state)}"),
        Finding("PostgreSQL", ok=True, message=f"PostgreSQL {state.version}"),
    ]


def _integrity(state: ServerState) -> Finding:
    if state.checksum_failures:
        message = (
            f"the server has found {count(state.checksum_failures, 'damaged page')} in this database: check its disks, "
            "and restore a backup"
        )
    elif state.invalid_indexes:
        message = (
            f"incomplete indexes: {', '.join(state.invalid_indexes)}. They were left by an index build that failed; "
            "run REINDEX INDEX for each."
        )
    elif state.has_checksums:
        return Finding("integrity", ok=True, message="the server has found no damage")
    else:
        message = "the server has found no damage; it would notice more with data checksums (pg_checksums --enable)"
        return Finding("integrity", ok=True, message=message)
    return Finding("integrity", ok=False, message=message)


def _schema(state: ServerState, newest: int) -> Finding:
    if state.schema > newest:
        message = (
            f"another host has upgraded the tables to version {state.schema}, this version of modelperf-plugin knows "
            f"{newest}: upgrade it here, too"
        )
        return Finding("schema", ok=False, message=message)
    return Finding("schema", ok=True, message=f"version {state.schema}")


def _standby(state: ServerState, *, read_only: bool) -> Iterator[Finding]:
    if state.is_standby and read_only:
        yield Finding("standby", ok=True, message="the server is a standby: what it shows may be some seconds old")
    elif state.is_standby:
        message = (
            "the server is a standby, which records nothing: connect to the primary, for example by naming all servers "
            "in the URL and adding target_session_attrs=read-write"
        )
        yield Finding("standby", ok=False, message=message)


def _durability(state: ServerState, durability: Durability) -> Finding:
    if state.unsafe:
        changes = "; ".join(f"ALTER SYSTEM SET {name} = on" for name in state.unsafe)
        message = (
            f"{' and '.join(state.unsafe)} off: when its machine crashes, the server can lose the whole database. "
            f"Run {changes}; {_RELOAD}."
        )
        return Finding("durability", ok=False, message=message)
    if durability == "normal":
        message = (
            "outcomes survive the death of the host; when the server crashes, those of its last second may be lost"
        )
        return Finding("durability", ok=True, message=message)
    if state.synchronous_commit == "off":
        message = (
            "synchronous_commit is off although this host set it for durability = full: a pooler resets the settings "
            "of sessions. Let it pool whole sessions, or run ALTER ROLE ... SET synchronous_commit = on."
        )
        return Finding("durability", ok=False, message=message)
    message = f"recorded outcomes survive a crash of the server (synchronous_commit is {state.synchronous_commit})"
    return Finding("durability", ok=True, message=message)


def _vacuum(state: ServerState) -> Finding:
    if state.no_vacuum:
        changes = "; ".join(f"ALTER SYSTEM SET {name} = on" for name in state.no_vacuum)
        message = (
            f"{' and '.join(state.no_vacuum)} off: deleted rows are never cleared away, and the store becomes large "
            f"and slow. Run {changes}; {_RELOAD}."
        )
    elif state.no_vacuum_tables:
        changes = "; ".join(f"ALTER TABLE {name} RESET (autovacuum_enabled)" for name in state.no_vacuum_tables)
        message = f"disabled for {', '.join(state.no_vacuum_tables)}, which become large and slow. Run {changes}."
    elif state.dead_tables:
        changes = "; ".join(f"VACUUM {name}" for name in state.dead_tables)
        message = (
            f"does not keep up: {', '.join(state.dead_tables)} consist mostly of deleted rows. Run {changes}, and look "
            "at autovacuum_max_workers and autovacuum_vacuum_cost_limit if they come back."
        )
    else:
        return Finding("autovacuum", ok=True, message="on, and keeps up")
    return Finding("autovacuum", ok=False, message=message)


def _transactions(state: ServerState, holders: Sequence[Holder]) -> Finding:
    if not holders:
        seen = (
            "" if state.sees_all else " of this role (with GRANT pg_read_all_stats it would see those of others, too)"
        )
        return Finding("transactions", ok=True, message=f"no transaction{seen} has been open for more than an hour")
    first = holders[0]
    more = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
    message = (
        f"{first.name}{more} has kept deleted rows from being cleared away for more than an hour, which makes the "
        f"store large and slow: {first.remedy}"
    )
    return Finding("transactions", ok=False, message=message)


def _transaction_ids(state: ServerState) -> Iterator[Finding]:
    if state.xid_age > _OLD_XID_AGE:
        message = (
            f"the oldest rows of the database are {state.xid_age / 1e6:,.0f} million transactions old; at about 2,000 "
            "million the server stops. Find out what blocks autovacuum, and run VACUUM (FREEZE)."
        )
        yield Finding("transaction ids", ok=False, message=message)


def _connections(state: ServerState) -> Finding:
    if state.free < MAX_CONNECTIONS:
        message = (
            f"{state.connections} are open, and only {max(0, state.free)} more possible, where a host uses up to "
            f"{MAX_CONNECTIONS}: hosts may find none. Raise max_connections (or the limit of the role or database), or "
            "use a pooler."
        )
        return Finding("connections", ok=False, message=message)
    return Finding("connections", ok=True, message=f"{state.connections} are open, {state.free} more possible")


def _permissions(state: ServerState) -> Finding:
    if state.public_tables:
        named = ", ".join(state.public_tables[:3]) + (" and others" if len(state.public_tables) > 3 else "")
        message = (
            f"every role of the database may use {named}. Run REVOKE ALL ON ALL TABLES IN SCHEMA ... FROM PUBLIC, and "
            "grant what is needed to single roles."
        )
        return Finding("permissions", ok=False, message=message)
    return Finding("permissions", ok=True, message="only roles with a grant of their own can use the tables")


def _waiting(state: ServerState) -> str:
    return f"{count(state.waiting, 'outcome')} not added up yet"
