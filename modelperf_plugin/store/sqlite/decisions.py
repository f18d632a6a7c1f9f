"""The decision log in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decision_summary import DecisionSummary, ModeSummary
from modelperf_plugin.store.decisions import (
    DECISIONS_PER_STEP,
    MAX_LOGGED_TRIES,
    MAX_UNMATCHED_OUTCOMES,
    OVERDUE_MS,
    UNMATCHED_MS,
    FormerVerdict,
    JoinedOutcome,
    LoggedDecision,
)
from modelperf_plugin.store.entries import Recorded
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.revising import apply_waiting
from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.values import ERROR_KINDS, NANO_USD, WHOLE_SCORE, Outcome, check_id

_BEFORE_ALL_MS: Final = -(2**63)
_RECORD_COLUMNS: Final = len(DecisionRecord._fields)
_NO_OUTCOME: Final = (None,) * (len(JoinedOutcome._fields) - 3)  # number, former verdicts, served model: added later


class SqliteDecisionLog:
    """Stores decisions with their outcomes; see :class:`~modelperf_plugin.store.roles.DecisionLog`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        decisions, outcomes = list(decisions), list(outcomes)  # a slow iterable must not keep the transaction open
        clear = self._connection.cache.clear
        return self._connection.write(lambda connection: add_decisions(connection, decisions, outcomes, clear))

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        def write(connection: sqlite3.Connection) -> Recorded:
            self._connection.cache.clear()
            row = (decision_id, given_ms, int(outcome.success), outcome.score_millionths)
            connection.execute(self._sql["add_waiting_verdict"], row)
            connection.execute(self._sql["limit_waiting_verdicts"], (MAX_UNMATCHED_OUTCOMES,))
            found = fetch(connection, self._sql["decision"], (decision_id,))
            if found:
                reported = apply_waiting(connection, _split(found[0])[0])
                if reported is not None:
                    _join(connection, reported)
            return Recorded.REVISED

        return self._connection.write(write)

    def get(self, decision_id: str) -> LoggedDecision | None:
        return next(iter(restored(self._connection, self._connection.fetch(self._sql["decision"], decision_id))), None)

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        rows = self._connection.fetch(self._sql["decisions_by_prefix"], prefix, prefix, limit)
        return restored(self._connection, rows)

    def follow_ups(self, decision_id: str) -> list[LoggedDecision]:
        return restored(self._connection, self._connection.fetch(self._sql["follow_ups"], decision_id))

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        since_ms = _BEFORE_ALL_MS if since_ms is None else since_ms
        rows = self._connection.fetch(self._sql["decisions"], since_ms, task_type, task_type, limit)
        return restored(self._connection, rows)

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        rows = self._connection.fetch_page(self._sql["logged_after"], self._sql["last_logged_of_page"], number, limit)
        return [(row[0], *_split(row[1:])) for row in rows]

    def summary(self, now_ms: int) -> DecisionSummary:
        since_ms = overdue_since(now_ms)
        rows = self._connection.fetch(self._sql["decision_summary"], since_ms, since_ms)
        summary = {mode: ModeSummary(*counts) for mode, *counts in rows}
        ((unmatched,),) = self._connection.fetch(self._sql["count_unmatched"], now_ms - UNMATCHED_MS)
        return DecisionSummary(
            # a host that was answered None has no decision to report on
            {mode: each if mode == "apply" else each._replace(waiting=0, overdue=0) for mode, each in summary.items()},
            unmatched,
        )

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        def forget(connection: sqlite3.Connection) -> int:
            connection.execute(self._sql["forget_unmatched"], (before_ms, limit))
            connection.execute(self._sql["forget_waiting_verdicts"], (before_ms, limit))
            return connection.execute(self._sql["forget_decisions"], (before_ms, limit)).rowcount

        return self._connection.write(forget)


class SqliteUnmatchedOutcomes:
    """Outcomes that wait for their decision; see :class:`~modelperf_plugin.store.roles.UnmatchedOutcomes`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")

    def of(self, decision_id: str) -> list[DecisionOutcome]:
        return usable(_unmatched, self._connection.fetch(self._sql["unmatched_outcomes"], decision_id))


def add_decisions(
    connection: sqlite3.Connection,
    decisions: Iterable[DecisionRecord],
    outcomes: Sequence[DecisionOutcome],
    on_verdict: Callable[[], None],
    *,
    of_newest_event: bool = False,
) -> list[DecisionOutcome]:
    """Store decisions and join outcomes within a transaction; see ``write`` of the decision log.

    ``on_verdict`` is called if that changes tallies, because a verdict has waited for one of the decisions. With
    ``of_newest_event`` an outcome without an id is that of the event that was written last.
    """
    sql = load_queries("sqlite")
    decisions = list(decisions)
    has_unmatched, has_verdicts, newest_id = connection.execute(sql["has_unmatched"]).fetchone()
    if of_newest_event:
        outcomes = [each._replace(ref=newest_id) if each.outcome.outcome_id is None else each for each in outcomes]
    # one statement for a decision and its first outcome, unless an earlier one may wait in the store
    firsts = {} if has_unmatched else {outcome.decision_id: outcome for outcome in reversed(outcomes)}
    joined: list[DecisionOutcome] = []
    others = list(outcomes)
    for decision in decisions:
        first = firsts.pop(decision.decision_id, None)
        row = (*decision, *(_NO_OUTCOME if first is None else _outcome_row(first)))
        if connection.execute(sql["add_decision"], row).rowcount > 0 and first is not None:
            others.remove(first)
            joined.append(first)
        if has_unmatched:
            joined += _join_unmatched(connection, decision.decision_id)
        if first is not None:
            _name_decision(connection, first)
    joined += [outcome for outcome in others if _join(connection, outcome)]
    if has_verdicts:
        for decision in decisions:
            on_verdict()
            reported = apply_waiting(connection, decision)
            if reported is not None and _join(connection, reported):
                joined.append(reported)
    return joined


def _join(connection: sqlite3.Connection, outcome: DecisionOutcome) -> bool:
    """Add an outcome to its decision, or let it wait for that; return whether it is the one in the decision."""
    sql = load_queries("sqlite")
    row, decision_id = _outcome_row(outcome), outcome.decision_id
    if isinstance(outcome.ref, str):
        _name_decision(connection, outcome)
        if connection.execute(sql["is_joined"], {"decision_id": decision_id, "ref": outcome.ref}).fetchone()[0]:
            return False
    if connection.execute(sql["join_outcome"], (*row, decision_id)).rowcount > 0:
        return True
    found = connection.execute(sql["outcomes_so_far"], (decision_id,)).fetchone()
    if found is None:
        if connection.execute(sql["add_unmatched"], (*row, decision_id, decision_id)).rowcount > 0:
            connection.execute(sql["limit_unmatched"], (MAX_UNMATCHED_OUTCOMES,))
        return False
    chosen, joined, count = found
    if outcome.model_id == chosen != joined:
        connection.execute(sql["move_outcome"], (decision_id,))
        connection.execute(sql["replace_outcome"], (*row, count + 1, decision_id))
        return True
    if count < MAX_LOGGED_TRIES:
        connection.execute(sql["add_attempt"], (*row, count + 1, decision_id))
    return False


def _name_decision(connection: sqlite3.Connection, outcome: DecisionOutcome) -> None:
    """Note the decision of an outcome with an id, for those who replace its verdict and do not know it."""
    if isinstance(outcome.ref, str):
        connection.execute(load_queries("sqlite")["name_decision"], (outcome.decision_id, outcome.ref))


def _join_unmatched(connection: sqlite3.Connection, decision_id: str) -> list[DecisionOutcome]:
    """Join the outcomes that have waited for a decision, and return them."""
    sql = load_queries("sqlite")
    rows = fetch(connection, sql["unmatched_outcomes"], (decision_id,))
    if rows:
        connection.execute(sql["delete_unmatched"], (decision_id,))
    return [outcome for outcome in usable(_unmatched, rows) if _join(connection, outcome)]


def restored(connection: SqliteConnection, rows: Sequence[Sequence[Any]]) -> list[LoggedDecision]:
    """Return the decisions in ``rows``, with all their outcomes; rows that hold none are left out."""
    sql = load_queries("sqlite")
    ids = json.dumps([row[0] for row in rows if isinstance(row[0], str)])
    attempts: dict[str, list[JoinedOutcome]] = {}
    for decision_id, *joined in connection.fetch(sql["attempts"], ids) if rows else ():
        attempts.setdefault(decision_id, []).extend(usable(_attempt, [joined]))
    decisions = usable(lambda row: _restore(row, attempts.get(row[0], ())), rows)
    refs = [each.ref for decision in decisions for each in decision.tries if isinstance(each.ref, (int, str))]
    former: dict[int | str, list[FormerVerdict]] = {}
    for ref, *verdict in connection.fetch(sql["revisions"], json.dumps(refs)) if refs else ():
        former.setdefault(ref, []).extend(usable(_former, [verdict]))
    served = dict(usable(_served, connection.fetch(sql["served_models"], json.dumps(refs)) if refs else ()))
    return [_with_details(each, former, served) for each in decisions] if former or served else decisions


def _with_details(
    decision: LoggedDecision, former: Mapping[int | str, Sequence[FormerVerdict]], served: Mapping[int | str, str]
) -> LoggedDecision:
    """Return a decision with the former verdicts of its outcomes, and the models that have served them."""

    def with_own(outcome: JoinedOutcome) -> JoinedOutcome:
        ref = outcome.ref or 0
        return outcome._replace(former=tuple(former.get(ref, ())), served_model=served.get(ref))

    outcome = None if decision.outcome is None else with_own(decision.outcome)
    return replace(decision, outcome=outcome, tries=tuple(map(with_own, decision.tries)))


def _served(row: Sequence[Any]) -> tuple[int | str, str]:
    ref, name = row
    return ref, check_id("served_model", name)


def _former(row: Sequence[Any]) -> FormerVerdict:
    revised_ms, success, timeout, error_kind, score, tokens, cost_nano_usd = row
    moments(revised_ms)
    score = None if score is None else score / WHOLE_SCORE
    return FormerVerdict(revised_ms, bool(success), bool(timeout), error_kind, score, tokens, cost_nano_usd)


def _restore(row: Sequence[Any], others: Sequence[JoinedOutcome]) -> LoggedDecision:
    """Return the decision in ``row``; raise ValueError, TypeError or LookupError if it holds none."""
    decision = LoggedDecision.restore(*_split(row), others)
    moments(decision.made_ms, None if decision.outcome is None else decision.outcome.ended_ms)
    return decision


def _split(row: Sequence[Any]) -> tuple[DecisionRecord, JoinedOutcome | None]:
    """Return the stored decision in ``row``, and its outcome if there is one."""
    record, joined = row[:_RECORD_COLUMNS], row[_RECORD_COLUMNS:]
    return DecisionRecord._make(record), None if joined[0] is None else _joined(joined)


def overdue_since(now_ms: int) -> int:
    """Return the moment up to which a decision without an outcome is overdue at ``now_ms``."""
    return now_ms - OVERDUE_MS


def _outcome_row(joined: DecisionOutcome) -> tuple[Any, ...]:
    outcome, duration = joined.outcome, joined.outcome.duration_seconds
    return (
        joined.model_id, joined.ended_ms, outcome.success, outcome.timeout, outcome.tokens_used,
        outcome.cost_nano_usd, outcome.error_kind, None if duration is None else round(duration * 1000),
        None if outcome.score is None else outcome.score_millionths,
        outcome.outcome_id if joined.ref is None else joined.ref,
    )  # fmt: skip


def _unmatched(row: Sequence[Any]) -> DecisionOutcome:
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, ref = row
    outcome = Outcome(
        success=bool(success),
        timeout=bool(timeout),
        tokens_used=tokens,
        cost_usd=cost_nano_usd / NANO_USD,
        duration_seconds=None if duration_ms is None else duration_ms / 1000,
        error_kind=error_kind if error_kind in {None, *ERROR_KINDS} else "other",
        score=None if score is None else score / WHOLE_SCORE,
        outcome_id=ref if isinstance(ref, str) else None,
    )
    return DecisionOutcome(decision_id, model_id, outcome, ended_ms, ref)


def _attempt(row: Sequence[Any]) -> JoinedOutcome:
    attempt = _joined(row)
    moments(attempt.ended_ms)
    return attempt


def _joined(row: Sequence[Any]) -> JoinedOutcome:
    model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, ref, number = row
    return JoinedOutcome(
        model_id, ended_ms, bool(success), bool(timeout), tokens, cost_nano_usd, error_kind, duration_ms, number or 1,
        None if score is None else score / WHOLE_SCORE, ref,
    )  # fmt: skip
