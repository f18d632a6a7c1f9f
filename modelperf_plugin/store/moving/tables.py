"""The tables whose rows are moved one by one or added up, and the statements for them in each dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Dialect = Literal["sqlite", "postgres"]

COUNTS: Final = (
    "successes", "failures", "timeouts", "outages", "caller_errors", "tokens", "cost_nano_usd", "priced",
    "timeout_failures", "later_successes", "later_failures", "later_timeout_failures", "graded", "score_shift",
    "later_score_shift",
)  # fmt: skip
"""What tallies, days and dropped events have in common."""
_BOUNDED: Final = {"tokens", "cost_nano_usd"}
"""Sums that stop at 2^63 - 1."""
_PAIR: Final = ("task_type", "model_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table as its rows travel: by the names of pairs and sets, not by the numbers that a store gives them."""

    name: str
    key: tuple[str, ...]
    values: tuple[str, ...] = ()
    of_pair: bool = False
    """Whether task type and model stand for the number of their tally."""
    of_set: bool = False
    """Whether a set of models (``models``) stands for its number."""
    numbered: bool = False
    """Whether the key is a number given by the store."""
    events: tuple[str, ...] = ()
    """The columns with numbers of events."""
    refers: Mapping[str, str] = field(default_factory=dict)
    """The columns with numbers of rows of other tables, each with the name of the table."""
    flags: tuple[str, ...] = ()
    """The columns that are true or false."""
    digested: tuple[str, ...] = ()
    """The columns of the key of which PostgreSQL indexes a digest."""
    constant: Mapping[Dialect, tuple[str, str]] = field(default_factory=dict)
    """The key of a table with one row: name and value."""
    order: str = ""
    """By which column the rows are read, if not by their key."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of a row as it travels."""
        return self.key + self.values

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns as they are stored."""
        columns = [each for each in self.columns if not (self.of_pair and each in _PAIR)]
        if self.of_set:
            columns.remove("models")
        return (*(("tally_id",) if self.of_pair else ()), *(("tried_id",) if self.of_set else ()), *columns)

    def select(self, dialect: Dialect) -> str:
        """Return the statement that reads all rows."""
        joins = " JOIN tally ON tally.id = tally_id" if self.of_pair else ""
        joins += " JOIN tried ON tried.id = tried_id" if self.of_set else ""
        shown = ", ".join(self._shown(each, dialect) for each in self.columns)
        order = self.order or ", ".join(map(str, range(1, len(self.key) + 1)))
        return f"SELECT {shown} FROM {self.name}{joins}{f' ORDER BY {order}' if order else ''}"  # noqa: S608

    def _shown(self, column: str, dialect: Dialect) -> str:
        if self.of_pair and column in _PAIR:
            return f"tally.{column}"
        if self.of_set and column == "models":
            return "tried.models"
        name = f"{self.name}.{column}"
        return f"{name}::integer" if dialect == "postgres" and column in self.flags else name

    def upsert(self, dialect: Dialect) -> str:
        """Return the statement that writes one row in place of one with its key."""
        fresh = [each for each in self.stored if each not in self._stored_key]
        action = f"UPDATE SET {', '.join(f'{each} = excluded.{each}' for each in fresh)}" if fresh else "NOTHING"
        return f"{self._insert(dialect)} ON CONFLICT ({self._conflict(dialect)}) DO {action}"

    def delete(self, dialect: Dialect) -> str:
        """Return the statement that deletes a row by its key."""
        condition = " AND ".join(f"{each} = {_parameter(each, dialect)}" for each in self._stored_key) or "true"
        return f"DELETE FROM {self.name} WHERE {condition}"  # noqa: S608

    def add(self, dialect: Dialect, least: tuple[str, ...] = (), most: tuple[str, ...] = ()) -> str:
        """Return the statement that adds sums to a row, which may be new; ``least`` and ``most`` are not added up."""
        changes = ", ".join(
            f"{each} = {_extreme(self.name, each, dialect, least=each in least)}"
            if each in least + most
            else f"{each} = {_sum(self.name, each, dialect)}"
            for each in self.stored
            if each not in self._stored_key
        )
        return f"{self._insert(dialect)} ON CONFLICT ({self._conflict(dialect)}) DO UPDATE SET {changes}"

    @property
    def _stored_key(self) -> tuple[str, ...]:
        names = [each for each in self.key if each in self.stored]
        return (
            *(("tally_id",) if self.of_pair and _PAIR[0] in self.key else ()), *(("tried_id",) if self.of_set else ()),
            *names,
        )  # fmt: skip

    def _insert(self, dialect: Dialect) -> str:
        names = list(self.stored)
        values = [_parameter(each, dialect) for each in names]
        if dialect == "postgres":
            flagged = {place for place, each in enumerate(names) if each in self.flags}
            values = [f"{each}::integer::boolean" if place in flagged else each for place, each in enumerate(values)]
        if dialect in self.constant:
            name, value = self.constant[dialect]
            names, values = [name, *names], [value, *values]
        overriding = " OVERRIDING SYSTEM VALUE" if dialect == "postgres" and self.numbered else ""
        return f"INSERT INTO {self.name} ({', '.join(names)}){overriding} VALUES ({', '.join(values)})"  # noqa: S608

    def _conflict(self, dialect: Dialect) -> str:
        if dialect in self.constant:
            return self.constant[dialect][0]
        digested = self.digested if dialect == "postgres" else ()
        return ", ".join(f"digest_of({each})" if each in digested else each for each in self._stored_key)


def _parameter(name: str, dialect: Dialect) -> str:
    return f":{name}" if dialect == "sqlite" else f"%({name})s"


def _sum(table: str, column: str, dialect: Dialect) -> str:
    old, new = f"{table}.{column}", f"excluded.{column}"
    if column not in _BOUNDED:
        return f"{old} + {new}"
    if dialect == "postgres":
        return f"least({old}::numeric + {new}, 9223372036854775807)::bigint"
    return f"iif({new} > 0 AND {old} > 9223372036854775807 - {new}, 9223372036854775807, {old} + {new})"


def _extreme(table: str, column: str, dialect: Dialect, *, least: bool) -> str:
    old, new = f"{table}.{column}", f"excluded.{column}"
    if dialect == "postgres":
        return f"{'least' if least else 'greatest'}({old}, {new})"
    return f"{'min' if least else 'max'}(coalesce({old}, {new}), coalesce({new}, {old}))"


TALLY: Final = Table(name="tally", key=_PAIR, values=(*COUNTS, "last_used_ms"), digested=("model_id",), order="id")
DAILY: Final = Table(name="daily", key=(*_PAIR, "day"), values=COUNTS, of_pair=True)
LATER: Final = Table(
    name="later", key=(*_PAIR, "models"), values=("successes", "failures", "timeout_failures", "score_shift"),
    of_pair=True, of_set=True,
)  # fmt: skip
DURATION: Final = Table(name="duration", key=(*_PAIR, "period", "from_ms"), values=("outcomes",), of_pair=True)
PROBLEM: Final = Table(
    name="problem", key=("kind", "message"), values=("times", "first_ms", "last_ms"), digested=("kind", "message")
)
DROPPED: Final = Table(name="dropped", key=_PAIR, values=COUNTS, of_pair=True)
SUMS: Final = (TALLY, DAILY, LATER, DURATION, PROBLEM)
"""The tables whose rows are added to those of the other store."""
LEAST: Final = {"problem": ("first_ms",)}
MOST: Final = {"tally": ("last_used_ms",), "problem": ("last_ms",)}
"""Their columns that are no sums."""

STAKES: Final = Table(
    name="ab_bet", key=("decision_id",), values=("test_id", "ended_ms", "state"), refers={"test_id": "ab_test"}
)
IMPORTED: Final = Table(
    name="imported", key=(*_PAIR, "source"), of_pair=True, digested=("source",),
    values=("successes", "failures", "timeouts", "tokens", "cost_nano_usd", "last_used_ms"),
)  # fmt: skip
ROWS: Final = (
    IMPORTED,
    Table(
        name="import", key=("id",), numbered=True,
        values=(
            "kind", "source", "digest", "position", "outcomes", "rejected", "begun_ms", "latest_ms", "archived",
        ),
    ),
    Table(
        name="import_range", key=("id",), numbered=True, refers={"import_id": "import"},
        values=("import_id", "first_event_id", "last_event_id"), events=("first_event_id", "last_event_id"),
    ),
    Table(name="attached", key=("path", "name"), values=("columns", "attached_ms"), digested=("path", "name")),
    Table(
        name="merged", key=("id",), values=("name", "origin", "digest", "strength", "merged_ms"), numbered=True
    ),
    Table(
        name="prior", key=("merged_id", *_PAIR), refers={"merged_id": "merged"}, digested=("model_id",),
        values=(*COUNTS[:8], "last_used_ms", "timeout_failures", "graded", "score_shift"),
    ),
    Table(name="estimated_cost", key=("model_id",), values=("prices_day",)),
    Table(name="moved", key=("batch_id",), values=("moved_ms", "outcomes")),
    Table(
        name="change", key=("id",), numbered=True, events=("since_event_id", "noticed_event_id"),
        values=(
            "model_id", "direction", "since_event_id", "noticed_event_id", "since_ms", "noticed_ms", "evidence",
            "rates",
        ),
    ),
    Table(
        name="baseline", key=_PAIR, of_pair=True, refers={"change_id": "change"},
        values=(
            "change_id", "successes", "failures", "rate", "timeout_failures", "later_successes", "later_failures",
            "later_timeout_failures", "score_shift", "later_score_shift",
        ),
    ),
    Table(
        name="demotion", key=("id",), of_pair=True, numbered=True, events=("event_id",),
        values=(*_PAIR, "since_ms", "threshold", "evidence", "reason", "ended_ms", "ended_by", "event_id"),
    ),
    Table(name="watch", key=("kind", *_PAIR), values=("state",), digested=("model_id",)),
    Table(
        name="watch_position", key=(), values=("event_id",), events=("event_id",),
        constant={"sqlite": ("only", "1"), "postgres": ("single", "true")},
    ),
    Table(
        name="ab_test", key=("id",), numbered=True, flags=("promote",),
        values=(
            "task_type", "fingerprint", "incumbent", "share", "salt", "alpha", "min_samples", "max_samples", "promote",
            "started_ms", "ended_ms",
        ),
    ),
    Table(
        name="ab_challenger", key=("test_id", "position"), refers={"test_id": "ab_test"},
        values=("model_id", "state", "verdict", "decided_ms", "last_ms", "share", "calibrate_from"),
    ),
    Table(name="ab_unit", key=("test_id", "position", "unit"), refers={"test_id": "ab_test"}),
    STAKES,
    Table(
        name="waiting_verdict", key=("number",), values=("decision_id", "given_ms", "success", "score"), numbered=True,
        flags=("success",),
    ),
)  # fmt: skip
"""The tables whose rows are moved one by one, those that are referred to first."""
