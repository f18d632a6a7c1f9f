"""Weighs counts: drops those from before a change and discounts old ones."""

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
"""What the expectation of a model after a change weighs, in outcomes."""
CHEAP_ROWS: Final = 2_000
"""This many rows of the daily roll-up are read in a millisecond or less."""

_Pair = tuple[str, str]
_NOTHING: Final = (0.0, 0.0)
_ROUNDING: Final = 1e-9
"""By how much the sum of weights may differ from the sum of counts, if nothing has faded."""


class Void(NamedTuple):
    """The counts of one pair that no longer count, and what is expected in their place."""

    successes: float
    failures: float
    expected: Cell
    """The expectation of the model after its change, as pseudo-outcomes."""


class WeighedCounts:
    """Turns tallies into cells: the successes and failures of quality that count today.

    A cell is (successes − void successes, failures − void failures), plus the expectation in their place. Void are the
    counts from before the last change of the model and the faded part of the later ones: an outcome weighs
    2^(−age / half_life_days), its age in whole days. The ages come from the daily roll-up, so the half-life can be
    changed at any time without rewriting anything.
    """

    def __init__(
        self, config: Config, store: Tallies, tallies: Iterable[Tally], today: int, priors: Iterable[Prior] = ()
    ) -> None:
        """Read the void counts of the pairs in ``tallies`` as of ``today``, in days since the Unix epoch.

        ``priors`` are the tallies of other projects, which count as pseudo-outcomes.
        """
        self.today = today
        self.timeouts: Timeouts = config.quality.timeouts
        self._void: dict[_Pair, Void] = {}
        self._elsewhere = self._pseudo_outcomes(priors)
        baselines = store.baselines()
        self._half_life = config.drift.half_life_days
        faded = store.faded(today, self._half_life) if self._half_life else {}
        self.is_cheap = sum([each.days for each in faded.values()]) <= CHEAP_ROWS
        """Whether reading all this again costs little: outcomes may be recorded late, under an earlier day."""
        for tally in tallies:
            pair = (tally.task_type, tally.model_id)
            void = self._void_of(tally, baselines.get(pair), faded.get(pair))
            if void.successes > _ROUNDING or void.failures > _ROUNDING or void.expected != _NOTHING:
                self._void[pair] = void

    def cell(self, tally: Tally) -> Cell:
        """Return the successes and failures of quality of one pair that count today, other projects' included."""
        own = self._own(tally)
        merged = self._elsewhere.get((tally.task_type, tally.model_id)) if self._elsewhere else None
        return own if merged is None else (own[0] + merged[0], own[1] + merged[1])

    def completed(self, tallies: Collection[Tally], task_type: str | None = None) -> Collection[Tally]:
        """Return ``tallies``, of one task type or all, and an empty one for each pair that only other projects know."""
        if not self._elsewhere:
            return tallies
        known = {(tally.task_type, tally.model_id) for tally in tallies}
        more = [pair for pair in self._elsewhere if pair not in known and task_type in {None, pair[0]}]
        return [*tallies, *(Tally(*pair) for pair in more)]

    def _own(self, tally: Tally) -> Cell:
        successes = tally.successes
        failures = quality_failures(tally.quality_failures, tally.timeout_failures, self.timeouts)
        void = self._void.get((tally.task_type, tally.model_id))
        if void is None:
            return successes, failures
        return (
            max(0.0, successes - void.successes) + void.expected[0],
            max(0.0, failures - void.failures) + void.expected[1],
        )

    def weight(self, tally: Tally) -> float | None:
        """Return the weight of a pair today, in outcomes; None if each of them counts in full."""
        if (tally.task_type, tally.model_id) not in self._void:
            return None
        return sum(self._own(tally))

    def _pseudo_outcomes(self, priors: Iterable[Prior]) -> dict[_Pair, Cell]:
        """Return for each pair the sum over its sources of min(strength, n) outcomes at the rate of the source."""
        pseudo: dict[_Pair, Cell] = {}
        for prior in priors:
            tally = prior.tally
            successes = tally.successes
            failures = quality_failures(tally.quality_failures, tally.timeout_failures, self.timeouts)
            if successes + failures > 0:
                share = min(1.0, prior.strength / (successes + failures))
                pair = (tally.task_type, tally.model_id)
                before = pseudo.get(pair, _NOTHING)
                pseudo[pair] = (before[0] + share * successes, before[1] + share * failures)
        return pseudo

    def _void_of(self, tally: Tally, baseline: Baseline | None, faded: Faded | None) -> Void:
        """Return the void counts of one pair.

        The roll-up has whole days, but a change happens within one: outcomes after a change that are not on a later
        day are on its day.
        """
        old, gone, dated, expected = _NOTHING, _NOTHING, _NOTHING, _NOTHING
        if baseline is not None and baseline.rate is not None:
            expected = (PSEUDO_OUTCOMES * baseline.rate, PSEUDO_OUTCOMES * (1.0 - baseline.rate))
        if baseline is not None:
            old = (baseline.successes, quality_failures(baseline.failures, baseline.timeout_failures, self.timeouts))
        if faded is not None:
            dated = (faded.counts[0], quality_failures(*faded.counts[1:], self.timeouts))
            gone = (dated[0] - faded.weights[0], dated[1] - quality_failures(*faded.weights[1:], self.timeouts))
        share = 0.0
        if baseline is not None and self._half_life:
            share = 1.0 - 0.5 ** (max(0, self.today - baseline.since_ms // DAY_MS) / self._half_life)
        successes = old[0] + gone[0] + share * max(0, tally.successes - old[0] - dated[0])
        failures = quality_failures(tally.quality_failures, tally.timeout_failures, self.timeouts)
        failures = old[1] + gone[1] + share * max(0, failures - old[1] - dated[1])
        return Void(successes, failures, expected)
