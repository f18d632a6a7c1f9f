"""Stored states of A/B tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

MAX_DRAWN: Final = 10_000
"""How many of the newest decisions of a test are checked for missing outcomes."""

ContestVerdict = Literal["incumbent", "challenger", "none"]
"""The better side; ``none`` if the maximum was reached without a winner."""


class StoredContest(NamedTuple):
    """One challenger of a test against its incumbent."""

    challenger: str
    state: tuple[float, ...]
    """State of the sequential test; empty before the first outcome."""
    verdict: ContestVerdict | None = None
    """None while undecided."""
    decided_ms: int | None = None
    """In milliseconds since the Unix epoch."""
    last_ms: int | None = None
    """End of the newest outcome that counts, in milliseconds since the Unix epoch."""
    share: float = 0.0
    """Share of the decisions for this challenger, as last configured; 0 once it is withdrawn."""
    calibrate_from: int = 0
    """Number of outcomes when the shares last changed: ``min_samples`` more only estimate the rates."""


class DrawnDecisions(NamedTuple):
    """Decisions of a test of the same age, with the same model and the same probabilities."""

    model_id: str
    shares: Mapping[str, float]
    """The probability of each model that could be chosen."""
    decisions: int
    reported: int
    """How many of them have an outcome."""
    is_old: bool = True
    """Whether they are so old that hardly any outcome is still to come."""


class Stake(NamedTuple):
    """What a contest staked on an outcome."""

    grade: float | None
    """The verdict that is counted, from 0 to 1; None if the outcome says nothing about its model by now."""
    side: str
    """``A`` for the incumbent, ``B`` for the challenger."""
    share_b: float
    """The probability of the challenger, given that one of the two was drawn."""
    proves: bool
    """Whether it is evidence, or only updated the rates."""
    before: tuple[float, ...]
    """State of the sequential test before it; empty if it was the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTest:
    """An A/B test of one task type: its sides, terms and progress."""

    test_id: int = 0
    """0 for a test that has not begun."""
    task_type: str
    fingerprint: str
    """Identifies the test: its configured incumbent and salt, and whether its challengers are named."""
    incumbent: str
    """The model that challengers are compared with; fixed, whatever the ranking becomes."""
    share: float
    """Share of all challengers together."""
    salt: str
    """Seeds the assignment of units to sides."""
    alpha: float
    """Probability that a test of equal models ever finds a winner."""
    min_samples: int
    """This many first outcomes of a contest only estimate the rates."""
    max_samples: int | None
    """Outcomes after which a contest ends without a winner; None for no limit."""
    promote: bool
    """Whether the winner receives all decisions."""
    started_ms: int
    """In milliseconds since the Unix epoch."""
    ended_ms: int | None = None
    """When an operator ended the test; None while it runs."""
    contests: tuple[StoredContest, ...]
    """One per challenger, in the order in which they joined."""
