"""What is known of a statement when its connection breaks, or none can be had."""

from __future__ import annotations

import psycopg

from modelperf_plugin.errors import StoreFailedError


class _CausedError(psycopg.OperationalError):
    """An error that says more of another one."""

    @property
    def cause(self) -> Exception:
        """What was raised by psycopg."""
        return self.__cause__ if isinstance(self.__cause__, Exception) else self


class DoubtError(_CausedError):
    """Nobody knows whether a statement was executed."""

    def __init__(self, receipt: str) -> None:
        super().__init__(receipt)
        self.receipt = receipt


class NoConnectionError(_CausedError):
    """The server has accepted connections, but not one more."""


def failed(message: str, receipt: str | None) -> StoreFailedError:
    """Return an error for callers, with the receipt of what may be stored."""
    error = StoreFailedError(message)
    error.receipt = receipt
    return error


def receipt_id(sender: str, sent: int) -> str:
    """Return the id of a batch with the outcomes of a statement; see ``ingest_batch`` in SQL."""
    return f"{sender}_{sent:012}"  # in the order of their names they are moved


def is_answered(error: psycopg.Error, connection: psycopg.Connection) -> bool:
    """Return whether the server has told of an error: then the transaction is rolled back, and the connection lives."""
    return error.sqlstate is not None and not connection.closed
