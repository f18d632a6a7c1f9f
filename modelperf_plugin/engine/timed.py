"""How long tries take on each task type, kept in memory for the decisions that it matters to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.policy.timing import NO_DURATIONS, Reported
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import Durations, Tally
from modelperf_plugin.values.recent import Recent

MAX_PAIRS: Final = 1_000
"""Approximate number of pairs whose durations are kept."""
GROWTH: Final = 64
"""Durations are read again once the outcomes of the task type have grown by one part in this many."""


class _Read(NamedTuple):
    outcomes: int
    """How many outcomes there were when it was read."""
    basis: tuple[int, float]
    durations: Mapping[str, Durations]


class Timed:
    """Reads durations and keeps them. Any thread may call any method."""

    def __init__(self, tallies: Tallies, config: Callable[[], Config], today: Callable[[], int]) -> None:
        """Read from this role of a store; ``today`` returns days since the Unix epoch."""
        self.tallies = tallies
        """The role that it reads."""
        self._config = config
        self._today = today
        self._known: Recent[str, _Read] = Recent(MAX_PAIRS)

    def of(self, task_type: str, tallies: Mapping[str, Tally]) -> Mapping[str, Durations]:
        """Return the durations of ``task_type`` by model; ``tallies`` tell whether those in memory still do."""
        if not tallies:
            return NO_DURATIONS
        outcomes = sum([tally.successes + tally.failures for tally in tallies.values()])
        basis = self._today(), self._config().drift.half_life_days
        known = self._known.get(task_type)
        if known is not None and known.basis == basis and 0 <= outcomes - known.outcomes <= known.outcomes // GROWTH:
            return known.durations
        found = self.tallies.durations((task_type, task_type), *basis)
        durations = Reported({model_id: each for (_, model_id), each in found.items()})
        self._known.put(task_type, _Read(outcomes, basis, durations), len(tallies))
        return durations
