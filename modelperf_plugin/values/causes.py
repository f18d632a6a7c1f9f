"""Why each candidate has its share of the decisions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, get_args

Cause = Literal["best", "might be best", "floor", "probe", "price probe", "test"]
"""Why a candidate has its share of the decisions: it is ranked first; it is uncertain and might be best; it has no more
than the share that all have; it is demoted, or excluded by its price, and tried all the same; its price may have
fallen; an A/B test says so."""
CAUSES: Final[frozenset[Cause]] = frozenset(get_args(Cause))
_ROUNDING: Final = 1.001


class ShareBasis(NamedTuple):
    """What tells the causes of shares; the same for all choices among candidates of which nothing new is known."""

    available: int
    """How many of the first rows may be chosen; others are only probed."""
    tied: int
    """How many of the first rows are equally good."""
    floor: float
    """The share that each available row has at least."""
    probes: tuple[int, ...] = ()
    """Rows that are due to be probed for a lower price."""
    is_test: bool = False
    """Whether an A/B test splits the decisions."""

    def causes(self, probabilities: Iterable[float]) -> tuple[Cause | None, ...]:
        """Return the cause of the probability of each row; None where that is 0."""
        return tuple([self._cause(row, probability) for row, probability in enumerate(probabilities)])

    def _cause(self, row: int, probability: float) -> Cause | None:
        if probability <= 0.0:
            return None
        if row >= self.available:
            return "probe"
        if self.is_test:
            return "test"
        if row < self.tied:
            return "best"
        if row in self.probes:
            return "price probe"
        return "floor" if probability <= self.floor * _ROUNDING else "might be best"
