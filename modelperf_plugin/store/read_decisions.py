"""Reading the decision log by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelperf_plugin.store.decision_records import DecisionOutcome
from modelperf_plugin.store.decision_rows import (
    attempt_of,
    decision_of,
    former_of,
    served_of,
    unmatched_of,
    with_details,
)
from modelperf_plugin.store.decision_summary import DecisionSummary, ModeSummary
from modelperf_plugin.store.decisions import OVERDUE_MS, UNMATCHED_MS, FormerVerdict, JoinedOutcome, LoggedDecision
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.rows import usable

_BEFORE_ALL_MS: Final = -(2**63)


class ReadDecisions:
    """Reads the log of decisions; see :class:`~modelperf_plugin.store.roles.DecisionHistory`."""

    def __init__(self, connection: Reading, dialect: str, queries: str = "queries.sql") -> None:
        self._reader = connection
        self._sql = load_queries(dialect, queries)

    def get(self, decision_id: str) -> LoggedDecision | None:
        return next(iter(self._restored("decision", decision_id)), None)

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        return self._restored("decisions_by_prefix", prefix, prefix, limit)

    def follow_ups(self, decision_id: str) -> list[LoggedDecision]:
        return self._restored("follow_ups", decision_id)

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        return self._restored(
            "decisions", _BEFORE_ALL_MS if since_ms is None else since_ms, task_type, task_type, limit
        )

    def last_number(self) -> int:
        ((number,),) = self._reader.fetch(self._sql["last_logged"])
        return number or 0

    def further_outcomes(self, decision_ids: Sequence[str]) -> Mapping[str, Sequence[JoinedOutcome]]:
        return further_outcomes(self._reader, self._sql, decision_ids)

    def summary(self, now_ms: int) -> DecisionSummary:
        since_ms = overdue_since(now_ms)
        rows = self._reader.fetch(self._sql["decision_summary"], since_ms, since_ms)
        summary = {mode: ModeSummary(*counts) for mode, *counts in rows}
        ((unmatched,),) = self._reader.fetch(self._sql["count_unmatched"], now_ms - UNMATCHED_MS)
        return DecisionSummary(
            # a host that was answered None has no decision to report on
            {mode: each if mode == "apply" else each._replace(waiting=0, overdue=0) for mode, each in summary.items()},
            unmatched,
        )

    def _restored(self, name: str, *parameters: Any) -> list[LoggedDecision]:
        return restored(self._reader, self._sql, self._reader.fetch(self._sql[name], *parameters))


class ReadUnmatchedOutcomes:
    """Reads outcomes that wait for their decision; see :class:`~modelperf_plugin.store.roles.UnmatchedOutcomes`."""

    def __init__(self, connection: Reading, dialect: str, queries: str = "queries.sql") -> None:
        self._reader = connection
        self._sql = load_queries(dialect, queries)

    def of(self, decision_id: str) -> list[DecisionOutcome]:
        return usable(unmatched_of, self._reader.fetch(self._sql["unmatched_outcomes"], decision_id))


def restored(reader: Reading, sql: dict[str, str], rows: Sequence[Sequence[Any]]) -> list[LoggedDecision]:
    """Return the decisions in ``rows``, with all their outcomes; rows that hold none are left out."""
    attempts = further_outcomes(reader, sql, [row[0] for row in rows if isinstance(row[0], str)])
    decisions = usable(lambda row: decision_of(row, attempts.get(row[0], ())), rows)
    refs = [each.ref for decision in decisions for each in decision.tries if isinstance(each.ref, (int, str))]
    former: dict[int | str, list[FormerVerdict]] = {}
    for ref, *verdict in reader.fetch(sql["revisions"], json.dumps(refs)) if refs else ():
        former.setdefault(ref, []).extend(usable(former_of, [verdict]))
    served = dict(usable(served_of, reader.fetch(sql["served_models"], json.dumps(refs)) if refs else ()))
    return [with_details(each, former, served) for each in decisions] if former or served else decisions


def further_outcomes(
    reader: Reading, sql: dict[str, str], decision_ids: Sequence[str]
) -> dict[str, list[JoinedOutcome]]:
    """Return the outcomes of each decision besides the one in its row, in the order of arrival."""
    found: dict[str, list[JoinedOutcome]] = {}
    for decision_id, *joined in reader.fetch(sql["attempts"], json.dumps(decision_ids)) if decision_ids else ():
        found.setdefault(decision_id, []).extend(usable(attempt_of, [joined]))
    return found


def overdue_since(now_ms: int) -> int:
    """Return the moment up to which a decision without an outcome is overdue at ``now_ms``."""
    return now_ms - OVERDUE_MS
