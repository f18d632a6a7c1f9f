"""What a demotion strategy does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from modelperf_plugin.types import Tally


class DemotionStrategy(Protocol):
    """Says which candidates are out of the running; pure, and blind to the order in which they come."""

    @property
    def strategy(self) -> str:
        """The name in TOML."""

    def __call__(self, tallies: Sequence[Tally]) -> list[str | None]:
        """Return for each tally why its model is demoted, as one sentence, or None if it is not."""
