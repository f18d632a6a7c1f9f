"""Counts over the decision log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


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
    unmatched: int = 0
    """How many outcomes, older than a minute, name a decision that is not in the log."""

    @property
    def total(self) -> ModeSummary:
        """The counts of all modes together."""
        return ModeSummary(*(sum(column) for column in zip(*self.modes.values(), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        modes = {mode: summary.as_dict() for mode, summary in self.modes.items()}
        return {**self.total.as_dict(), "modes": modes}
