"""Recording outcomes that have neither an id nor a decision, and whose names are numbered: one plain INSERT."""

from __future__ import annotations

from typing import Final

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.postgres.asking import Prepared, Query
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.postgres.parameters import milliseconds
from modelperf_plugin.store.queries import load_queries

_MAX_NUMBERS: Final = 20_000
"""How many numbers a connection keeps."""


def prepared(name: str) -> Prepared:
    """Return a statement under its name."""
    return Prepared(f"modelperf_{name}".encode(), load_queries("postgres")[name].encode())


RECORD: Final = prepared("record_known")
_TRUE_OR_FALSE: Final = b"f", b"t"


def values_of(connection: PatientConnection, entry: Entry) -> tuple[bytes | None, ...] | None:
    """Return the parameters of an outcome's INSERT; None if that is not enough, or cannot be prepared."""
    task_type, model_id, outcome, ended_ms, tried = entry
    numbers = connection.numbers
    tally_id = numbers.get((task_type, model_id))
    if tally_id is None or connection.is_pooled or outcome.outcome_id is not None or entry.served_model is not None:
        return None
    tried_id = None
    if tried:
        tried_id = numbers.get(("tried", *tried, ""))
        if tried_id is None:
            return None
    kind = outcome.error_kind
    return (
        b"%d" % ended_ms, b"%d" % outcome.tokens_used, b"%d" % outcome.cost_nano_usd,
        _number(milliseconds(outcome.duration_seconds)), _number(milliseconds(outcome.retry_after_seconds)),
        b"%d" % tally_id, _number(tried_id), _number(outcome.score_millionths), _TRUE_OR_FALSE[outcome.success],
        _TRUE_OR_FALSE[outcome.timeout], None if kind is None else kind.encode(),
    )  # fmt: skip


def note(connection: PatientConnection, entry: Entry, tally_id: int | None, tried_id: int | None) -> None:
    """Keep the numbers of an outcome's names, which are in the database."""
    numbers = connection.numbers
    if len(numbers) >= _MAX_NUMBERS:
        numbers.clear()
    if tally_id is not None:
        numbers[entry.task_type, entry.model_id] = tally_id
    if tried_id is not None:
        numbers["tried", *entry.tried, ""] = tried_id


def query(connection: PatientConnection, sent: int, values: tuple[bytes | None, ...]) -> Query:
    """Return what records one such outcome."""
    return RECORD, [b"%d" % connection.sender_number, b"%d" % sent, *values]


def _number(value: int | None) -> bytes | None:
    return None if value is None else b"%d" % value
