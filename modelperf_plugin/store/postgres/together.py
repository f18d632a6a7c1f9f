"""Recording outcomes of several threads in one transaction, in one round trip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import psycopg

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store.commit_queue import Ticket
from modelperf_plugin.store.entries import Recorded
from modelperf_plugin.store.postgres import decisions, known
from modelperf_plugin.store.postgres.asking import Query, ask_together
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.groups import ApartError
from modelperf_plugin.store.postgres.parameters import FIELDS, row_of
from modelperf_plugin.store.postgres.receipts import failed, is_answered, receipt_id

_GROUP: Final = known.prepared("record_group")
_LIMITS: Final = [b"%d" % limit for limit in decisions.limits_of_log()]


def record(store: PostgresConnection, tickets: Sequence[Ticket]) -> None:
    """Record outcomes and set the answers. Those that cannot be recorded with others get an :class:`ApartError`.

    Each has a receipt of its own: its thread may spool it by itself, if nobody knows what became of them.
    """
    try:
        store.once([each.entry for each in tickets], partial(_send, store.location, tickets), receipts=len(tickets))
        store.follower.counts.void({each.entry.task_type for each in tickets if each.error is not None})
    except StoreFailedError as error:
        for ticket in tickets:
            doubt = ticket.doubt if error.receipt is not None else None
            ticket.error = failed(str(error), doubt.receipt if doubt is not None else None)
    except StoreBusyError:
        raise
    except StoreError as error:  # because of one of them
        raise ApartError from error


def _send(location: str, tickets: Sequence[Ticket], connection: PatientConnection, sent: int) -> None:
    """Record outcomes by the statements whose numbers end with ``sent``."""
    if connection.is_pooled:
        raise ApartError
    receipts = range(sent - len(tickets) + 1, sent + 1)
    failure = f"{location}: an interrupt has come between outcomes and their answer"
    for ticket, number in zip(tickets, receipts, strict=True):
        ticket.doubt = failed(failure, receipt_id(connection.sender, number))
    try:
        _execute(connection, tickets, receipts)
    except psycopg.Error as error:
        if is_answered(error, connection):  # and this may be called again, with another connection
            for ticket in tickets:
                ticket.doubt = None
        raise


def _execute(connection: PatientConnection, tickets: Sequence[Ticket], receipts: range) -> None:
    queries: list[Query] = []
    others: list[Ticket] = []
    for ticket, number in zip(tickets, receipts, strict=True):
        values = known.values_of(connection, ticket.entry) if ticket.joining is None else None
        if values is None:
            others.append(ticket)
        else:
            queries.append(known.query(connection, number, values))
    if others:  # first, as they may lock rows; in one order
        others.sort(key=_key)
        queries.insert(0, (_GROUP, _group(connection, receipts[-1], others)))
    results = ask_together(connection, queries)
    for ticket in tickets:
        ticket.answer = Recorded.NEW
    if others:
        _answer(connection, others, json.loads(results[0].get_value(0, 0) or b""))


def _key(ticket: Ticket) -> tuple[str, str]:
    return ("" if ticket.joining is None else ticket.joining.outcome.decision_id, ticket.entry.outcome.outcome_id or "")


def _group(connection: PatientConnection, sent: int, tickets: Sequence[Ticket]) -> list[bytes | None]:
    """Return the parameters of ``record_group``."""
    rows, logged, joined = [], [], []
    for ticket in tickets:
        row, joining = dict(zip(FIELDS, row_of(ticket.entry), strict=True)), ticket.joining
        decision, outcome = None, "null"
        if joining is not None:
            decision, outcome, *_ = decisions.parameters(joining)
            row |= {"decision_id": joining.outcome.decision_id, "is_decided": decision is not None}
        rows.append(row)
        logged.append(decision or "null")
        joined.append(outcome)
    return [
        b"%d" % connection.sender_number, b"%d" % sent, json.dumps(rows).encode(), _array(logged), _array(joined),
        *_LIMITS,
    ]  # fmt: skip


def _array(values: Sequence[str]) -> bytes:
    return f"[{','.join(values)}]".encode()


def _answer(connection: PatientConnection, tickets: Sequence[Ticket], recorded: dict[str, Any]) -> None:
    """Take in what ``record_group`` has returned."""
    names = zip(tickets, recorded["numbers"], recorded["tally_ids"], recorded["tried_ids"], strict=True)
    joined: list[tuple[Any, int]] = []
    for ticket, number, tally_id, tried_id in names:
        if number is None:
            ticket.error = ApartError()
            continue
        known.note(connection, ticket.entry, tally_id, tried_id)
        if ticket.joining is not None:
            joined.append((ticket.joining, number))
    if joined:
        decisions.join([joining for joining, _ in joined], [number for _, number in joined], recorded["log"])
        for joining, _ in joined:
            joining.is_stored = True
