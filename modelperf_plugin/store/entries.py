"""Small values that stores take and return."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, Self

from modelperf_plugin.values import Outcome, Tried

GONE: Final = (
    "the verdict on %s came after its details were dropped ([store] retention_days): it is not changed, and stays "
    "counted as it was"
)
"""Logged about an outcome whose event was dropped."""


class Entry(NamedTuple):
    """An outcome to be recorded, already validated."""

    task_type: str
    model_id: str
    outcome: Outcome
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    tried: Tried = ()
    """The models that had failed on the same task before; empty for a first try."""

    @property
    def served_model(self) -> str | None:
        """The model that has really answered; None if that is unknown, or the model itself."""
        served = self.outcome.served_model
        return None if served == self.model_id else served


class Recorded(IntEnum):
    """What recording an outcome has changed."""

    NOTHING = 0
    """Its id is known, with the same verdict."""
    NEW = 1
    REVISED = 2
    """Its id was known, and its verdict has replaced another one."""


class Verdict(NamedTuple):
    """What a later outcome with the same id may change."""

    task_type: str
    model_id: str
    success: bool
    timeout: bool
    error_kind: str | None
    score: int | None
    """In millionths."""
    tokens: int
    cost_nano_usd: int
    served_model: str | None = None
    """The model that has really answered, if that is known and another one."""

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the verdict of an outcome."""
        task_type, model_id, outcome, *_ = entry
        return cls(
            task_type, model_id, outcome.success, outcome.timeout, outcome.error_kind, outcome.score_millionths,
            outcome.tokens_used, outcome.cost_nano_usd, entry.served_model,
        )  # fmt: skip

    def revised_by(self, entry: Entry) -> Self | None:
        """Return the verdict after ``entry`` was recorded under the same id; None if that changes nothing.

        Tokens, cost and the served model stay where the new outcome does not know them.
        """
        new, outcome_id = self.of(entry), entry.outcome.outcome_id
        if outcome_id is not None and decision_of(outcome_id) is not None:  # a report: success and score, no more
            kind = None if new.success else self.error_kind
            new = new._replace(task_type=self.task_type, model_id=self.model_id, timeout=self.timeout, error_kind=kind)
        new = new._replace(
            tokens=new.tokens or self.tokens,
            cost_nano_usd=new.cost_nano_usd or self.cost_nano_usd,
            served_model=new.served_model or self.served_model,
        )
        return None if new == self or new[:2] != self[:2] else new


_OF_DECISION: Final = re.compile("decision:([0-9a-f]{20})")


def id_by_decision(decision_id: str) -> str:
    """Return the outcome id that stands for the last outcome of a decision, whatever its own id."""
    return f"decision:{decision_id}"


def decision_of(outcome_id: str) -> str | None:
    """Return the decision whose last outcome an id stands for; None if it is an id of its own."""
    found = _OF_DECISION.fullmatch(outcome_id)
    return None if found is None else found[1]


def split_known(entries: Iterable[Entry], known: set[str]) -> tuple[list[Entry], list[Entry]]:
    """Return the outcomes whose id is not in ``known``, each id once, and the others; their ids are in it then.

    An id that stands for the last outcome of a decision is always among the others.
    """
    new: list[Entry] = []
    others: list[Entry] = []
    for entry in entries:
        outcome_id = entry.outcome.outcome_id
        if outcome_id is None:
            new.append(entry)
        elif outcome_id in known or decision_of(outcome_id) is not None:
            others.append(entry)
        else:
            known.add(outcome_id)
            new.append(entry)
    return new, others


class CountedProblem(NamedTuple):
    """A kind of failure that a host did not notice."""

    kind: str
    """Where it happened: ``on_task_complete``, for example."""
    message: str
    """The first error of this kind."""
    times: int
    first_ms: int
    last_ms: int
    """First and last time, in milliseconds since the Unix epoch."""


class Finding(NamedTuple):
    """One result of a health check."""

    name: str
    """What was checked: ``integrity``, for example."""
    ok: bool
    message: str
    """One sentence: the result and, if it is not ok, what to do."""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return self._asdict()


def drift(name: str, rule: str, drifted: Sequence[tuple[str, str]], remedy: str = "") -> Finding:
    """Return the result of checking sums: the pairs of which they are not what the events say."""
    if not drifted:
        return Finding(name, ok=True, message=f"{name} {rule}")
    pairs = ", ".join(f"{task_type} / {model_id}" for task_type, model_id in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    message = f"{name}: not what the events say, for {pairs}{more}"
    return Finding(name, ok=False, message=f"{message}; {remedy}" if remedy else message)


class DroppedStep(NamedTuple):
    """The result of one step of retention."""

    looked_at: int
    """How many events were examined."""
    dropped: int
    """How many of them were deleted: at most a thousand, or were made ready to be dropped with their partition."""
    last_id: int
    """The event after which the next step begins."""
    at_end: bool
    """Whether the log ends there."""
