"""Creating and migrating the tables, which are in the first schema of the connection's ``search_path``."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from modelperf_plugin.errors import NotATrackerError, StoreError, StoreOutdatedError, StoreVersionError
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.postgres.sessions import limit
from modelperf_plugin.store.queries import Migration, load_migrations

_LOCK: Final = 1_299_148_877
"""Our advisory lock, together with the number of the schema."""
_FIND: Final = """
SELECT
    current_schema(), current_setting('server_encoding'), current_setting('server_version_num')::integer,
    (
        SELECT array_agg(attname::text) FROM pg_attribute
        WHERE attnum > 0 AND attrelid = (
            SELECT oid FROM pg_class
            WHERE relname = 'migration' AND relnamespace = to_regnamespace(quote_ident(current_schema()))
        )
    )
"""
_SECONDS: Final = 60.0
"""How long each step may take, whatever is in the tables."""
_COLUMNS: Final = {"version", "name", "migrated"}
_CREATE: Final = """
CREATE TABLE migration (
    version integer PRIMARY KEY, name text NOT NULL, migrated timestamptz NOT NULL DEFAULT now()
)
"""
_MIN_VERSION: Final = 140000
_OTHERS: Final = (
    "the schema that {location} names holds tables of another program; it was not changed. Choose another schema."
)


def migrate(connection: PatientConnection, location: str) -> None:
    """Create what is missing, in one transaction; several processes may do so at once.

    Raises:
        StoreVersionError: a newer version of this package has written the tables.
        NotATrackerError: the schema holds tables of another program.
    """
    if not missing_migrations(connection, location):
        return
    connection.silence = _SECONDS
    limit(connection, connection.timeouts[0] / 1000, _SECONDS)
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock(%s, current_schema()::regnamespace::oid::bigint::bit(32)::integer)", (_LOCK,)
        )
        if not is_created(connection, location):
            connection.execute(_CREATE)
        for migration in missing_migrations(connection, location):
            try:
                connection.execute(migration.script.encode())
            except (errors.DuplicateTable, errors.DuplicateFunction, errors.DuplicateObject) as error:
                raise NotATrackerError(_OTHERS.format(location=location)) from error
            connection.execute(
                "INSERT INTO migration (version, name) VALUES (%s, %s)", (migration.version, migration.name)
            )


def refuse_older(connection: psycopg.Connection, location: str) -> None:
    """Raise StoreOutdatedError if tables are missing that a connection which only reads cannot create."""
    if not is_created(connection, location):
        raise StoreOutdatedError(f"{location} is empty: nothing has been recorded in it yet")
    if missing_migrations(connection, location):
        raise StoreOutdatedError(
            f"{location} was written by an older version of modelperf-plugin: any host that opens it brings it up to "
            "date"
        )


def is_created(connection: psycopg.Connection, location: str) -> bool:
    """Return whether the schema has our tables; raise StoreError if it cannot have them."""
    schema, encoding, version, columns = connection.execute(_FIND).fetchone() or (None, "", 0, None)
    if version < _MIN_VERSION:
        raise StoreError(f"{location} is PostgreSQL {version // 10000}: 14 or newer is needed")
    if schema is None:
        raise StoreError(f"{location}: no schema of the search_path exists; create one")
    if encoding != "UTF8":
        raise StoreError(f"{location}: the encoding of the database is {encoding}, and must be UTF8")
    if columns is not None and set(columns) != _COLUMNS:
        raise NotATrackerError(_OTHERS.format(location=location))
    return columns is not None


def missing_migrations(connection: psycopg.Connection, location: str) -> tuple[Migration, ...]:
    """Return the migrations that the schema lacks; raise StoreVersionError if a newer version has written it."""
    migrations = load_migrations("postgres")
    if not is_created(connection, location):
        return migrations
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM migration").fetchone() or (0,)
    newest = migrations[-1].version
    if version > newest:
        raise StoreVersionError(
            f"{location} was written by a newer version of modelperf-plugin (its schema is {version}, this version "
            f"knows {newest}); it was not changed. Upgrade modelperf-plugin, or choose another database."
        )
    return tuple(each for each in migrations if each.version > version)
