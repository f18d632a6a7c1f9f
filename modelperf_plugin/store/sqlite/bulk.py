"""Writing many outcomes at once: sums are computed here, so that each tally is updated once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from modelperf_plugin.store.entries import Entry, split_known
from modelperf_plugin.store.rows import MAX_INTEGER
from modelperf_plugin.values import BLAMES, DAY_MS, NANO_USD, LaterTries, Outcome, Tried

_LONG_AGO_MS: Final = -(2**63)

_Row = tuple[int, int, int, int, int, int, int]
_DetailedRow = tuple[int | str | None, ...]


class _Sums:
    """The sums of one pair on one day."""

    __slots__ = (
        "caller_errors",
        "cost_nano_usd",
        "failures",
        "graded",
        "last_ms",
        "later_failures",
        "later_score_shift",
        "later_successes",
        "later_timeout_failures",
        "outages",
        "priced",
        "score_shift",
        "successes",
        "timeout_failures",
        "timeouts",
        "tokens",
    )

    def __init__(self) -> None:
        self.successes = self.failures = self.timeouts = self.outages = self.caller_errors = 0
        self.tokens = self.cost_nano_usd = self.priced = self.timeout_failures = 0
        self.later_successes = self.later_failures = self.later_timeout_failures = 0
        self.graded = self.score_shift = self.later_score_shift = 0
        self.last_ms = _LONG_AGO_MS

    def add_failure(self, outcome: Outcome) -> None:
        """Add an outcome without success."""
        blame = BLAMES[outcome.error_kind]
        self.failures += 1
        if blame == "provider":
            self.outages += 1
        elif blame == "caller":
            self.caller_errors += 1
        elif outcome.timeout and outcome.score is None:
            self.timeout_failures += 1

    def add_score(self, outcome: Outcome) -> None:
        """Add the score of an outcome that was added."""
        if outcome.score_millionths is not None:
            self.graded += 1
            self.score_shift += outcome.score_shift

    def add_later(self, outcome: Outcome) -> None:
        """Note of an outcome that was added that it is a later try, and says something about its model."""
        self.later_successes += outcome.success
        self.later_failures += not outcome.success
        self.later_timeout_failures += outcome.timeout and not outcome.success and outcome.score is None
        self.later_score_shift += outcome.score_shift

    def counts(self) -> tuple[int, ...]:
        """Return the counts in the order of the columns."""
        return (
            self.successes,
            self.failures,
            self.timeouts,
            self.outages,
            self.caller_errors,
            min(self.tokens, MAX_INTEGER),
            min(self.cost_nano_usd, MAX_INTEGER),
            self.priced,
            self.timeout_failures,
            self.later_successes,
            self.later_failures,
            self.later_timeout_failures,
            self.graded,
            self.score_shift,
            self.later_score_shift,
        )


def write(
    connection: sqlite3.Connection,
    sql: Mapping[str, str],
    entries: Sequence[Entry],
    intern: Callable[[str, str], int],
    intern_tried: Callable[[Tried], int],
) -> tuple[int, Sequence[Entry]]:
    """Write the new ones of some outcomes within a transaction; return how many these are, and the others."""
    new, known = _new(connection, sql, entries)
    first_id = connection.execute(sql["next_event_id"]).fetchone()[0]
    rows, sums = _add_up(new, intern, first_id)
    tried_ids = {tried: intern_tried(tried) for tried in {entry.tried for entry in new if entry.tried}}
    later = _add_up_later(new, rows, sums, tried_ids) if tried_ids else {}
    timed = any(entry.outcome.duration_seconds is not None for entry in new)
    if not tried_ids and not timed and not any(_has_details(entry.outcome) for entry in new):
        connection.executemany(sql["add_events"], rows)
    else:  # one statement for all: events are written in the order of their numbers
        detailed = [
            _detailed(row, entry.outcome, tried_ids.get(entry.tried)) for row, entry in zip(rows, new, strict=True)
        ]
        connection.executemany(sql["add_detailed_events"], detailed)
    connection.executemany(
        sql["add_outcome_keys"],
        [
            (entry.outcome.outcome_id, first_id + place)
            for place, entry in enumerate(new)
            if entry.outcome.outcome_id is not None
        ],
    )
    connection.executemany(sql["add_daily"], [(*key, *each.counts()) for key, each in sums.items()])
    connection.executemany(
        sql["add_to_tally"], [(*each.counts(), each.last_ms, tally_id) for (tally_id, _), each in sums.items()]
    )
    connection.executemany(sql["add_later"], [(*key, *each) for key, each in later.items()])
    served = [(first_id + place, each.served_model) for place, each in enumerate(new) if each.served_model is not None]
    if served:
        connection.executemany(sql["add_served_model"], {(name,) for _, name in served})
        connection.executemany(sql["set_served"], served)
    if timed:
        connection.execute(sql["add_durations"], (first_id,))
    return len(new), known


def _new(
    connection: sqlite3.Connection, sql: Mapping[str, str], entries: Sequence[Entry]
) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Return the outcomes with an unknown id, each id once, and the others."""
    ids = [entry.outcome.outcome_id for entry in entries if entry.outcome.outcome_id is not None]
    if not ids:
        return entries, ()
    known = {outcome_id for (outcome_id,) in connection.execute(sql["known_outcome_keys"], (json.dumps(ids),))}
    return split_known(entries, known)


def _add_up(
    entries: Sequence[Entry], intern: Callable[[str, str], int], first_id: int
) -> tuple[list[_Row], dict[tuple[int, int], _Sums]]:
    """Return the rows of the events, numbered from ``first_id``, and their sums by pair and day."""
    pair_ids: dict[tuple[str, str], int] = {}
    sums: dict[tuple[int, int], _Sums] = {}
    rows: list[_Row] = []
    for number, (task_type, model_id, outcome, ended_ms, _) in enumerate(entries, first_id):
        pair = (task_type, model_id)
        tally_id = pair_ids.get(pair)
        if tally_id is None:
            tally_id = pair_ids[pair] = intern(task_type, model_id)
        day = (tally_id, ended_ms // DAY_MS)
        total = sums.get(day)
        if total is None:
            total = sums[day] = _Sums()
        # integers, because sqlite3 looks for an adapter for every bool
        success, timeout, tokens = 1 if outcome.success else 0, 1 if outcome.timeout else 0, outcome.tokens_used
        cost = round(outcome.cost_usd * NANO_USD) if outcome.cost_usd else 0
        if success:
            total.successes += 1
        else:
            total.add_failure(outcome)
        if outcome.score is not None:
            total.add_score(outcome)
        if timeout:
            total.timeouts += 1
        if cost:
            total.cost_nano_usd += cost
            total.priced += 1
        total.tokens += tokens
        if ended_ms > total.last_ms:  # noqa: PLR1730 - runs for every outcome, and max() takes three times as long
            total.last_ms = ended_ms
        rows.append((number, tally_id, ended_ms, success, timeout, tokens, cost))
    return rows, sums


def _add_up_later(
    entries: Sequence[Entry],
    rows: Sequence[_Row],
    sums: Mapping[tuple[int, int], _Sums],
    tried_ids: Mapping[Tried, int],
) -> dict[tuple[int, int], LaterTries]:
    """Count the later tries among outcomes that are part of ``sums``; return them by pair and set."""
    later: dict[tuple[int, int], LaterTries] = {}
    for (_, tally_id, ended_ms, *_), entry in zip(rows, entries, strict=True):
        if not entry.tried or not (entry.outcome.success or entry.outcome.blame == "model"):
            continue
        sums[tally_id, ended_ms // DAY_MS].add_later(entry.outcome)
        key = (tally_id, tried_ids[entry.tried])
        later[key] = later.get(key, LaterTries()).plus(entry.outcome)
    return later


def _has_details(outcome: Outcome) -> bool:
    return outcome.error_kind is not None or outcome.score is not None or outcome.retry_after_seconds is not None


def _detailed(row: _Row, outcome: Outcome, tried_id: int | None) -> _DetailedRow:
    duration, wait = outcome.duration_seconds, outcome.retry_after_seconds
    return (
        *row, outcome.error_kind, None if duration is None else round(duration * 1000), outcome.score_millionths,
        None if wait is None else round(wait * 1000), tried_id,
    )  # fmt: skip
