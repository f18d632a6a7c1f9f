"""The protocol of demotion strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import Tally


class DemotionStrategy(Protocol):
    """Takes candidates out of the ranking. Pure; the order of the candidates does not matter."""

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:
        """Return for each tally why its model is demoted, as one sentence, or None.

        ``in_force`` are the reasons of the demotions by sequential tests, by model.
        """

    @property
    def probe_share(self) -> float:
        """The share of decisions that probe a demoted model."""

    @property
    def alpha(self) -> float:
        """The maximum probability that the sequential test ever demotes a good model."""

    def effective_threshold(self, best: float | None) -> float | None:
        """Return the success rate below which the sequential test demotes, if another model reaches ``best``.

        None if this strategy does not use that test.
        """


class Unwatched(Strategy):
    """A strategy without a sequential test: it demotes by the current tallies or not at all, and never probes."""

    probe_share: ClassVar[float] = 0.0
    alpha: ClassVar[float] = 0.0

    def effective_threshold(self, best: float | None) -> float | None:  # noqa: ARG002 - the signature of the protocol
        return None
