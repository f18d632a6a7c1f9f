"""Values of the decision log, as it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.decision_records import DecisionRecord
from modelperf_plugin.values import (
    CAUSES,
    NANO_USD,
    Assignment,
    Cause,
    Exclusion,
    PlannedTry,
    ScoreTerms,
    Tried,
    check_id,
    from_milliseconds,
)

OVERDUE_MS: Final = 3_600_000
"""A decision that has no outcome after this time is overdue."""
MAX_UNMATCHED_OUTCOMES: Final = 10_000
"""Maximum number of outcomes that wait for their decision."""
MAX_LOGGED_TRIES: Final = 100
"""Maximum number of outcomes of one decision that the log keeps."""
UNMATCHED_MS: Final = 60_000
"""An outcome whose decision is not in the log after this time is reported: every process logs within a second."""
DECISIONS_PER_STEP: Final = 1_000
"""How many decisions one call deletes: no other writer waits for long."""


_NUMBER: Final = attrgetter("number")
_LEAST_FIELDS: Final = 7
"""How many fields of a candidate every decision has."""


class LoggedCandidate(NamedTuple):
    """One row of the ranking of a logged decision."""

    model_id: str
    status: str
    """As in :class:`~modelperf_plugin.values.RankedModel`: ``ranked``, ``unproven``, ``demoted`` …"""
    score: float | None
    """Estimated probability of success; None where the strategy had no estimate."""
    interval: tuple[float, float] | None
    """95 % interval of that probability."""
    propensity: float
    """The probability of choosing this model."""
    samples: int
    """Outcomes of this model at that time."""
    reason: str
    """One sentence for a person."""
    expected_cost_usd: float | None = None
    """Expected cost of a task in US dollars, if costs mattered to the decision and were known."""

    terms: ScoreTerms | None = None
    """What the score is made of, to six digits; None where that was not known or not kept."""
    cause: Cause | None = None
    """Why it has its propensity; None where that is 0, or the cause was not kept."""

    @classmethod
    def restore(cls, row: Mapping[str, Any]) -> Self:
        """Return a candidate in the JSON of a decision; raise ValueError, TypeError or KeyError if it is none."""
        values = {name: row[name] for name in cls._fields[:_LEAST_FIELDS]}
        return cls(**values, expected_cost_usd=row.get("expected_cost_usd"))._replace(
            interval=None if row["interval"] is None else tuple(row["interval"]),
            terms=ScoreTerms.from_text(row["terms"]) if "terms" in row else None,
            cause=next((each for each in CAUSES if each == row.get("cause")), None),
        )

    def as_record(self) -> dict[str, Any]:
        """Return the candidate as the JSON of a decision has it."""
        optional = {"terms": None if self.terms is None else self.terms.to_text(), "cause": self.cause}
        values = {name: value for name, value in self._asdict().items() if name not in optional}
        return {**values, **{name: value for name, value in optional.items() if value is not None}}

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        terms = None if self.terms is None else self.terms.as_dict()
        interval = None if self.interval is None else list(self.interval)
        values = {**self._asdict(), "interval": interval, "terms": terms}
        del values["cause"]  # with those of the others, as in a Decision
        return values


class FormerVerdict(NamedTuple):
    """What the verdict of an outcome was before another one replaced it."""

    revised_ms: int
    """When the later one was given, in milliseconds since the Unix epoch."""
    success: bool
    timeout: bool
    error_kind: str | None
    score: float | None
    tokens_used: int
    cost_nano_usd: int

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        return {
            "revised_at": from_milliseconds(self.revised_ms).isoformat(),
            "success": self.success,
            "timeout": self.timeout,
            "error_kind": self.error_kind,
            "score": self.score,
            "tokens_used": self.tokens_used,
            "cost_usd": self.cost_nano_usd / NANO_USD,
        }


class JoinedOutcome(NamedTuple):
    """The outcome of a logged decision."""

    model_id: str
    """The chosen model, or a fallback if only that one reported."""
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    success: bool
    timeout: bool
    tokens_used: int
    cost_nano_usd: int
    error_kind: str | None
    duration_ms: int | None = None
    """Wall time of the try as reported; None if unknown."""
    number: int = 1
    """Which outcome of the decision it is, in the order of arrival."""
    score: float | None = None
    """How good the result is, from 0 to 1, if the host graded it."""
    ref: int | str | None = None
    """Which outcome it is: its id or, without one, the number of its event; None if neither is known."""
    former: tuple[FormerVerdict, ...] = ()
    """Its verdicts before this one, the first one first."""
    served_model: str | None = None
    """The model that has really answered, if that is known and another one."""

    @property
    def cost_usd(self) -> float:
        """The cost in US dollars."""
        return self.cost_nano_usd / NANO_USD

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values."""
        return {
            "model_id": self.model_id,
            "ended_at": from_milliseconds(self.ended_ms).isoformat(),
            "success": self.success,
            "timeout": self.timeout,
            "tokens_used": self.tokens_used,
            "cost_usd": self.cost_usd,
            "error_kind": self.error_kind,
            "duration_seconds": None if self.duration_ms is None else self.duration_ms / 1000,
            "score": self.score,
            "served_model": self.served_model,
            "former_verdicts": [verdict.as_dict() for verdict in self.former],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision:
    """A decision of the log, joined with its outcome; fields as in :class:`DecisionRecord`."""

    decision_id: str
    made_ms: int
    task_type: str
    model_id: str
    propensity: float
    explored: bool
    exploring: float
    mode: str
    policy_id: str
    ranking_strategy: str
    reason: str
    """One sentence for a person: why this model."""
    candidates: tuple[LoggedCandidate, ...]
    excluded: tuple[Exclusion, ...]
    outcome: JoinedOutcome | None
    """None while no outcome has been reported."""
    assignment: Assignment | None = None
    """The A/B test that made it, if one did."""
    tries: tuple[JoinedOutcome, ...] = ()
    """All outcomes that name this decision, in the order of arrival."""
    retry_of: str | None = None
    """Id of the earlier decision for the same task, if the host named one."""
    tried: Tried = ()
    """The models that had failed on this task before."""
    attempt: int = 1
    """Which try of the task the choice is."""
    plan: tuple[PlannedTry, ...] = ()
    """The tries that were planned; empty without a plan."""

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return from_milliseconds(self.made_ms)

    def is_overdue(self, now_ms: int) -> bool:
        """Return whether a host got this decision more than an hour ago and has not reported its outcome."""
        return self.outcome is None and self.mode == "apply" and self.made_ms <= now_ms - OVERDUE_MS

    @classmethod
    def restore(
        cls, record: DecisionRecord, outcome: JoinedOutcome | None, others: Sequence[JoinedOutcome] = ()
    ) -> Self:
        """Return the decision in a row of the log; ``others`` are its further outcomes."""
        rest = parse_json(record.record, well_formed=True)
        return cls(
            decision_id=record.decision_id,
            made_ms=record.made_ms,
            task_type=record.task_type,
            model_id=record.model_id,
            propensity=record.propensity,
            explored=bool(record.explored),
            exploring=record.exploring,
            mode=record.mode,
            policy_id=record.policy_id,
            ranking_strategy=rest["ranking_strategy"],
            reason=rest["reason"],
            candidates=tuple(map(LoggedCandidate.restore, rest["candidates"])),
            excluded=tuple(Exclusion(**row) for row in rest["excluded"]),
            outcome=outcome,
            assignment=Assignment(**rest["assignment"]) if "assignment" in rest else None,
            tries=in_order(outcome, others),
            retry_of=record.retry_of,
            tried=tuple(check_id("tried", each) for each in rest.get("tried", ())),
            attempt=int(rest.get("attempt", 1)),
            plan=tuple(PlannedTry(*step) for step in rest.get("plan", ())),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the decision as plain JSON values; keys as in :meth:`Decision.as_dict`."""
        causes = [row.cause for row in self.candidates]
        return {
            "decision_id": self.decision_id,
            "task_type": self.task_type,
            "model_id": self.model_id,
            "propensity": self.propensity,
            "propensities": {row.model_id: row.propensity for row in self.candidates},
            "reason": self.reason,
            "explored": self.explored,
            "exploring": self.exploring,
            "ranking_strategy": self.ranking_strategy,
            "ranking": [row.as_dict() for row in self.candidates],
            "excluded": [row.as_dict() for row in self.excluded],
            "policy_id": self.policy_id,
            "mode": self.mode,
            "created_at": self.created_at.isoformat(),
            "assignment": None if self.assignment is None else self.assignment._asdict(),
            "outcome": None if self.outcome is None else self.outcome.as_dict(),
            "plan": [step.as_dict() for step in self.plan],
            "attempt": self.attempt,
            "tried": list(self.tried),
            "retry_of": self.retry_of,
            "tries": [each.as_dict() for each in self.tries],
            "causes": causes if any(causes) else [],
        }


def in_order(outcome: JoinedOutcome | None, others: Sequence[JoinedOutcome]) -> tuple[JoinedOutcome, ...]:
    """Return all outcomes of a decision in the order of arrival: that in its row and ``others``."""
    if outcome is None:
        return ()
    # without one that was moved to the others after the decision was read
    return tuple(sorted([outcome, *(each for each in others if each.number != outcome.number)], key=_NUMBER))
