"""Putting together the pairs of a damaged file: their names, their counts, and which of them are the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store.sqlite.insertion import insert
from modelperf_plugin.store.sqlite.pages import Cell, Value
from modelperf_plugin.values import MAX_ID_LENGTH, check_id

LOST_TASK_TYPE: Final = "name-lost"
"""The task type of pairs whose names could not be recovered."""
_OF_PAIRS: Final = ("event", "daily", "imported", "dropped", "later", "duration", "baseline", "demotion")
"""Tables that refer to pairs."""


class RecoveredPairs:
    """Pairs by number. A name may have got a second number while its index was damaged: both are one pair."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Value]] = {}
        """The rows of the table, by number."""
        self.aliases: dict[int, int] = {}
        """The number that a pair keeps, by every other number of it."""
        self.uncounted: list[int] = []
        """Pairs whose counts were not recovered."""
        self._numbers: dict[tuple[str, str], int] = {}

    def add(self, row: dict[str, Value]) -> None:
        """Add a row of the table."""
        number = int(str(row["id"]))
        name = row["task_type"], row["model_id"] = _clean(row["task_type"]), _clean(row["model_id"])
        if number in self.rows or number in self.aliases:
            return
        kept = self._numbers.setdefault(name, number)
        if kept == number:
            self.rows[number] = row
        else:
            self.aliases[number] = kept
            self.rows[kept] = _sum(self.rows[kept], row)

    def add_name(self, cell: Cell | None) -> None:
        """Add the name of a pair from the index of names, unless its row was recovered."""
        if cell is None or len(cell.values) != 3:
            return
        task_type, model_id, number = cell.values
        if not isinstance(number, int) or number in self.rows or number in self.aliases:
            return
        name = _clean(task_type), _clean(model_id)
        kept = self._numbers.setdefault(name, number)
        if kept == number:
            self.rows[number] = {"id": number, "task_type": name[0], "model_id": name[1]}
            self.uncounted.append(number)
        else:
            self.aliases[number] = kept

    def write(self, target: sqlite3.Connection) -> None:
        """Insert the rows into the new file."""
        for row in self.rows.values():
            insert(target, "tally", row)

    def name_strays(self, target: sqlite3.Connection, sql: Mapping[str, str]) -> list[int]:
        """Name the pairs of which only outcomes or counts were recovered; return those whose name is lost.

        A decision whose outcome is one of theirs knows the name. A number in a single row is damage rather than a pair,
        since every outcome has a row in the roll-up too.
        """
        known: dict[int, list[tuple[str, str]]] = {}
        for number, task_type, model_id in target.execute(sql["names_by_decision"]).fetchall():
            known.setdefault(number, []).append((_clean(task_type), _clean(model_id)))
        lost = []
        for number, references in target.execute(sql["stray_pairs"]).fetchall():
            names = known.get(number, [])
            if len(names) == 1:
                self._name(target, number, names[0])
            elif references > 1:
                self._name(target, number, (LOST_TASK_TYPE, f"pair-{number}"))
                lost.append(number)
        return lost

    def count_by_days(self, target: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        """Count the pairs whose counts were not recovered from the daily roll-up and the imports."""
        for number in self.uncounted:
            target.execute(sql["count_by_days"], {"tally_id": number})

    def _name(self, target: sqlite3.Connection, number: int, name: tuple[str, str]) -> None:
        kept = self._numbers.setdefault(name, number)
        if kept == number:
            insert(target, "tally", {"id": number, "task_type": name[0], "model_id": name[1]})
            self.uncounted.append(number)
            return
        self.aliases[number] = kept
        for table in _OF_PAIRS:
            _move(target, table, number, kept)


def _move(target: sqlite3.Connection, table: str, number: int, kept: int) -> None:
    """Give the rows of one pair to another."""
    if table == "event":
        target.execute("UPDATE event SET tally_id = ? WHERE tally_id = ?", (kept, number))
        return
    cursor = target.execute(f"DELETE FROM {table} WHERE tally_id = ? RETURNING *", (number,))  # noqa: S608 - our names
    names = [column[0] for column in cursor.description]
    for values in cursor.fetchall():
        insert(target, table, {**dict(zip(names, values, strict=True)), "tally_id": kept}, sums=True)


def _sum(row: dict[str, Value], other: dict[str, Value]) -> dict[str, Value]:
    """Return one row with the counts of both."""
    result = dict(row)
    for name, value in other.items():
        mine = row.get(name)
        if name == "id" or not isinstance(value, int):
            continue
        if not isinstance(mine, int):
            result[name] = value
        else:
            result[name] = max(mine, value) if name == "last_used_ms" else mine + value
    return result


def _clean(name: Value) -> str:
    """Return ``name`` as a valid id; what does not belong there is escaped."""
    text = name if isinstance(name, str) else repr(name)
    with suppress(InvalidValueError):
        return check_id("name", text)
    return (text.encode("unicode_escape").decode("ascii") or "empty")[:MAX_ID_LENGTH]
