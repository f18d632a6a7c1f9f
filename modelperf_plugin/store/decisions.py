"""The record of decisions, as stores keep it: on its way in, and as it is read again."""

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
"""A decision without an outcome is waiting for so long; after that it is overdue."""
FORGOTTEN_AT_ONCE: Final = 1_000
"""So many decisions at most are forgotten by one call: no other writer waits for long."""


class DecisionRecord(NamedTuple):
    """One decision on its way into a store."""

    decision_id: str
    """What the outcome will name."""
    made_ms: int
    """When, in milliseconds since the Unix epoch."""
    task_type: str
    """The class of work."""
    model_id: str
    """The model that was chosen."""
    propensity: float
    """The probability with which it was."""
    explored: bool
    """Whether something else than the best was chosen, to learn about it."""
    exploring: float
    """The probability with which something else than the best would have been."""
    mode: str
    """``apply``, or ``observe`` when the host was answered None."""
    policy_id: str
    """Fingerprint of the policy."""
    record: str
    """All the rest, as JSON: the candidates, each with its status, score, propensity and reason, and the excluded."""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return ``decision`` as it is kept."""
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
    """An outcome that names the decision which chose the model."""

    decision_id: str
    """The decision."""
    model_id: str
    """The model that did it: the chosen one, or a fallback."""
    outcome: Outcome
    """How it ended."""
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""


class LoggedCandidate(NamedTuple):
    """One row of the ranking of a decision, as it was then."""

    model_id: str
    status: str
    """As in :class:`~modelperf_plugin.values.RankedModel`: ``ranked``, ``unproven``, ``demoted`` …"""
    score: float | None
    """Estimated probability of success; None where the strategy had no estimate."""
    interval: tuple[float, float] | None
    """Where that probability lay with 95 % certainty."""
    propensity: float
    """The probability with which it was chosen."""
    samples: int
    """How many outcomes there were of it."""
    reason: str
    """One sentence for a person."""
    expected_cost_usd: float | None = None
    """What a task was expected to cost in US dollars, where costs mattered to the decision and something was known."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {**self._asdict(), "interval": None if self.interval is None else list(self.interval)}


class JoinedOutcome(NamedTuple):
    """What came of a decision."""

    model_id: str
    """The model that did it; another one than was chosen if only a fallback's outcome came."""
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""
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
    """A decision that was kept, and what came of it."""

    decision_id: str
    """Unique."""
    made_ms: int
    """When it was made, in milliseconds since the Unix epoch."""
    task_type: str
    """The class of work."""
    model_id: str
    """The model that was chosen."""
    propensity: float
    """The probability with which it was."""
    explored: bool
    """Whether something else than the best was chosen, to learn about it."""
    exploring: float
    """The probability with which something else than the best would have been."""
    mode: str
    """``apply``, or ``observe`` when the host was answered None."""
    policy_id: str
    """Fingerprint of the policy."""
    ranking_strategy: str
    """What ranked the candidates."""
    reason: str
    """One sentence for a person: why this model."""
    candidates: tuple[LoggedCandidate, ...]
    """The ranking, best first."""
    excluded: tuple[Exclusion, ...]
    """Candidates that were not permitted."""
    outcome: JoinedOutcome | None
    """What came of it; None as long as no outcome has named it."""
    assignment: Assignment | None = None
    """The A/B test that made it, if one did."""

    @property
    def created_at(self) -> datetime:
        """When it was made, in UTC."""
        return from_milliseconds(self.made_ms)

    def is_overdue(self, now_ms: int) -> bool:
        """Return whether a host was told of it and has not said for more than an hour what came of it."""
        return self.outcome is None and self.mode == "apply" and self.made_ms <= now_ms - OVERDUE_MS

    @classmethod
    def restore(cls, record: DecisionRecord, outcome: JoinedOutcome | None) -> Self:
        """Return the decision that was kept as ``record``."""
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
        """Return the decision as plain JSON values, with the keys of :meth:`Decision.as_dict` where they are there."""
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
    """The decisions that were kept of one mode, in numbers."""

    decisions: int = 0
    """How many."""
    with_outcome: int = 0
    """How many of them have their outcome."""
    waiting: int = 0
    """How many wait for it, for an hour at most; nobody waits in the mode ``observe``."""
    overdue: int = 0
    """How many never got one, and are older than an hour; nobody waits in the mode ``observe``."""
    explored: int = 0
    """How many chose something else than the best, to learn about it."""
    exploring: float = 0.0
    """How many would have, by their probabilities."""

    @property
    def explored_share(self) -> float | None:
        """The share that chose something else than the best; None without a decision."""
        return self.explored / self.decisions if self.decisions else None

    @property
    def exploration_share(self) -> float | None:
        """The share really spent on learning: the mean of 1 − P(best), free of the luck of the draw."""
        return self.exploring / self.decisions if self.decisions else None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        counts = {name: value for name, value in self._asdict().items() if name != "exploring"}
        return {**counts, "explored_share": self.explored_share, "exploration_share": self.exploration_share}


@dataclass(frozen=True, slots=True)
class DecisionSummary:
    """All decisions that were kept, in numbers."""

    modes: dict[str, ModeSummary]
    """For each mode that has any."""

    @property
    def total(self) -> ModeSummary:
        """The numbers of all modes together."""
        return ModeSummary(*(sum(column) for column in zip(*self.modes.values(), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        modes = {mode: summary.as_dict() for mode, summary in self.modes.items()}
        return {**self.total.as_dict(), "modes": modes}


def _exploring(decision: Decision) -> float:
    """Return the probability with which something else than the best would have been chosen.

    The best are the first of the ranking and those that no one can tell from it. A pin explores nothing.
    """
    rows = decision.ranking.rows
    if any(row.status == "pinned" for row in rows):
        return 0.0
    first = (rows[0].score, rows[0].status)
    best = sum(
        share for row, share in zip(rows, decision.probabilities, strict=True) if (row.score, row.status) == first
    )
    return min(1.0, max(0.0, 1.0 - best))
