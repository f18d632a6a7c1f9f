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
        (log,) = self._connection.call_aside(self._sql["join_decisions"], *given, *limits_of_log())
        return _joined(log, outcomes)

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        verdict = (decision_id, outcome.success, outcome.score_millionths, given_ms)
        self._connection.call(self._sql["report"], *verdict, *limits_of_log())
        return Recorded.REVISED

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        rows = self._connection.fetch(self._sql["logged_after"], number, limit)
        return [(row[0], *split(row[1:])) for row in rows]

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        deleted: int = self._connection.call_aside(self._sql["forget_decisions"], before_ms, limit)[0]
        return deleted


def parameters(joining: Joining) -> tuple[str | None, str, int, int]:
    """Return what ``record_joined`` is to get beside an outcome: its decision and itself as JSON, and the limits."""
    decision = None if joining.decision is None else json.dumps(_decision(joining.decision))
    return (decision, json.dumps(_outcome(joining.outcome)), *limits_of_log())


def join(joinings: Sequence[Joining], numbers: Sequence[int], log: Mapping[str, Any]) -> None:
    """Note what was joined, and whether a verdict has waited; ``numbers`` are those of the outcomes."""
    outcomes: list[DecisionOutcome] = []
    of_decision: dict[str, Joining] = {}
    for joining, number in zip(joinings, numbers, strict=True):
        outcome = joining.outcome
        outcomes.append(outcome._replace(ref=number) if outcome.outcome.outcome_id is None else outcome)
        of_decision.setdefault(outcome.decision_id, joining)
        joining.has_verdict = log["has_verdict"]
    for each in _joined(log, outcomes):
        of_decision[each.decision_id].joined.append(each)


def limits_of_log() -> tuple[int, int]:
    """Return how many tries of a decision, and outcomes without one, the log keeps."""
    return limits.MAX_LOGGED_TRIES, limits.MAX_UNMATCHED_OUTCOMES


def _decision(record: DecisionRecord) -> dict[str, Any]:
    # in ASCII: what is not Unicode is refused by the log alone, not by the driver
    return dict(zip(_DECISION, record, strict=True))


def _outcome(outcome: DecisionOutcome) -> dict[str, Any]:
    return {"decision_id": outcome.decision_id, **dict(zip(_OUTCOME, outcome_row(outcome), strict=True))}


def _joined(log: Mapping[str, Any], outcomes: Sequence[DecisionOutcome]) -> list[DecisionOutcome]:
    """Return the outcomes that were joined: given ones are named by their place, others by their columns."""
    return [outcomes[each] if isinstance(each, int) else unmatched_of(each) for each in log["joined"]]
