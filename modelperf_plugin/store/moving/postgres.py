"""Reading and writing the rows of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import psycopg

from modelperf_plugin.store.moving.session import EventRow, Fields, Row, Session
from modelperf_plugin.store.moving.tables import ROWS, Table
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.parameters import storable

_T = TypeVar("_T")

_FUNCTIONS: Final = {
    "tally": "number_of_pair",
    "tried": "number_of_tried",
    "served_model": "number_of_served",
}
_ROWS_PER_FETCH: Final = 5_000
_NUMBERED: Final = (*((each.name, each.key[0]) for each in ROWS if each.numbered), ("decision", "number"),
                    ("revision", "number"))  # fmt: skip


class PostgresSession(Session):
    """A transaction on a PostgreSQL database."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__()
        self._connection = connection
        self._cursors = count()

    def execute(self, statement: str, parameters: Fields | None = None) -> list[Row]:
        cursor = self._connection.execute(statement.encode(), parameters and _storable(parameters))
        return cursor.fetchall() if cursor.description else []

    def stream(self, statement: str, parameters: Fields | None = None) -> Iterator[Row]:
        with self._connection.cursor(name=f"moving_{next(self._cursors)}") as cursor:
            cursor.itersize = _ROWS_PER_FETCH
            cursor.execute(statement.encode(), parameters and _storable(parameters))
            yield from cursor

    def execute_many(self, statement: str, rows: Iterable[Fields]) -> None:
        given = list(map(_storable, rows))  # before the pipeline begins: they may need statements of their own
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.encode(), given)

    def add_events(self, events: Sequence[EventRow]) -> None:
        stored = [
            (
                each.id, -each.id, self.pair(each.task_type, each.model_id), each.ended_ms, bool(each.success),
                bool(each.timeout), each.tokens, each.cost_nano_usd, each.error_kind, each.duration_ms, each.score,
                each.retry_after_ms, self.tried(each.models),
            )
            for each in events
        ]  # fmt: skip
        self.run("make_room", id=events[-1].id)
        with self._connection.cursor() as cursor, cursor.copy(self._sql["add_event"].encode()) as copy:
            for row in stored:
                copy.write_row(row)
        self.run("set_last_event", id=events[-1].id)

    def refer(self, event_ids: Iterable[int]) -> None:
        self.run_many("refer", [{"event_id": each} for each in event_ids])

    def next_number(self, table: Table) -> int:
        statement = "SELECT nextval(pg_get_serial_sequence(%(table)s, %(column)s))"
        number: int = self.execute(statement, {"table": table.name, "column": table.key[0]})[0][0]
        return number

    def end(self) -> None:
        self.run("set_last_event", id=0)  # hosts read their tallies again
        for table, column in _NUMBERED:
            (sequence,) = self.execute(
                "SELECT pg_get_serial_sequence(%(table)s, %(column)s)", {"table": table, "column": column}
            )[0]
            self.execute(
                f"SELECT setval(%(sequence)s, newest) FROM (SELECT max({column}) AS newest FROM {table}) AS numbers "  # noqa: S608
                f"WHERE newest > (SELECT last_value FROM {sequence}) "
                f"OR newest = 1 AND NOT (SELECT is_called FROM {sequence})",
                {"sequence": sequence},
            )

    def find_or_add(self, *key: str) -> int:
        table, *names = key
        places = ", ".join(f"%(name{place})s" for place in range(len(names)))
        parameters = {f"name{place}": name for place, name in enumerate(names)}
        number: int = self.execute(f"SELECT {_FUNCTIONS[table]}({places})", parameters)[0][0]
        return number


class PostgresArchive:
    """A PostgreSQL database; see :class:`~modelperf_plugin.store.moving.session.Archive`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    @property
    def location(self) -> str:
        return self._connection.location

    def prepare(self) -> None:
        self._connection.fold()

    def read(self, action: Callable[[Session], _T]) -> _T:
        return self._connection.read(lambda connection: action(PostgresSession(connection)))

    def write(self, action: Callable[[Session], _T]) -> _T:
        def transact(connection: psycopg.Connection[Any]) -> _T:
            connection.execute("SELECT lock_sums(), fold()")
            session = PostgresSession(connection)
            answer = action(session)
            session.end()
            return answer

        return self._connection.write(transact)

    def close(self) -> None:
        self._connection.close()


def _storable(parameters: Fields) -> dict[str, Any]:
    return {name: storable(value) if isinstance(value, str) else value for name, value in parameters.items()}
