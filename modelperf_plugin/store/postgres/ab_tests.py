"""A/B tests in a PostgreSQL database."""

from __future__ import annotations

from typing import Any

import psycopg

from modelperf_plugin.store.kept_ab_tests import KeptABTests
from modelperf_plugin.store.postgres.connection import PostgresConnection


class PostgresABTests(KeptABTests):
    """Stores the states of A/B tests; see :class:`~modelperf_plugin.store.roles.ABTests`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")

    def _rows(self, transaction: psycopg.Connection, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        return transaction.execute(statement.encode(), parameters).fetchall()

    def _lock(self, transaction: psycopg.Connection, test_id: int | None) -> None:
        if test_id is None:
            transaction.execute(self._sql["lock_ab_tests"].encode())
        else:
            transaction.execute(self._sql["lock_ab_test"].encode(), (test_id,))
