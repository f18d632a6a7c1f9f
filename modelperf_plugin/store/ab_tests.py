"""The values of A/B tests, as stores keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

ContestVerdict = Literal["incumbent", "challenger", "none"]
"""The better side, or that none was found within the maximum."""


class StoredContest(NamedTuple):
    """One challenger of a test against its incumbent."""

    challenger: str
    """Who is on trial."""
    state: tuple[float, ...]
    """The numbers of the evidence; empty before the first outcome."""
    verdict: ContestVerdict | None = None
    """What was decided; None as long as nothing is."""
    decided_ms: int | None = None
    """When, in milliseconds since the Unix epoch."""
    last_ms: int | None = None
    """When the newest outcome that counts ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTest:
    """An A/B test of one task type: its sides, its terms, and how far it has come."""

    test_id: int = 0
    """Numbered in the order of beginning; 0 for one that has not begun."""
    task_type: str
    """The class of work."""
    fingerprint: str
    """What makes it this test: sides as configured, share and salt."""
    incumbent: str
    """The model that the others are tried against; it stays, whatever the ranking says later."""
    share: float
    """The share of all challengers together."""
    salt: str
    """Changes which unit gets which side."""
    alpha: float
    """The probability with which a test of equal models ever finds a winner."""
    min_samples: int
    """The first outcomes of a contest, so many, teach the rates only."""
    max_samples: int | None
    """A contest without a winner is given up after so many; None for never."""
    promote: bool
    """Whether the winner gets all decisions."""
    started_ms: int
    """When it began, in milliseconds since the Unix epoch."""
    ended_ms: int | None = None
    """When an operator put an end to it; None while it counts."""
    contests: tuple[StoredContest, ...]
    """The challengers, in their order."""
