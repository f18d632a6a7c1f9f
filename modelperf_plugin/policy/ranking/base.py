"""What a ranking strategy does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.values import Tally


class Score(NamedTuple):
    """Where a ranking strategy puts one candidate."""

    tier: int
    """0 for candidates to be compared by value; a higher tier stands behind a lower one, whatever its value."""
    value: float
    """Sorts within a tier, higher first; equal values are a tie, which is broken at random."""
    proven: bool
    """Whether there is enough evidence to go by."""


class Explanation(NamedTuple):
    """What a ranking strategy tells a person about one candidate."""

    estimate: float | None
    """Estimated probability of success, or None."""
    interval: tuple[float, float] | None
    """Where that probability lies with 95 % credibility or confidence."""
    reason: str
    """One sentence for a person."""


class RankingStrategy(Protocol):
    """Scores candidates from their evidence; pure, and blind to the order in which they come.

    A choice needs the scores alone. The account, with an interval and a sentence, is asked for when somebody looks.
    """

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, tallies: Sequence[Tally], beliefs: Sequence[Belief] | None = None) -> list[Score]:
        """Return one score for each tally, in the same order.

        ``beliefs`` are the posteriors of the same models with the evidence of other task types, where it is known.
        """

    def believed(self, tallies: Sequence[Tally], beliefs: Sequence[Belief]) -> Sequence[Belief]:
        """Return the posteriors that this strategy goes by, and exploration with it: as given, or its own."""

    def explain(self, tally: Tally, belief: Belief | None = None) -> Explanation:
        """Return what there is to say about the score of one tally."""

    def reason(self, tally: Tally, belief: Belief | None = None) -> str:
        """Return the sentence of the account alone."""
