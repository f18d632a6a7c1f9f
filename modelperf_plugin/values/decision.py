"""Which model to use for one task, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, overload

from modelperf_plugin.values.causes import Cause, ShareBasis
from modelperf_plugin.values.ranking import Ranking
from modelperf_plugin.values.tries import Tried

Mode = Literal["apply", "observe", "off"]


class Assignment(NamedTuple):
    """The A/B test that a decision belongs to, and its outcome with it."""

    test_id: int
    unit: int | None
    """A number for the unit that the task is for; None if the host named none."""


class Exclusion(NamedTuple):
    """A candidate that this decision must not use."""

    model_id: str
    reason: str
    """One sentence for people."""

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


class PlannedTry(NamedTuple):
    """One step of a plan for a whole task: a model, to be tried if all before it have failed."""

    model_id: str
    chance_reached: float
    """Estimated probability that the models before it fail; 1 for the first."""
    chance_solved: float
    """Estimated probability that it solves the task, given that those before it have failed."""
    expected_usd: float | None
    """Expected cost of the try in US dollars once it is reached; None if unknown."""

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Decision(Sequence[str]):
    """Which model to use now, and why: a frozen sequence of model ids in the order to try them.

    ``decision[0] == decision.model_id`` is the choice; the rest are the fallbacks, demoted and gone models last.
    """

    order: tuple[str, ...]
    """Model ids in the order to try them: the choice first, at least one."""
    decision_id: str
    """Unique; pass it, or the decision, back with the outcome."""
    task_type: str
    ranking: Ranking
    """All permitted candidates, best first, each with score, interval, tally, status and reason."""
    probabilities: tuple[float, ...]
    """The probability with which this policy chose each row of the ranking; they sum to 1."""
    reason: str
    """Why this model, as one sentence for people."""
    explored: bool
    """Whether a model other than the best-ranked one was chosen, to learn about it."""
    excluded: tuple[Exclusion, ...] = ()
    """Candidates that it does not list: excluded by the host, over budget, failed on the task, or not worth a try."""
    policy_id: str
    """Fingerprint of the effective policy of this task type."""
    mode: Mode = "apply"
    """``apply``, or ``observe`` if the host was answered None."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """In UTC."""
    assignment: Assignment | None = None
    """The A/B test it belongs to, if any."""
    plan: tuple[PlannedTry, ...] = ()
    """The tries of the task that are worth making, in their order; empty without a plan."""
    attempt: int = 1
    """Which try of the task the choice is: 1 plus the failures recorded before it."""
    tried: Tried = ()
    """The models that had failed on this task before, by ``context["retry_of"]``: sorted, with repeats."""
    retry_of: str | None = None
    """Id of the earlier decision for the same task, if the host named one."""
    basis: ShareBasis | None = None
    """What :attr:`causes` are found from; None if there is nothing to find: the host has pinned the model."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        # pickled by an earlier version, in a queue of the host for example, it has fewer fields
        for position, each in enumerate(fields(self)):
            object.__setattr__(self, each.name, state[position] if position < len(state) else each.default)

    @property
    def model_id(self) -> str:
        """The model to use."""
        return self.order[0]

    @property
    def propensities(self) -> dict[str, float]:
        """The probability with which this policy chose each permitted candidate; they sum to 1."""
        return dict(zip(self.ranking.model_ids, self.probabilities, strict=True))

    @property
    def propensity(self) -> float:
        """The probability with which this policy chose this model: above 0, at most 1."""
        return self.probabilities[self.ranking.model_ids.index(self.order[0])]

    @property
    def causes(self) -> tuple[Cause | None, ...]:
        """Why each row of the ranking has its probability, None where that is 0; empty if the host pinned the model."""
        return () if self.basis is None else self.basis.causes(self.probabilities)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.order[index]

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[str]:
        return iter(self.order)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self.order

    def __hash__(self) -> int:
        return hash(self.decision_id)

    def __repr__(self) -> str:
        return f"<Decision {self.decision_id} on {self.task_type!r}: {list(self.order)}; {self.reason}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the whole decision as plain JSON values."""
        return {
            "decision_id": self.decision_id, "task_type": self.task_type, "model_id": self.model_id,
            "order": list(self.order), "propensity": self.propensity, "propensities": self.propensities,
            "reason": self.reason, "explored": self.explored, "ranking_strategy": self.ranking.strategy,
            "ranking": [row.as_dict() for row in self.ranking], "excluded": [row.as_dict() for row in self.excluded],
            "policy_id": self.policy_id, "mode": self.mode, "created_at": self.created_at.isoformat(),
            "assignment": None if self.assignment is None else self.assignment._asdict(),
            "plan": [step.as_dict() for step in self.plan], "attempt": self.attempt, "tried": list(self.tried),
            "retry_of": self.retry_of, "causes": list(self.causes),
        }  # fmt: skip
