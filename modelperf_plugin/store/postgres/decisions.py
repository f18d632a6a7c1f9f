"""The decision log in a PostgreSQL database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelperf_plugin.store import decisions as limits
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.store.decision_rows import outcome_row, split, unmatched_of
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP, JoinedOutcome
from modelperf_plugin.store.entries import Recorded
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_decisions import ReadDecisions
from modelperf_plugin.values import Outcome

_DECISION: Final = ("id", *DecisionRecord._fields[1:])
_OUTCOME: Final = (
    "model_id", "ended_ms", "success", "timeout", "tokens", "cost_nano_usd", "error_kind", "duration_ms", "score",
    "outcome_ref",
)  # fmt: skip


class PostgresDecisionLog(ReadDecisions):
    """Stores decisions with their outcomes; see :class:`~modelperf_plugin.store.roles.DecisionLog`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres", "decisions.sql")
        self._connection = connection

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        decisions, outcomes = list(decisions), list(outcomes)
        given = json.dumps([_decision(each) for each in decisions]), json.dumps([_outcome(each) for each in outcomes])
        (log,) = self._connection.call(self._sql["join_decisions"], *given, *_limits())
        return _joined(log, outcomes)

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        verdict = (decision_id, outcome.success, outcome.score_millionths, given_ms)
        self._connection.call(self._sql["report"], *verdict, *_limits())
        return Recorded.REVISED

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        rows = self._connection.fetch(self._sql["logged_after"], number, limit)
        return [(row[0], *split(row[1:])) for row in rows]

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        deleted: int = self._connection.call(self._sql["forget_decisions"], before_ms, limit)[0]
        return deleted


def parameters(joining: Joining) -> tuple[str | None, str, int, int]:
    """Return what ``record_joined`` is to get beside an outcome: its decision and itself as JSON, and the limits."""
    decision = None if joining.decision is None else json.dumps(_decision(joining.decision))
    return (decision, json.dumps(_outcome(joining.outcome)), *_limits())


def join(joining: Joining, number: int, log: Mapping[str, Any]) -> None:
    """Note in ``joining`` what was joined, and whether a verdict has waited; ``number`` is that of the outcome."""
    outcome = joining.outcome
    if outcome.outcome.outcome_id is None:
        outcome = outcome._replace(ref=number)
    joining.joined = _joined(log, [outcome])
    joining.has_verdict = log["has_verdict"]


def _limits() -> tuple[int, int]:
    return limits.MAX_LOGGED_TRIES, limits.MAX_UNMATCHED_OUTCOMES


def _decision(record: DecisionRecord) -> dict[str, Any]:
    # in ASCII: what is not Unicode is refused by the log alone, not by the driver
    return dict(zip(_DECISION, record, strict=True))


def _outcome(outcome: DecisionOutcome) -> dict[str, Any]:
    return {"decision_id": outcome.decision_id, **dict(zip(_OUTCOME, outcome_row(outcome), strict=True))}


def _joined(log: Mapping[str, Any], outcomes: Sequence[DecisionOutcome]) -> list[DecisionOutcome]:
    """Return the outcomes that were joined: given ones are named by their place, others by their columns."""
    return [outcomes[each] if isinstance(each, int) else unmatched_of(each) for each in log["joined"]]
