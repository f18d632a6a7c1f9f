"""What a demotion strategy does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import Tally


class DemotionStrategy(Protocol):
    """Says which candidates are out of the running; pure, and blind to the order in which they come."""

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:
        """Return for each tally why its model is demoted, as one sentence, or None if it is not.

        ``in_force`` are the reasons of the demotions that were made by evidence over time, by model.
        """

    @property
    def probe_share(self) -> float:
        """The share of decisions on which each demoted model is tried again."""

    @property
    def alpha(self) -> float:
        """The probability with which evidence over time may ever demote a model wrongly."""

    def effective_threshold(self, best: float | None) -> float | None:
        """Return the rate below which evidence over time demotes, if another model surely has the rate ``best``.

        None if this strategy demotes by what the tallies say now.
        """


class Unwatched(Strategy):
    """A strategy that demotes by what the tallies say now, or not at all: nothing is watched, nobody probed."""

    @property
    def probe_share(self) -> float:
        """Nobody is tried again."""
        return 0.0

    @property
    def alpha(self) -> float:
        """Nobody is demoted by evidence over time."""
        return 0.0

    def effective_threshold(self, best: float | None) -> float | None:  # noqa: ARG002 - the signature of the protocol
        """There is none."""
        return None
