"""Reading and writing the rows of a store within one transaction."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from modelperf_plugin.store.moving.tables import LEAST, MOST, Dialect, Table
from modelperf_plugin.store.queries import load_queries

_T = TypeVar("_T")

Row = tuple[Any, ...]
Fields = Mapping[str, Any]


class EventRow(NamedTuple):
    """An outcome with its number."""

    id: int
    task_type: str
    model_id: str
    ended_ms: int
    success: int
    timeout: int
    tokens: int
    cost_nano_usd: int
    error_kind: str | None
    duration_ms: int | None
    score: int | None
    retry_after_ms: int | None
    models: str | None
    """The models that had failed before, as JSON."""
    served_model: str | None


class OutcomeRow(NamedTuple):
    """An outcome in the log of decisions."""

    model_id: str
    ended_ms: int
    success: int
    timeout: int
    tokens: int
    cost_nano_usd: int
    error_kind: str | None
    duration_ms: int | None
    score: int | None
    outcome_id: str | None
    event_id: int | None
    """The event of an outcome without an id; 0 if it was dropped, -1 if it has no number yet."""


class DecisionRow(NamedTuple):
    """A decision with its number."""

    number: int
    id: str
    made_ms: int
    task_type: str
    model_id: str
    propensity: float
    explored: int
    exploring: float
    mode: str
    policy_id: str
    retry_of: str | None
    ab_test_id: int | None
    record: str


class Totals(NamedTuple):
    """How many rows of each kind there are, and some sums."""

    events: int
    successes: int
    outcomes: int
    """Counted in tallies: those of events, dropped ones, and those imported as sums."""
    dropped: int
    imported: int
    ids: int
    replaced_verdicts: int
    served_models: int
    decisions: int
    joined: int
    """Decisions with an outcome."""
    further_tries: int
    waiting: int
    """Outcomes that wait for their decision."""


class Session(ABC):
    """The rows of a store, as of one moment, while nobody else changes what is written.

    Rows travel with the names of pairs and sets, and with numbers 0 and 1 for false and true.
    """

    dialect: ClassVar[Dialect]

    def __init__(self) -> None:
        self._sql: Final = load_queries(self.dialect, "moving.sql")
        self._numbers: dict[tuple[str, ...], int] = {}

    @abstractmethod
    def execute(self, statement: str, parameters: Fields | None = None) -> list[Row]:
        """Execute a statement; return all its rows."""

    @abstractmethod
    def stream(self, statement: str, parameters: Fields | None = None) -> Iterator[Row]:
        """Yield the rows of a query without holding all of them."""

    @abstractmethod
    def execute_many(self, statement: str, rows: Iterable[Fields]) -> None:
        """Execute a statement for each row."""

    @abstractmethod
    def add_events(self, events: Sequence[EventRow]) -> None:
        """Write events under their numbers, which are above all others, without adding them to the sums."""

    @abstractmethod
    def refer(self, event_ids: Iterable[int]) -> None:
        """Let events be found as outcomes without an id."""

    @abstractmethod
    def next_number(self, table: Table) -> int:
        """Return a number for a new row of a table."""

    @abstractmethod
    def end(self) -> None:
        """Let others continue with the numbers after those that were written."""

    def run(self, name: str, **parameters: Any) -> list[Row]:
        """Execute a named statement."""
        return self.execute(self._sql[name], parameters or None)

    def value(self, name: str, **parameters: Any) -> Any:
        """Return the value that a named statement returns; None without a row."""
        rows = self.run(name, **parameters)
        return rows[0][0] if rows else None

    def rows(self, name: str, **parameters: Any) -> Iterator[Row]:
        """Yield the rows of a named query."""
        return self.stream(self._sql[name], parameters or None)

    def run_many(self, name: str, rows: Iterable[Fields]) -> None:
        """Execute a named statement for each row."""
        self.execute_many(self._sql[name], rows)

    def table(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table."""
        return self.stream(table.select(self.dialect))

    def put(self, table: Table, rows: Iterable[Row]) -> None:
        """Write rows in place of those with their keys."""
        self.execute_many(table.upsert(self.dialect), (self._stored(table, row) for row in rows))

    def numbers_in(self, table: str) -> set[int]:
        """Return the numbers of all rows of a table."""
        return {number for (number,) in self.stream(f"SELECT id FROM {table}")}  # noqa: S608

    def add(self, table: Table, rows: Iterable[Row]) -> None:
        """Add sums to the rows of a table."""
        statement = table.add(self.dialect, LEAST.get(table.name, ()), MOST.get(table.name, ()))
        self.execute_many(statement, [self._stored(table, row) for row in rows])

    def remove(self, table: Table, keys: Iterable[Row]) -> None:
        """Delete rows by their keys."""
        width = len(table.values)
        self.execute_many(table.delete(self.dialect), (self._stored(table, (*key, *(None,) * width)) for key in keys))

    def totals(self) -> Totals:
        """Count everything."""
        return Totals._make(self.run("totals")[0])

    def kept(self, relation: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return what was kept about a relation, or about some of its rows."""
        rows = (
            self.run("kept", relation=relation)
            if names is None
            else self.run("kept_some", relation=relation, names=json.dumps(names))
        )
        return {name: json.loads(value) for name, value in rows}

    def keep(self, relation: str, values: Mapping[str, Any]) -> None:
        """Keep values about rows of a relation."""
        self.run_many(
            "keep", [{"relation": relation, "name": name, "value": json.dumps(value)} for name, value in values.items()]
        )

    def forget(self, relation: str, names: Iterable[str]) -> None:
        """Keep nothing about rows of a relation."""
        self.run_many("forget", [{"relation": relation, "name": name} for name in names])

    def pair(self, task_type: str, model_id: str) -> int:
        """Return the number of a pair, which may be new."""
        return self._number("tally", task_type, model_id)

    def tried(self, models: str | None) -> int | None:
        """Return the number of a set of models, which may be new."""
        return None if models is None else self._number("tried", models)

    def served(self, model_id: str) -> int:
        """Return the number of a served model, which may be new."""
        return self._number("served_model", model_id)

    def _number(self, *key: str) -> int:
        if key not in self._numbers:
            self._numbers[key] = self.find_or_add(*key)
        return self._numbers[key]

    @abstractmethod
    def find_or_add(self, *key: str) -> int:
        """Return the number of a pair (``tally``), set (``tried``) or served model by its names, adding it if new."""

    def _stored(self, table: Table, row: Row) -> dict[str, Any]:
        fields = dict(zip(table.columns, row, strict=True))
        if table.of_pair:
            fields["tally_id"] = self.pair(fields["task_type"], fields["model_id"])
        if table.of_set:
            fields["tried_id"] = self.tried(fields["models"])
        return fields


class Archive(Protocol):
    """A store whose rows are read and written as they are."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    def prepare(self) -> None:
        """Give every recorded outcome its number."""

    def read(self, action: Callable[[Session], _T]) -> _T:
        """Return what ``action`` returns, called with the store as of one moment."""

    def write(self, action: Callable[[Session], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction; it may be called more than once."""

    def close(self) -> None:
        """Release all resources."""
