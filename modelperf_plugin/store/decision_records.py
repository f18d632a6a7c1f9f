"""Values on their way into the decision log."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NamedTuple, Self

from modelperf_plugin.values import CAUSES, Cause, Decision, Outcome, RankedModel, to_milliseconds

MAX_ENCODED: Final = 128
"""Number of rows of rankings whose JSON is kept: after an outcome, those of the other models are still the same."""

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CAUSES: Final[dict[Cause | None, str]] = {None: "", **{cause: f',"cause":"{cause}"' for cause in CAUSES}}
_number: Final = lru_cache(MAX_ENCODED)(float.__repr__)
"""The JSON of a propensity, exactly. There are few different ones, and some take longer than the rest of a row."""


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
    """Everything else, as JSON: candidates with status, score and its terms, propensity with its cause and reason,
    excluded models, the plan."""
    retry_of: str | None = None
    """Id of the earlier decision for the same task, if the host named one."""
    ab_test_id: int | None = None
    """The A/B test that made it, if one did."""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return the row for ``decision``."""
        record: dict[str, Any] = {
            "ranking_strategy": decision.ranking.strategy,
            "reason": decision.reason,
            "excluded": [row._asdict() for row in decision.excluded],
        }
        if decision.assignment is not None:
            record["assignment"] = decision.assignment._asdict()
        if decision.plan:
            record["plan"] = decision.plan
        if decision.tried:
            record["tried"] = decision.tried
        if decision.attempt > 1:
            record["attempt"] = decision.attempt
        causes = decision.causes or repeat(None)
        rows = [
            f'{_candidate(row)},"propensity":{_number(share)}{_CAUSES[cause]}}}'
            for row, share, cause in zip(decision.ranking.rows, decision.probabilities, causes)  # noqa: B905 - endless
        ]
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
            f'{_encode(record)[:-1]},"candidates":[{",".join(rows)}]}}',
            decision.retry_of,
            None if decision.assignment is None else decision.assignment.test_id,
        )


class DecisionOutcome(NamedTuple):
    """An outcome that belongs to a decision."""

    decision_id: str
    model_id: str
    """The chosen model, or a fallback."""
    outcome: Outcome
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""
    ref: int | str | None = None
    """Which outcome it is: its id or, without one, the number of its event; None if neither is known."""


class Joining:
    """What the log is to get in the transaction that records an outcome, and whether that was done."""

    __slots__ = ("decision", "has_verdict", "is_stored", "joined", "outcome")

    def __init__(self, decision: DecisionRecord | None, outcome: DecisionOutcome) -> None:
        self.decision = decision
        """None if it has been stored, or another process stores it."""
        self.outcome = outcome
        self.joined: list[DecisionOutcome] = []
        """As returned by :meth:`~modelperf_plugin.store.roles.DecisionLog.write`."""
        self.has_verdict = False
        """Whether a verdict has waited for the decision, which may have replaced that of the outcome."""
        self.is_stored = False
        """Whether the transaction was committed with it; a store that cannot do so leaves this False."""


@lru_cache(MAX_ENCODED)
def _candidate(row: RankedModel) -> str:
    """Return a row of a ranking as a JSON object, without its end: its propensity follows."""
    values = {
        "model_id": row.model_id, "status": row.status, "score": row.score, "interval": row.interval,
        "samples": row.tally.samples, "reason": row.reason, "expected_cost_usd": row.expected_cost_usd,
    }  # fmt: skip
    if row.terms is not None:
        values["terms"] = row.terms.to_text()  # as one text: numbers and objects take longer to read
    return _encode(values)[:-1]


def _exploring(decision: Decision) -> float:
    """Return the probability of choosing a model other than the best.

    The best are the first of the ranking and all that tie with it. A pin does not explore.
    """
    rows = decision.ranking.rows
    first, best = rows[0], 0.0
    for row, share in zip(rows, decision.probabilities, strict=True):
        if row.status == "pinned":
            return 0.0
        if row.score == first.score and row.status == first.status:
            best += share
    return min(1.0, max(0.0, 1.0 - best))
