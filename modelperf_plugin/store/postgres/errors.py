"""Errors of PostgreSQL as those of this package: one line each, in which no password can be."""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg import errors

from modelperf_plugin.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFailedError

_BUSY: Final = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
_MISSING: Final = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction, errors.InvalidSchemaName)
_FAILED: Final = (
    errors.QueryCanceled, errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege, errors.InsufficientResources,
    errors.SystemError,
)  # fmt: skip
_PREFIX: Final = re.compile(r'^connection failed: |connection to server (at|on socket) "[^"]*"(, port \d+)? failed: ')


def translate(error: Exception, location: str, patience: float) -> StoreError:
    """Return the StoreError for an error of psycopg, after ``patience`` seconds if others were in the way."""
    if isinstance(error, _BUSY):
        return StoreBusyError(f"{location} was kept busy by others for more than {patience:g} s")
    if isinstance(error, _MISSING):
        return StoreDamagedError(f"{location} lacks a part of the schema: {_line(error)}")
    if isinstance(error, UnicodeError):
        return StoreError(f"{location}: a text cannot be stored as UTF-8")
    if isinstance(error, (*_FAILED, psycopg.OperationalError)):
        return StoreFailedError(f"{location} cannot be used: {_line(error)}")
    return StoreError(f"{location}: {_line(error)}")


def _line(error: Exception) -> str:
    """Return what an error says, in one line. The server's own message, where there is one, quotes no values."""
    message = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = (message or str(error)).splitlines() or [type(error).__name__]
    return _PREFIX.sub("", _PREFIX.sub("", lines[0])).strip()
