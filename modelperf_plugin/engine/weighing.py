"""What of the counts is evidence today: not what came before a change, and the less, the older it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.policy.pooling import Cell
from modelperf_plugin.policy.quality import Timeouts, quality_failures
from modelperf_plugin.store import Baseline, Faded, Prior
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import DAY_MS, Tally

PSEUDO_OUTCOMES: Final = 2.0
"""What is expected of a model after a change weighs as much as so many outcomes."""
SMALL: Final = 2_000
"""So many rows of the daily roll-up are read in a millisecond or less."""

_Pair = tuple[str, str]
_NOTHING: Final = (0.0, 0.0)
_ROUNDING: Final = 1e-9
"""A sum of weights may differ from the sum of counts by so much, where nothing has faded."""


class Void(NamedTuple):
    """The counts of one pair that are evidence no more, and what is expected in their place."""

    successes: float
    failures: float
    expected: Cell
    """Pseudo-outcomes: what was expected of the model after it changed."""


class Evidence:
    """Turns tallies into cells: the successes and failures of quality that count today.

    A cell is (successes − void successes, failures − void failures) and what was expected instead. Void is what came
    before the last change of the model and, of what came after it, the part that has faded: an outcome weighs
    2^(−age / half_life_days), its age counted in whole days. The daily roll-up says how old the outcomes are, so the
    half-life can be changed at any time and nothing is written anew.
    """

    def __init__(
        self,
        config: Config,
        store: Tallies,
        tallies: Iterable[Tally],
        today: int,
        priors: Iterable[Prior] = (),
    ) -> None:
        """Read what is void as of ``today``, in days since the Unix epoch, of the pairs in ``tallies``.

        ``priors`` is what other projects counted: pseudo-outcomes beside one's own.
        """
        self.today = today
        self.timeouts: Timeouts = config.quality.timeouts
        self._void: dict[_Pair, Void] = {}
        self._elsewhere = self._pseudo_outcomes(priors)
        baselines = store.baselines()
        self._half_life = config.drift.half_life_days
        faded = store.faded(today, self._half_life) if self._half_life else {}
        self.small = sum([each.days for each in faded.values()]) <= SMALL
        """Whether it costs little to read all this again: outcomes may be recorded late, under a day long past."""
        for tally in tallies:
            pair = (tally.task_type, tally.model_id)
            void = self._find(tally, baselines.get(pair), faded.get(pair))
            if void.successes > _ROUNDING or void.failures > _ROUNDING or void.expected != _NOTHING:
                self._void[pair] = void

    def cell(self, tally: Tally) -> Cell:
        """Return the successes and failures of quality of one pair that count today, other projects' included."""
        own = self._own(tally)
        merged = self._elsewhere.get((tally.task_type, tally.model_id)) if self._elsewhere else None
        return own if merged is None else (own[0] + merged[0], own[1] + merged[1])

    def completed(self, tallies: Collection[Tally], task_type: str | None = None) -> Collection[Tally]:
        """Return ``tallies``, of one task type or all, and an empty one for each pair that only others have tried."""
        if not self._elsewhere:
            return tallies
        known = {(tally.task_type, tally.model_id) for tally in tallies}
        more = [pair for pair in self._elsewhere if pair not in known and task_type in {None, pair[0]}]
        return [*tallies, *(Tally(*pair) for pair in more)]

    def _own(self, tally: Tally) -> Cell:
        successes, failures = tally.successes, self._failures(tally)
        void = self._void.get((tally.task_type, tally.model_id))
        if void is None:
            return successes, failures
        return (
            max(0.0, successes - void.successes) + void.expected[0],
            max(0.0, failures - void.failures) + void.expected[1],
        )

    def weight(self, tally: Tally) -> float | None:
        """Return how many outcomes a pair weighs today; None if every one counts in full."""
        if (tally.task_type, tally.model_id) not in self._void:
            return None
        return sum(self._own(tally))

    def _pseudo_outcomes(self, priors: Iterable[Prior]) -> dict[_Pair, Cell]:
        """Return for each pair of other projects, source by source, min(strength, n) outcomes at its rate."""
        found: dict[_Pair, Cell] = {}
        for prior in priors:
            successes, failures = prior.tally.successes, self._failures(prior.tally)
            if successes + failures > 0:
                share = min(1.0, prior.strength / (successes + failures))
                pair = (prior.tally.task_type, prior.tally.model_id)
                before = found.get(pair, _NOTHING)
                found[pair] = (before[0] + share * successes, before[1] + share * failures)
        return found

    def _failures(self, tally: Tally) -> float:
        return self._of(tally.quality_failures, tally.timeout_failures)

    def _find(self, tally: Tally, baseline: Baseline | None, faded: Faded | None) -> Void:
        """Return what is void of one pair.

        The roll-up knows days, a change happens within one: what came after the change but not on a later day, came
        on its day.
        """
        old, gone, dated = _NOTHING, _NOTHING, _NOTHING
        if baseline is not None:
            old = (baseline.successes, self._of(baseline.failures, baseline.timeout_failures))
        if faded is not None:
            dated = (faded.counts[0], self._of(*faded.counts[1:]))
            gone = (dated[0] - faded.weights[0], dated[1] - self._of(*faded.weights[1:]))
        share = 0.0
        if baseline is not None and self._half_life:
            share = 1.0 - 0.5 ** (max(0, self.today - baseline.since_ms // DAY_MS) / self._half_life)
        successes = old[0] + gone[0] + share * max(0, tally.successes - old[0] - dated[0])
        failures = old[1] + gone[1] + share * max(0, self._failures(tally) - old[1] - dated[1])
        return Void(successes, failures, _expected(baseline))

    def _of(self, failures: float, timeout_failures: float) -> float:
        return quality_failures(failures, timeout_failures, self.timeouts)


def _expected(baseline: Baseline | None) -> Cell:
    if baseline is None or baseline.rate is None:
        return _NOTHING
    return PSEUDO_OUTCOMES * baseline.rate, PSEUDO_OUTCOMES * (1.0 - baseline.rate)
