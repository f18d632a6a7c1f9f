"""From rows of the decision log to values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decisions import FormerVerdict, JoinedOutcome, LoggedDecision
from modelperf_plugin.store.rows import moments
from modelperf_plugin.values import ERROR_KINDS, NANO_USD, WHOLE_SCORE, Outcome, check_id

_RECORD_COLUMNS: Final = len(DecisionRecord._fields)


def outcome_row(joined: DecisionOutcome) -> tuple[Any, ...]:
    """Return the columns of an outcome, from its model to which outcome it is."""
    outcome, duration = joined.outcome, joined.outcome.duration_seconds
    return (
        joined.model_id, joined.ended_ms, outcome.success, outcome.timeout, outcome.tokens_used,
        outcome.cost_nano_usd, outcome.error_kind, None if duration is None else round(duration * 1000),
        None if outcome.score is None else outcome.score_millionths,
        outcome.outcome_id if joined.ref is None else joined.ref,
    )  # fmt: skip


def unmatched_of(row: Sequence[Any]) -> DecisionOutcome:
    """Return an outcome that waits for its decision."""
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


def split(row: Sequence[Any]) -> tuple[DecisionRecord, JoinedOutcome | None]:
    """Return the stored decision in ``row``, and its outcome if there is one."""
    record, joined = row[:_RECORD_COLUMNS], row[_RECORD_COLUMNS:]
    return DecisionRecord._make(record), None if joined[0] is None else _joined(joined)


def decision_of(row: Sequence[Any], others: Sequence[JoinedOutcome]) -> LoggedDecision:
    """Return the decision in ``row``; raise ValueError, TypeError or LookupError if it holds none."""
    decision = LoggedDecision.restore(*split(row), others)
    moments(decision.made_ms, None if decision.outcome is None else decision.outcome.ended_ms)
    return decision


def attempt_of(row: Sequence[Any]) -> JoinedOutcome:
    """Return a further outcome of a decision."""
    attempt = _joined(row)
    moments(attempt.ended_ms)
    return attempt


def former_of(row: Sequence[Any]) -> FormerVerdict:
    """Return a verdict that was replaced."""
    revised_ms, success, timeout, error_kind, score, tokens, cost_nano_usd = row
    moments(revised_ms)
    score = None if score is None else score / WHOLE_SCORE
    return FormerVerdict(revised_ms, bool(success), bool(timeout), error_kind, score, tokens, cost_nano_usd)


def served_of(row: Sequence[Any]) -> tuple[int | str, str]:
    """Return which outcome was served by which model."""
    ref, name = row
    return ref, check_id("served_model", name)


def with_details(
    decision: LoggedDecision, former: Mapping[int | str, Sequence[FormerVerdict]], served: Mapping[int | str, str]
) -> LoggedDecision:
    """Return a decision with the former verdicts of its outcomes, and the models that have served them."""

    def with_own(outcome: JoinedOutcome) -> JoinedOutcome:
        ref = outcome.ref or 0
        return outcome._replace(former=tuple(former.get(ref, ())), served_model=served.get(ref))

    outcome = None if decision.outcome is None else with_own(decision.outcome)
    return replace(decision, outcome=outcome, tries=tuple(map(with_own, decision.tries)))


def _joined(row: Sequence[Any]) -> JoinedOutcome:
    model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, ref, number = row
    return JoinedOutcome(
        model_id, ended_ms, bool(success), bool(timeout), tokens, cost_nano_usd, error_kind, duration_ms, number or 1,
        None if score is None else score / WHOLE_SCORE, ref,
    )  # fmt: skip
