"""The protocol of ranking strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.values import ScorePart, Tally

Score = tuple[int, float]
"""Position of one candidate in the ranking: its tier and its value.

Lower tiers rank first, whatever their values. Within a tier the higher value ranks first; ties are broken at random.
"""


class Explanation(NamedTuple):
    """A score explained to people."""

    estimate: float | None
    interval: tuple[float, float] | None
    """95 % credible or confidence interval of it."""
    proven: bool
    """Whether there are enough outcomes for it."""
    reason: str


class RankingStrategy(Protocol):
    """Scores candidates from their evidence. Pure; the order of the candidates does not matter.

    A choice only needs the scores; explanations are made on demand.
    """

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, tallies: Sequence[Tally], beliefs: Sequence[Belief] | None = None) -> list[Score]:
        """Return one score for each tally, in the same order.

        ``beliefs`` are the posteriors of the same models that also use other task types, if pooled.
        """

    def believed(self, tallies: Sequence[Tally], beliefs: Sequence[Belief]) -> Sequence[Belief]:
        """Return the posteriors that this strategy and exploration use: the given ones, or its own."""

    def explain(self, tally: Tally, belief: Belief | None = None) -> Explanation:
        """Return estimate, interval and reason of the score of one tally."""

    def parts(self, tally: Tally, belief: Belief | None = None) -> tuple[ScorePart, ...]:
        """Return what the score of one tally is the mean of; empty if it has none, or that is not known."""

    def reason(self, tally: Tally, belief: Belief | None = None) -> str:
        """Return the reason of the score of one tally, as one sentence."""
