"""The decision log in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from modelperf_plugin.store import decisions as limits
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decision_rows import outcome_row, split, unmatched_of
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP, JoinedOutcome
from modelperf_plugin.store.entries import Recorded
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_decisions import ReadDecisions
from modelperf_plugin.store.rows import usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.revising import apply_waiting
from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.values import Outcome

_NO_OUTCOME: Final = (None,) * (len(JoinedOutcome._fields) - 3)  # number, former verdicts, served model: added later


class SqliteDecisionLog(ReadDecisions):
    """Stores decisions with their outcomes; see :class:`~modelperf_plugin.store.roles.DecisionLog`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection = connection

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        decisions, outcomes = list(decisions), list(outcomes)  # a slow iterable must not keep the transaction open
        clear = self._connection.cache.clear
        return self._connection.write(lambda connection: add_decisions(connection, decisions, outcomes, clear))

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        def write(connection: sqlite3.Connection) -> Recorded:
            self._connection.cache.clear()
            row = (decision_id, given_ms, int(outcome.success), outcome.score_millionths)
            connection.execute(self._sql["add_waiting_verdict"], row)
            connection.execute(self._sql["limit_waiting_verdicts"], (limits.MAX_UNMATCHED_OUTCOMES,))
            found = fetch(connection, self._sql["decision"], (decision_id,))
            if found:
                reported = apply_waiting(connection, split(found[0])[0])
                if reported is not None:
                    _join(connection, reported)
            return Recorded.REVISED

        return self._connection.write(write)

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        rows = self._connection.fetch_page(self._sql["logged_after"], self._sql["last_logged_of_page"], number, limit)
        return [(row[0], *split(row[1:])) for row in rows]

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        def forget(connection: sqlite3.Connection) -> int:
            connection.execute(self._sql["forget_unmatched"], (before_ms, limit))
            connection.execute(self._sql["forget_waiting_verdicts"], (before_ms, limit))
            return connection.execute(self._sql["forget_decisions"], (before_ms, limit)).rowcount

        return self._connection.write(forget)


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
        row = (*decision, *(_NO_OUTCOME if first is None else outcome_row(first)))
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
    row, decision_id = outcome_row(outcome), outcome.decision_id
    if isinstance(outcome.ref, str):
        _name_decision(connection, outcome)
        if connection.execute(sql["is_joined"], {"decision_id": decision_id, "ref": outcome.ref}).fetchone()[0]:
            return False
    if connection.execute(sql["join_outcome"], (*row, decision_id)).rowcount > 0:
        return True
    found = connection.execute(sql["outcomes_so_far"], (decision_id,)).fetchone()
    if found is None:
        if connection.execute(sql["add_unmatched"], (*row, decision_id, decision_id)).rowcount > 0:
            connection.execute(sql["limit_unmatched"], (limits.MAX_UNMATCHED_OUTCOMES,))
        return False
    chosen, joined, count = found
    if outcome.model_id == chosen != joined:
        connection.execute(sql["move_outcome"], (decision_id,))
        connection.execute(sql["replace_outcome"], (*row, count + 1, decision_id))
        return True
    if count < limits.MAX_LOGGED_TRIES:
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
    return [outcome for outcome in usable(unmatched_of, rows) if _join(connection, outcome)]
