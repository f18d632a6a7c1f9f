"""Recomputes later tries by set of tried models, for a file in which they do not add up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from operator import sub
from typing import Any, Final

from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.store.sqlite.tried import number_of
from modelperf_plugin.store.tried import is_set
from modelperf_plugin.values import UNKNOWN_TRIED, LaterTries

_Sets = Mapping[int, LaterTries]
"""Later tries of one pair by the number of their set."""
_NO_SETS: Final[_Sets] = {}


def rebuild_later(connection: sqlite3.Connection, sql: Mapping[str, str]) -> None:
    """Make the later tries of each pair by set add up to its tally, which was recomputed.

    Runs within a transaction. The events are authoritative. Of a pair with dropped events the stored sets are kept
    unless they contradict events or tally. Tries that are then missing are put under the unknown set, and so are tries
    whose set is missing or unreadable.
    """
    connection.execute(sql["delete_stray_later"])
    known = _keep_known_sets(connection, sql)
    if connection.execute(sql["has_lost_tried"]).fetchone() == (1,):
        connection.execute(sql["replace_lost_tried"], (number_of(connection, UNKNOWN_TRIED),))
    events, stored = (
        _by_pair(fetch(connection, sql["later_of_events"])),
        _by_pair(fetch(connection, sql["stored_later"])),
    )
    for tally_id, has_dropped, *counts in fetch(connection, sql["later_of_tallies"]):
        of_events, before = events.get(tally_id, _NO_SETS), stored.get(tally_id, _NO_SETS)
        kept = {number: tries for number, tries in before.items() if number in known} if has_dropped else of_events
        after, missing = _completed(LaterTries(*counts), of_events, kept)
        if any(missing):
            unknown = number_of(connection, UNKNOWN_TRIED)
            after = {**after, unknown: missing.combined(after.get(unknown, LaterTries()))}
        if after != before:
            connection.execute(sql["delete_later"], (tally_id,))
            connection.executemany(sql["set_later"], [(tally_id, number, *tries) for number, tries in after.items()])
    connection.execute(sql["delete_unused_tried"])


def _keep_known_sets(connection: sqlite3.Connection, sql: Mapping[str, str]) -> set[int]:
    """Delete the sets that cannot be read; return the numbers of the others."""
    known = {number for number, models in fetch(connection, sql["tried"]) if is_set(models)}
    connection.execute(sql["delete_tried"], (json.dumps(sorted(known)),))
    return known


def _completed(whole: LaterTries, events: _Sets, kept: _Sets) -> tuple[_Sets, LaterTries]:
    """Return the sets to keep, and what they lack of ``whole``: ``kept`` if it fits, or else those of the events."""
    for sets in (kept, events):
        missing = _minus(whole, _total(sets.values()))
        covers = all(_is_possible(_minus(sets.get(number, LaterTries()), tries)) for number, tries in events.items())
        if covers and _is_possible(missing) and all(map(_is_possible, sets.values())):
            return sets, missing
    return events, LaterTries()


def _is_possible(tries: LaterTries) -> bool:
    return min(tries[:3]) >= 0 and tries.timeout_failures <= tries.failures


def _by_pair(rows: Iterable[Any]) -> dict[int, dict[int, LaterTries]]:
    pairs: dict[int, dict[int, LaterTries]] = {}
    for tally_id, number, *counts in rows:
        pairs.setdefault(tally_id, {})[number] = LaterTries(*counts)
    return pairs


def _total(tries: Iterable[LaterTries]) -> LaterTries:
    return LaterTries(*map(sum, zip(*tries, strict=True)))


def _minus(one: LaterTries, other: LaterTries) -> LaterTries:
    return LaterTries(*map(sub, one, other))
