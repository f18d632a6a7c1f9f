"""Replacing verdicts that come later or change. All functions run within a transaction, or are one statement."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, NamedTuple

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.log import logger
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.entries import GONE, Entry, Recorded, Verdict, decision_of, id_by_decision
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.tried import number_of
from modelperf_plugin.values import WHOLE_SCORE, Outcome, check_tried

_TAKEN: Final = "an outcome of %s on %s does not count: its id %s was given to one of %s on %s before"


class Reported(NamedTuple):
    """A verdict without anything else, on the last outcome of a decision."""

    success: bool
    score: int | None
    """In millionths."""
    given_ms: int
    is_stamped: bool = True
    """Whether it loses against a verdict that was given later."""


def revise(
    connection: sqlite3.Connection, tally_id: int, entry: Entry, decision_id: str | None, *, is_stamped: bool
) -> Recorded:
    """Replace the verdict of an outcome whose id is known, in one statement, if ``entry`` says otherwise."""
    outcome, before = entry.outcome, connection.total_changes
    served = entry.served_model
    connection.execute(
        load_queries("sqlite")["revise" if served is None else "revise_served"],
        {
            "tally_id": tally_id, "success": int(outcome.success), "timeout": int(outcome.timeout),
            "tokens": outcome.tokens_used, "cost_nano_usd": outcome.cost_nano_usd, "error_kind": outcome.error_kind,
            "score": outcome.score_millionths, "given_ms": entry.ended_ms,
            "is_stamped": int(is_stamped or outcome.timestamp is not None), "decision_id": decision_id,
            "outcome_id": outcome.outcome_id, "served_model": served,
        },
    )  # fmt: skip
    if connection.total_changes > before:
        return Recorded.REVISED
    if outcome.outcome_id is not None:
        known = verdict_of(connection, outcome.outcome_id)
        if known is None:
            logger.warning(GONE, f"the outcome {outcome.outcome_id}")
        elif is_stamped and known[:2] != entry[:2]:  # it was spooled, so nobody can be told
            logger.warning(_TAKEN, entry.model_id, entry.task_type, outcome.outcome_id, known.model_id, known.task_type)
    return Recorded.NOTHING


def report(connection: sqlite3.Connection, decision_id: str, verdict: Reported) -> Recorded | None:
    """Replace the verdict of the last outcome of a decision; None if it has none, as far as is known."""
    sql, before = load_queries("sqlite"), connection.total_changes
    ref, event_id = _last_outcome(connection, decision_id)
    if ref is None:
        return None
    values = {
        "success": int(verdict.success), "score": verdict.score, "given_ms": verdict.given_ms,
        "is_stamped": int(verdict.is_stamped), "ref": ref, "decision_id": decision_id, "event_id": event_id,
    }  # fmt: skip
    connection.execute(sql["revise_by_decision"], values)
    if connection.total_changes > before:
        return Recorded.REVISED
    if connection.execute(sql["verdict_of_event"], (event_id,)).fetchone() is None:
        logger.warning(GONE, f"the decision {decision_id}")
    return Recorded.NOTHING


def complete(connection: sqlite3.Connection, decision_id: str, entry: Entry) -> Recorded | None:
    """Add what an outcome says beside its verdict, if that was reported before it; None if it was not."""
    sql, outcome = load_queries("sqlite"), entry.outcome
    of_decision = {"decision_id": decision_id, "ref": id_by_decision(decision_id), "model_id": entry.model_id}
    found = connection.execute(sql["reported_first"], of_decision).fetchone()
    if found is None or connection.execute(sql["verdict_of_event"], found).fetchone() is None:
        return None
    values = {
        **of_decision, "event_id": found[0], "timeout": int(outcome.timeout), "tokens": outcome.tokens_used,
        "cost_nano_usd": outcome.cost_nano_usd, "error_kind": outcome.error_kind, "given_ms": entry.ended_ms,
        "duration_ms": _milliseconds(outcome.duration_seconds),
        "retry_after_ms": _milliseconds(outcome.retry_after_seconds),
    }  # fmt: skip
    connection.execute(sql["complete"], values)
    connection.execute(sql["complete_event"], values)
    connection.execute(sql["complete_durations"], values)
    connection.execute(sql["complete_decision"], values)
    if entry.served_model is not None:
        connection.execute(sql["add_served_model"], (entry.served_model,))
        connection.execute(sql["set_served"], (found[0], entry.served_model))
    return Recorded.REVISED


def verdict_of(connection: sqlite3.Connection, outcome_id: str) -> Verdict | None:
    """Return the verdict of a known outcome; None if its id is not known, or its event is gone."""
    sql = load_queries("sqlite")
    decision_id, found = decision_of(outcome_id), None
    if decision_id is not None:
        _, found = _last_outcome(connection, decision_id)
    if found is None:
        (found,) = connection.execute(sql["event_of_key"], (outcome_id,)).fetchone() or (None,)
    row = connection.execute(sql["verdict_of_event"], (found,)).fetchone()
    if row is None:
        return None
    task_type, model_id, success, timeout, *rest = row
    return Verdict(task_type, model_id, bool(success), bool(timeout), *rest)


def apply_waiting(connection: sqlite3.Connection, decision: DecisionRecord) -> DecisionOutcome | None:
    """Give a decision that was stored the verdict that has waited for it; return a new outcome, to be joined.

    An outcome that is joined already gets the verdict as one that was given after it.
    """
    sql, decision_id = load_queries("sqlite"), decision.decision_id
    rows = connection.execute(sql["waiting_verdicts"], (decision_id,)).fetchall()
    if not rows:
        return None
    connection.execute(sql["delete_waiting_verdicts"], (decision_id,))
    success, score, given_ms = rows[-1]
    if report(connection, decision_id, Reported(bool(success), score, given_ms, is_stamped=False)) is not None:
        return None
    outcome_id = id_by_decision(decision_id)
    outcome = Outcome(
        success=bool(success), score=None if score is None else score / WHOLE_SCORE, outcome_id=outcome_id
    )
    connection.execute(sql["add_pair"], (decision.task_type, decision.model_id))
    (tally_id,) = connection.execute(sql["find_pair"], (decision.task_type, decision.model_id)).fetchone()
    row = (tally_id, given_ms, int(outcome.success), 0, 0, 0, None, None, score, None, outcome_id)
    tried = check_tried("tried", parse_json(decision.record).get("tried", ()))
    tried_id = number_of(connection, tried) if tried else None
    before = connection.total_changes
    if tried:
        connection.execute(sql["record_later"], (*row, tried_id))
    else:
        connection.execute(sql["record_once"], row)
    if connection.total_changes == before:  # an earlier verdict was counted, although the log did not have the decision
        entry = Entry(decision.task_type, decision.model_id, outcome, given_ms, tried)
        revise(connection, tally_id, entry, decision_id, is_stamped=False)
    return DecisionOutcome(decision_id, decision.model_id, outcome, given_ms, outcome_id)


def _last_outcome(connection: sqlite3.Connection, decision_id: str) -> tuple[Any, int | None]:
    """Return what the log has as the last outcome of a decision, and its event; None for what is not known."""
    sql = load_queries("sqlite")
    (ref,) = connection.execute(sql["last_outcome"], {"decision_id": decision_id}).fetchone() or (None,)
    if not isinstance(ref, str):
        return ref, ref
    (event_id,) = connection.execute(sql["event_of_key"], (ref,)).fetchone() or (None,)
    return ref, event_id


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
