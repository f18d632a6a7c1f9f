"""A/B tests in an SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Any

from modelperf_plugin.store.kept_ab_tests import KeptABTests
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.rows import fetch


class SqliteABTests(KeptABTests):
    """Stores the states of A/B tests; see :class:`~modelperf_plugin.store.roles.ABTests`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")

    def _rows(self, transaction: sqlite3.Connection, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        return fetch(transaction, statement, parameters)

    def _lock(self, transaction: sqlite3.Connection, test_id: int | None) -> None:
        """Do nothing: a file has one writer at a time."""
