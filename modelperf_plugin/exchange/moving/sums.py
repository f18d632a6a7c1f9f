"""Sums: what the source has more than was moved is added to those of the target."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from modelperf_plugin.store.moving.session import Row, Session
from modelperf_plugin.store.moving.tables import (
    COUNTS,
    DAILY,
    DROPPED,
    DURATION,
    IMPORTED,
    LATER,
    LEAST,
    MOST,
    SUMS,
    TALLY,
    Table,
)

_PAGE: Final = 2_000
_MAX: Final = 2**63 - 1


def name_of(key: Iterable[Any]) -> str:
    """Return the name under which something is kept about the row with this key."""
    return json.dumps(list(key))


def add_events(
    source: Session, target: Session, first: int, last: int, times: int = 1, *, is_kept: bool = True
) -> None:
    """Add what events of the source count to the sums of the target, or take it away."""
    days = [_whole(row) for row in source.rows("days_of_events", first=first, last=last)]
    width = len(DAILY.key)
    pairs: dict[Row, list[Any]] = {}
    for row in days:
        *counts, newest = row[width:]
        known = pairs.setdefault(row[:2], [*[0] * len(counts), newest])
        pairs[row[:2]] = [*map(sum, zip(known, counts, strict=False)), max(known[-1], newest)]
    for table, rows in (
        (TALLY, [(*pair, *values) for pair, values in pairs.items()]),
        (DAILY, [row[:-1] for row in days]),
        (LATER, [_whole(row) for row in source.rows("later_of_events", first=first, last=last)]),
        (DURATION, [_whole(row) for row in source.rows("durations_of_events", first=first, last=last)]),
    ):
        for page in _pages(rows):
            _add(target, table, page, times, is_kept)


def _add(target: Session, table: Table, rows: list[Row], times: int, is_kept: bool) -> None:
    width = len(table.key)
    if not is_kept:
        target.add(table, [(*row[:width], *_times(table, row[width:], times)) for row in rows])
        return
    names = [name_of(row[:width]) for row in rows]
    known = target.kept(table.name, names)
    target.add(table, [(*row[:width], *_times(table, row[width:], times)) for row in rows])
    target.keep(
        table.name,
        {name: _added(table, known.get(name), row[width:]) for name, row in zip(names, rows, strict=True)},
    )


def settle(source: Session, target: Session) -> None:
    """Bring the part of the target's sums that came from the source to what they are there."""
    imported = _imported(source)
    for table in SUMS:
        number = 0
        for page in _pages(source.table(table)):
            number += len(page)
            _settle(target, table, [_without(row, imported) for row in page] if table is TALLY else page)
        if target.value("count_kept", relation=table.name) > number:
            _remove_lost(source, target, table)
    for table in (DAILY, LATER, DURATION):
        target.run(f"delete_empty_{table.name}")
    _balance(source, target)


def of_imported(row: Row) -> Row:
    """Return what sums without events add to a tally."""
    task_type, model_id, _, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms = row
    priced = successes + failures if cost_nano_usd > 0 else 0
    counts = {
        "successes": successes, "failures": failures, "timeouts": timeouts, "tokens": tokens,
        "cost_nano_usd": cost_nano_usd, "priced": priced,
    }  # fmt: skip
    return task_type, model_id, *(counts.get(each, 0) for each in COUNTS), last_used_ms


def _imported(source: Session) -> dict[Row, list[int]]:
    """Return the part of tallies that has no events: it is moved by source."""
    found: dict[Row, list[int]] = {}
    for row in map(of_imported, source.table(IMPORTED)):
        counts = row[2:-1]
        found[row[:2]] = [a + b for a, b in zip(found.get(row[:2], [0] * len(counts)), counts, strict=True)]
    return found


def _without(row: Row, imported: dict[Row, list[int]]) -> Row:
    if row[:2] not in imported:
        return row
    counts = (a - b for a, b in zip(row[2:-1], imported[row[:2]], strict=True))
    return *row[:2], *counts, row[-1]


def _settle(target: Session, table: Table, rows: list[Row]) -> None:
    width = len(table.key)
    names = {name_of(row[:width]): row for row in rows}
    known = target.kept(table.name, list(names))
    changed = {name: row for name, row in names.items() if known.get(name) != list(row[width:])}
    target.add(
        table, [(*row[:width], *_difference(table, row[width:], known.get(name))) for name, row in changed.items()]
    )
    target.keep(table.name, {name: row[width:] for name, row in changed.items()})


def _remove_lost(source: Session, target: Session, table: Table) -> None:
    """Take away the sums of rows that the source has no longer."""
    width = len(table.key)
    present = {hash(name_of(row[:width])) for row in source.table(table)}
    lost = {
        name: values
        for name, values in target.kept(table.name).items()
        if hash(name) not in present and isinstance(values, list)
    }
    none = tuple(None if _is_extreme(table, column) else 0 for column in table.values)
    target.add(table, [(*json.loads(name), *_difference(table, none, values)) for name, values in lost.items()])
    target.forget(table.name, lost)


def _balance(source: Session, target: Session) -> None:
    """Count as dropped what events of the source have counted that are gone."""
    width = len(DROPPED.key)
    rows = {name_of(row[:width]): row for row in source.table(DROPPED)}
    known = target.kept(DROPPED.name)
    changed = {name: row for name, row in rows.items() if known.get(name) != list(row[width:])}
    if changed:
        numbers = [target.pair(*row[:width]) for row in changed.values()]
        target.run("balance_dropped", tally_ids=json.dumps(numbers))
        target.keep(DROPPED.name, {name: row[width:] for name, row in changed.items()})


def differing(source: Session, target: Session) -> list[str]:
    """Return the names of the tables whose sums are not the same in both stores."""
    return [table.name for table in (TALLY, DAILY, LATER, DURATION) if _total(source, table) != _total(target, table)]


def _total(session: Session, table: Table) -> list[int]:
    width = len(table.key)
    sums = [0] * len(table.values)
    for row in session.table(table):
        for place, value in enumerate(row[width:]):
            sums[place] += value or 0
    return sums


def _is_extreme(table: Table, column: str) -> bool:
    return column in LEAST.get(table.name, ()) + MOST.get(table.name, ())


def _times(table: Table, values: Row, times: int) -> Row:
    return tuple(
        value if _is_extreme(table, column) else value * times
        for column, value in zip(table.values, values, strict=True)
    )


def _added(table: Table, known: Any, values: Row) -> list[Any]:
    if known is None:
        return list(values)
    return [
        max(filter(None, (old, new)), default=new) if _is_extreme(table, column) else min(old + new, _MAX)
        for column, old, new in zip(table.values, known, values, strict=True)
    ]


def _difference(table: Table, values: Row, known: Any) -> Row:
    if known is None:
        return values
    return tuple(
        new if _is_extreme(table, column) else new - old
        for column, old, new in zip(table.values, known, values, strict=True)
    )


def _whole(row: Row) -> Row:
    """Return a row whose sums are integers, which they are not in every database."""
    return tuple(value if isinstance(value, str) or value is None else min(int(value), _MAX) for value in row)


def _pages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while page := list(islice(iterator, _PAGE)):
        yield page
