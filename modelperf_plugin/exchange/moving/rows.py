"""Rows of their own: those that changed in the source are written to the target, unless they changed there as well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from modelperf_plugin.exchange.moving.state import State
from modelperf_plugin.exchange.moving.sums import name_of, of_imported
from modelperf_plugin.store.moving.session import Row, Session
from modelperf_plugin.store.moving.tables import IMPORTED, ROWS, STAKES, TALLY, Table
from modelperf_plugin.store.postgres.parameters import storable

_ADDED_BY_HAND: Final = "model_stats"
"""The source of sums that other programs insert: those of both sides add up."""
_IN_FORCE: Final = {"demotion", "ab_test"}
"""Of these, one row of its pair or configuration is in force at a time: the second and third column."""
_WATCHES: Final = {"watch", "watch_position"}
"""They go together: states are those after an event."""


@dataclass(slots=True)
class Numbers:
    """The numbers that rows of the source have in the target."""

    state: State
    without_nul: bool
    """Whether U+0000 cannot be stored in the target."""
    _of_tables: dict[str, dict[int, int]] = field(default_factory=dict)

    def learn(self, table: Table, kept: dict[str, Any]) -> None:
        """Note the numbers of the rows of a table."""
        if table.numbered:
            self._of_tables[table.name] = {json.loads(name)[0]: key[0] for name, (_, key, _) in kept.items()}

    def note(self, table: Table, key: Row, key_there: Row) -> None:
        """Note the number of a new row."""
        if table.numbered:
            self._of_tables[table.name][key[0]] = key_there[0]

    def of(self, table: str, number: int) -> int:
        """Return the number of a row."""
        return self._of_tables.get(table, {}).get(number, number)

    def translated(self, table: Table, row: Row) -> Row:
        """Return a row of the source as it is in the target."""
        fields = dict(zip(table.columns, row, strict=True))
        if table.name == "import_range":  # the target's own hosts may have recorded in between
            first, last = fields["first_event_id"], fields["last_event_id"]
            fields["last_event_id"] = min(last, self.state.last_in_row(first))
        for column in table.events:
            fields[column] = self.state.event_in_target(fields[column])
        for column, other in table.refers.items():
            fields[column] = self.of(other, fields[column])
        if table.name == "watch" and fields["kind"] == "back":
            fields["state"] = json.dumps([self.state.event_in_target(each) for each in json.loads(fields["state"])])
        if self.without_nul:
            return tuple(storable(value) if isinstance(value, str) else value for value in fields.values())
        return tuple(fields.values())


def sync(source: Session, target: Session, state: State) -> Numbers:
    """Write what changed; what the target's own hosts have changed stays as it is."""
    numbers = Numbers(state, target.dialect == "postgres")
    own_watches = any(_is_changed_there(target, table) for table in ROWS if table.name == "watch_position")
    for table in ROWS:
        if table is not STAKES:
            _Sync(source, target, table, numbers).run(skips=own_watches and table.name in _WATCHES)
    return numbers


def sync_stakes(source: Session, target: Session, numbers: Numbers) -> None:
    """Do the same with what A/B tests have staked on decisions, once these were moved."""
    _Sync(source, target, STAKES, numbers).run(skips=False)


def _is_changed_there(target: Session, table: Table) -> bool:
    """Return whether the only row of a table is not the one that was moved."""
    return [list(row) for row in target.table(table)] != [written for _, _, written in target.kept(table.name).values()]


class _Sync:
    """Brings the rows of one table to the target.

    What is kept about a row is its values in the source, its key in the target, and the row that was written there;
    None if that was another one.
    """

    def __init__(self, source: Session, target: Session, table: Table, numbers: Numbers) -> None:
        self._target, self._table, self._numbers = target, table, numbers
        self._width = len(table.key)
        self._kept = target.kept(table.name)
        numbers.learn(table, self._kept)
        self._here = {name_of(row[: self._width]): row for row in source.table(table)}
        self._there: dict[Row, Row] = {}

    def run(self, *, skips: bool) -> None:
        """Write what changed; with ``skips`` only marks of operators."""
        changed = {
            name: row
            for name, row in self._here.items()
            if name not in self._kept or self._kept[name][0] != list(row[self._width :])
            if not skips or row[0] == "back"
        }
        gone = {} if skips else {name: known for name, known in self._kept.items() if name not in self._here}
        if not changed and not gone:
            return
        self._there = {row[: self._width]: row for row in self._target.table(self._table)}
        self._remove(gone)
        written = {name: self._written(row, self._kept.get(name)) for name, row in changed.items()}
        rows = [row for row, is_put, _ in written.values() if is_put]
        self._put(self._without_refused(rows))
        self._target.keep(
            self._table.name,
            {
                name: (changed[name][self._width :], row[: self._width], row if is_ours else None)
                for name, (row, _, is_ours) in written.items()
            },
        )

    def _put(self, rows: list[Row]) -> None:
        if self._table is IMPORTED:
            known = (self._there.get(row[: self._width]) for row in rows)
            self._count([row for row in known if row is not None], -1)
            self._count(rows, 1)
        self._target.put(self._table, rows)

    def _count(self, rows: list[Row], times: int) -> None:
        """Add sums without events to the tallies, or take them away."""
        added = map(of_imported, rows)
        self._target.add(TALLY, [(*row[:2], *(each * times for each in row[2:-1]), row[-1]) for row in added])

    def _remove(self, gone: dict[str, Any]) -> None:
        """Delete what the source has no longer, unless it has changed in the target."""
        keys = [tuple(key) for _, key, row in gone.values() if self._is_there(key, row)]
        if self._table is IMPORTED:
            self._count([self._there[key] for key in keys], -1)
        self._target.remove(self._table, keys)
        self._target.forget(self._table.name, gone)
        for key in keys:
            del self._there[key]

    def _is_there(self, key: Sequence[Any], written: Any) -> bool:
        return written is not None and list(self._there.get(tuple(key), ())) == written

    def _written(self, row: Row, known: Any) -> tuple[Row, bool, bool]:
        """Return a row as the target is to have it, whether it has to be written, and whether it is the source's."""
        table, key = self._table, row[: self._width]
        translated = self._numbers.translated(table, row)
        if known is not None:
            translated = (*known[1], *translated[self._width :])
            if self._is_there(known[1], known[2]):
                return translated, True, True
            return self._settled(translated, self._there.get(tuple(known[1])), known)
        is_taken = translated[: self._width] in self._there
        if table.numbered and (is_taken or self._numbers.state.is_complete):
            translated = (self._target.next_number(table), *translated[1:])
        elif is_taken:
            return self._settled(translated, self._there[translated[: self._width]], None)
        self._numbers.note(table, key, translated[: self._width])
        return translated, True, True

    def _settled(self, row: Row, there: Row | None, known: Any) -> tuple[Row, bool, bool]:
        """Return the same for a row that both sides have changed."""
        if there is None or there == row:
            return row, False, there is not None
        if self._table is IMPORTED and row[2] == _ADDED_BY_HAND:
            *before, _ = known[0] if known else [0] * len(self._table.values)
            *old, old_ms = there[self._width :]
            *new, new_ms = row[self._width :]
            sums = [max(0, a + b - c) for a, b, c in zip(old, new, before, strict=True)]
            return (*row[: self._width], *sums, max(filter(None, (old_ms, new_ms)), default=None)), True, False
        if self._table.name == "estimated_cost":
            return row, row[-1] > there[-1], False
        return row, False, False

    def _without_refused(self, rows: list[Row]) -> list[Row]:
        """Return rows without those that the target's own exclude, and those that refer to such."""
        columns = self._table.columns
        for column, other in self._table.refers.items():
            place = columns.index(column)
            numbers = self._target.numbers_in(other)
            rows = [row for row in rows if row[place] in numbers]
        if self._table.name in _IN_FORCE:
            rows = self._without_second_in_force(rows)
        if self._table.name == "merged":
            names = {row[1]: row[0] for row in self._there.values()}
            rows = [row for row in rows if names.get(row[1], row[0]) == row[0]]
        if self._table is STAKES:
            rows = [row for row in rows if self._target.run("decision_by_id", id=row[0])]
        return rows

    def _without_second_in_force(self, rows: list[Row]) -> list[Row]:
        ended = self._table.columns.index("ended_ms")
        in_force = {row[1:3]: row[0] for row in self._there.values() if row[ended] is None}
        accepted = []
        for row in rows:
            if row[ended] is not None:
                if in_force.get(row[1:3]) == row[0]:
                    del in_force[row[1:3]]
            elif in_force.setdefault(row[1:3], row[0]) != row[0]:
                continue
            accepted.append(row)
        return accepted
