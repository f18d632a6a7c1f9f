"""Values of the decision log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from modelperf_plugin.values import (
    NANO_USD,
    Assignment,
    Decision,
    Exclusion,
    Outcome,
    from_milliseconds,
    to_milliseconds,
)

OVERDUE_MS: Final = 3_600_000
"""A decision that has no outcome after this time is overdue."""
DECISIONS_PER_STEP: Final = 1_000
"""How many decisions one call deletes: no other writer waits for long."""


class DecisionRecord(NamedTuple):
    """A decision as a row of the log."""

    decision_id: str
    made_ms: int
    """In milliseconds since the Unix epoch."""
    task_type: str
    model_id: str
    propensity: float
    """The probability with which this model was chosen."""
    explored: bool
    """Whether a model other than the best was chosen, to learn about it."""
    exploring: float
    """The probability of exploring."""
    mode: str
    """``apply``, or ``observe`` when the host was answered None."""
    policy_id: str
    record: str
    """Everything else, as JSON: candidates with status, score, propensity and reason, and excluded models."""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return the row for ``decision``."""
        rows, shares = decision.ranking.rows, decision.probabilities
        record: dict[str, Any] = {
            "ranking_strategy": decision.ranking.strategy,
            "reason": decision.reason,
            "candidates": [
                {
                    "model_id": row.model_id,
                    "status": row.status,
                    "score": row.score,
                    "interval": row.interval,
                    "propensity": share,
                    "samples": row.tally.samples,
                    "reason": row.reason,
                    "expected_cost_usd": row.expected_cost_usd,
                }
                for row, share in zip(rows, shares, strict=True)
            ],
            "excluded": [row._asdict() for row in decision.excluded],
        }
        if decision.assignment is not None:
            record["assignment"] = decision.assignment._asdict()
        return cls(
            decision.decision_id,
            to_milliseconds(decision.created_at),
            decision.task_type,
            decision.model_id,
            decision.propensity,
            decision.explored,
            _exploring(decision),
            decision.mode,
            decision.policy_id,
            json.dumps(record, ensure_ascii=False, separators=(",", ":")),
        )


class DecisionOutcome(NamedTuple):
    """An outcome that belongs to a decision."""

    decision_id: str
    model_id: str
    """The chosen model, or a fallback."""
    outcome: Outcome
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""


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

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {**self._asdict(), "interval": None if self.interval is None else list(self.interval)}


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

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return from_milliseconds(self.made_ms)

    def is_overdue(self, now_ms: int) -> bool:
        """Return whether a host got this decision more than an hour ago and has not reported its outcome."""
        return self.outcome is None and self.mode == "apply" and self.made_ms <= now_ms - OVERDUE_MS

    @classmethod
    def restore(cls, record: DecisionRecord, outcome: JoinedOutcome | None) -> Self:
        """Return the decision in a row of the log."""
        rest = json.loads(record.record)
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
            candidates=tuple(
                LoggedCandidate(**{**row, "interval": None if row["interval"] is None else tuple(row["interval"])})
                for row in rest["candidates"]
            ),
            excluded=tuple(Exclusion(**row) for row in rest["excluded"]),
            outcome=outcome,
            assignment=Assignment(**rest["assignment"]) if "assignment" in rest else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the decision as plain JSON values; keys as in :meth:`Decision.as_dict`."""
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
        }


class ModeSummary(NamedTuple):
    """Counts over the logged decisions of one mode."""

    decisions: int = 0
    with_outcome: int = 0
    waiting: int = 0
    """How many are less than an hour old and have none; always 0 in the mode ``observe``."""
    overdue: int = 0
    """How many are older and have none; always 0 in the mode ``observe``."""
    explored: int = 0
    """How many chose a model other than the best, to learn about it."""
    exploring: float = 0.0
    """The expected number of those: the sum of their probabilities of exploring."""

    @property
    def explored_share(self) -> float | None:
        """The share that explored; None without a decision."""
        return self.explored / self.decisions if self.decisions else None

    @property
    def exploration_share(self) -> float | None:
        """The expected share that explored: the mean of 1 − P(best)."""
        return self.exploring / self.decisions if self.decisions else None

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        counts = {name: value for name, value in self._asdict().items() if name != "exploring"}
        return {**counts, "explored_share": self.explored_share, "exploration_share": self.exploration_share}


@dataclass(frozen=True, slots=True)
class DecisionSummary:
    """Counts over all logged decisions."""

    modes: dict[str, ModeSummary]

    @property
    def total(self) -> ModeSummary:
        """The counts of all modes together."""
        return ModeSummary(*(sum(column) for column in zip(*self.modes.values(), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        modes = {mode: summary.as_dict() for mode, summary in self.modes.items()}
        return {**self.total.as_dict(), "modes": modes}


def _exploring(decision: Decision) -> float:
    """Return the probability of choosing a model other than the best.

    The best are the first of the ranking and all that tie with it. A pin does not explore.
    """
    rows = decision.ranking.rows
    if any(row.status == "pinned" for row in rows):
        return 0.0
    first = (rows[0].score, rows[0].status)
    best = sum(
        share for row, share in zip(rows, decision.probabilities, strict=True) if (row.score, row.status) == first
    )
    return min(1.0, max(0.0, 1.0 - best))
