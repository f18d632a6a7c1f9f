"""Moving every readable row of a damaged file into a new one, and accounting for the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.file import begin, prepare
from modelperf_plugin.store.sqlite.identity import opened_image
from modelperf_plugin.store.sqlite.insertion import insert, insert_many
from modelperf_plugin.store.sqlite.pages import Value
from modelperf_plugin.store.sqlite.pairs import RecoveredPairs
from modelperf_plugin.store.sqlite.rebuild import rebuild
from modelperf_plugin.store.sqlite.schema import GUIDE_TABLES
from modelperf_plugin.store.sqlite.shapes import Shape, our_shapes
from modelperf_plugin.store.sqlite.trees import Trees

_SINGLE: Final = frozenset({"identity"})
"""Tables in which a new file has a row of its own already."""
_CONSTANT: Final = frozenset({"duration_border"})
"""Tables of which a new file has all rows already."""

_ROWS_AT_ONCE: Final = 1_000

_Row = dict[str, Value]


class Recovery(NamedTuple):
    """What was moved into the new file."""

    tables: dict[str, int]
    """Recovered rows by table."""
    unreadable: list[str]
    """Tables with unreadable rows."""
    counted: int
    """Outcomes of which only the counts were recovered."""
    lost: int
    """Outcomes of which nothing was recovered, as far as can be told."""
    merged: int
    """Pairs that were listed twice."""
    unnamed: list[int]
    """Pairs whose names are lost."""

    @property
    def outcomes(self) -> int:
        """Outcomes recovered with all their details."""
        return self.tables["event"]


def recover(source: Path, new: Path) -> Recovery:
    """Create ``new`` with all rows that can be read in ``source``, which is not changed."""
    shapes = our_shapes()
    with opened_image(source) as image:
        trees = Trees(image, shapes)
        guide = [table for table in GUIDE_TABLES if trees.is_table(table)]
        damaged = _copy_guide_tables(trees, guide, new) if guide else []
        with closing(prepare(str(new), "full", [])) as target:
            target.execute("PRAGMA foreign_keys = OFF")
            with target:
                begin(target, 0.0)
                found = _Copy(trees, target, shapes).run()
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            target.execute("PRAGMA journal_mode = DELETE")
    return found._replace(unreadable=[*damaged, *found.unreadable])


def _copy_guide_tables(trees: Trees, tables: list[str], new: Path) -> list[str]:
    """Create the migration guide's two tables in ``new``: opening it converts them; return those with damaged rows."""
    damaged = [table for table in tables if not trees.is_complete(table)]
    with closing(sqlite3.connect(new, isolation_level=None)) as target, target:
        begin(target, 0.0)
        for table in GUIDE_TABLES:
            target.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(sorted(GUIDE_TABLES[table]))})")
        for table in tables:
            shape = trees.shape(table)
            for cell in trees.cells(table):
                if shape is not None and cell is not None and shape.fits(cell):
                    row = shape.row(cell)
                    insert(target, table, {name: row[name] for name in row.keys() & {"id", *GUIDE_TABLES[table]}})
                elif table not in damaged:
                    damaged.append(table)
    return damaged


class _Copy:
    """One pass over the tables of a damaged file."""

    def __init__(self, trees: Trees, target: sqlite3.Connection, shapes: dict[str, Shape]) -> None:
        self._trees = trees
        self._target = target
        self._shapes = shapes
        self._sql = load_queries("sqlite", "repair.sql")
        self._unreadable: set[str] = set()

    def run(self) -> Recovery:
        target, sql = self._target, self._sql
        pairs = RecoveredPairs()
        for row in self._rows("tally"):
            pairs.add(row)
        for cell in self._trees.cells("sqlite_autoindex_tally_1"):
            pairs.add_name(cell)
        pairs.write(target)
        tables = {"tally": len(pairs.rows)}
        for table in self._shapes:
            if table != "tally" and table not in _CONSTANT:
                tables[table] = self._copy(table, pairs.aliases)
        target.execute(sql["forget_index_rows"])
        target.execute(sql["forget_index_rows_of_retries"])
        lost_names = pairs.name_strays(target, sql)
        target.execute(sql["forget_stray_events"])
        target.execute(sql["forget_stray_attempts"])
        for table in ("daily", "imported", "dropped", "later", "duration", "baseline", "demotion"):
            target.execute(f"DELETE FROM {table} WHERE tally_id NOT IN (SELECT id FROM tally)")  # noqa: S608 - our names
        target.execute(sql["add_daily_of_events"])
        pairs.count_by_days(target, sql)
        counted = _keep_counts(target, sql)
        rebuild(target)
        is_counted = "tally" not in self._unreadable and not lost_names
        lost = 0 if is_counted else _estimate_lost(target, sql)
        tables["event"] = target.execute("SELECT count(*) FROM event").fetchone()[0]
        return Recovery(tables, sorted(self._unreadable), counted, lost, len(pairs.aliases), lost_names)

    def _rows(self, table: str) -> Iterator[_Row]:
        """Yield the valid rows of a table; remember whether there were others."""
        shape = self._trees.shape(table) or self._shapes[table]
        if self._trees.may_have(table) and not self._trees.is_complete(table):
            self._unreadable.add(table)
        for cell in self._trees.cells(table):
            if cell is None or not shape.is_valid(cell):
                self._unreadable.add(table)
            else:
                yield shape.row(cell)

    def _copy(self, table: str, aliases: dict[int, int]) -> int:
        """Insert all rows of a table that satisfy the constraints of the new file; return how many."""
        target = self._target
        known = {"rowid", *(column.name for column in self._shapes[table].columns)}
        waiting: dict[tuple[str, ...], list[tuple[Value, ...]]] = {}
        inserted = 0
        for row in self._rows(table):
            for name in row.keys() - known:
                del row[name]
            pair = row.get("tally_id")
            if isinstance(pair, int) and pair in aliases:
                inserted += insert(target, table, {**row, "tally_id": aliases[pair]}, sums=True)
            elif table in _SINGLE:
                inserted += insert(target, table, row, replace=True)
            else:
                names = tuple(row)
                rows = waiting.setdefault(names, [])
                rows.append(tuple(row.values()))
                if len(rows) >= _ROWS_AT_ONCE:
                    inserted += insert_many(target, table, names, rows)
                    rows.clear()
        return inserted + sum(insert_many(target, table, names, rows) for names, rows in waiting.items())


def _keep_counts(target: sqlite3.Connection, sql: Mapping[str, str]) -> int:
    """Keep the counts of the old tallies beyond the recovered events; return how many outcomes these are."""
    kept = 0
    before = {row[0]: row[4] + row[5] for row in target.execute(sql["dropped_pairs"])}
    for tally_id, *missing in target.execute(sql["missing_sums"]).fetchall():
        if min(missing[:2]) < 0:  # the tally is damaged as well: the events are authoritative
            continue
        target.execute(sql["set_dropped"], (tally_id, *(max(0, number) for number in missing[:-2]), *missing[-2:]))
        kept += missing[0] + missing[1] - before.get(tally_id, 0)
    return kept


def _estimate_lost(target: sqlite3.Connection, sql: Mapping[str, str]) -> int:
    """Return how many outcomes are missing by the numbers of the events, which have no gaps."""
    newest, known = target.execute(sql["known_events"]).fetchone()
    return max(0, int(newest) - int(known))
