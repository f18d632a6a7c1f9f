"""Weighs counts: drops those from before a change and discounts old ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest
from struct import Struct
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.policy.belief import Evidence
from modelperf_plugin.policy.pooling import Cell
from modelperf_plugin.policy.quality import Timeouts, by_score, later_counts, quality_failures
from modelperf_plugin.policy.sequential import shifted
from modelperf_plugin.store import Baseline, Faded, Prior
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import DAY_MS, MAX_SETS, LaterTries, Tally, Tried

PSEUDO_OUTCOMES: Final = 8.0
"""What the expectation of a model after a change weighs, in outcomes: about a third of those that raised the alarm."""

_Pair = tuple[str, str]
_NOTHING: Final = (0.0, 0.0)
_Counts = tuple[float, float, float, float]
"""Successes, quality failures, failures that timed out, and the shift of scores."""
_NONE: Final[_Counts] = (0, 0, 0, 0)
_NO_CELLS: Final[Mapping[str, Cell]] = {}
_PACKED: Final = Struct("dddddd")
_WHOLE: Final = (1.0, 1.0)
_MAX_SHARED_NAMES: Final = 1000
_ROUNDING: Final = 1e-9
"""By how much the sum of weights may differ from the sum of counts, if nothing has faded."""


class Void(NamedTuple):
    """Voided first tries of one pair, their expected replacement, and the weight of its later tries."""

    successes: float
    failures: float
    expected: Cell
    """The expectation of the model after its change, as pseudo-outcomes."""
    later: Cell = _WHOLE
    """What share of the later successes, and of the later failures, still counts."""


_NO_VOID: Final = Void(0.0, 0.0, _NOTHING)


_NO_ROW: Final[tuple[int, tuple[str, ...], bytes]] = (-1, (), b"")


class VoidRows:
    """The void counts of whole rows, packed, because a store may have hundreds of thousands of pairs."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, tuple[str, ...], bytes]] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._generation = 0

    def expire(self) -> None:
        """Return none of the rows any more; their memory is used for those that replace them."""
        self._generation += 1

    def put(self, task_type: str, voids: Mapping[_Pair, Void]) -> None:
        """Keep the void counts of one task type."""
        names = tuple([model_id for _, model_id in voids])
        packed = b"".join([_PACKED.pack(*void[:2], *void.expected, *void.later) for void in voids.values()])
        if len(self._names) >= _MAX_SHARED_NAMES:
            self._names.clear()
        self._rows[task_type] = (self._generation, self._names.setdefault(names, names), packed)

    def get(self, task_type: str) -> dict[_Pair, Void] | None:
        """Return the void counts of one task type; None if they are not known."""
        generation, names, packed = self._rows.get(task_type, _NO_ROW)
        if generation != self._generation:
            return None
        numbers = zip(names, _PACKED.iter_unpack(packed), strict=True)
        return {
            (task_type, model_id): Void(old, worse, (good, bad), (won, lost))
            for model_id, (old, worse, good, bad, won, lost) in numbers
        }


class WeighedCounts:
    """Turns tallies into cells: the successes and failures of quality that count today.

    An outcome with a score x counts as x of a success and 1 − x of a failure. A cell is (successes − void successes,
    failures − void failures) of the first tries, plus the expectation in their place; later tries are counted apart, by
    what had failed before, and each pair's share of them that is void is the same for all its sets. Void are the counts
    from before the last change of the model and the faded part of the later ones: an outcome weighs 2^(−age /
    half_life_days), its age in whole days. The ages come from the daily roll-up, so the half-life can be changed at any
    time without rewriting anything.
    """

    def __init__(
        self,
        config: Config,
        store: Tallies,
        tallies: Iterable[Tally],
        today: int,
        priors: Iterable[Prior] = (),
        known: Mapping[_Pair, Void] | None = None,
    ) -> None:
        """Read the void counts of the pairs in ``tallies`` as of ``today``, in days since the Unix epoch.

        ``priors`` are the tallies of other projects on the same task types, which count as pseudo-outcomes; ``known``
        are void counts of other pairs that were read before.
        """
        tallies = list(tallies)
        names = [tally.task_type for tally in tallies]
        self.today = today
        self.timeouts: Timeouts = config.quality.timeouts
        self._void: dict[_Pair, Void] = dict(known or {})
        self._elsewhere = self._pseudo_outcomes(priors)
        self._half_life = config.drift.half_life_days
        baselines: Mapping[_Pair, Baseline] = {}
        faded: Mapping[_Pair, Faded] = {}
        if names:
            within = (min(names), max(names))
            baselines = store.baselines(within)
            faded = store.faded(within, today, self._half_life) if self._half_life else {}
        self.days = sum([each.days for each in faded.values()])
        """How many rows of the daily roll-up were read."""
        for tally in tallies:
            pair = (tally[0], tally[1])
            baseline = baselines.get(pair) if baselines else None
            void = self._void_of(tally, baseline, faded.get(pair))
            if (
                void.successes > _ROUNDING or void.failures > _ROUNDING or void.expected is not _NOTHING
                or void.later is not _WHOLE
            ):  # fmt: skip
                self._void[pair] = void

    def cell(self, tally: Tally) -> Cell:
        """Return the successes and failures of quality of one pair that count today, other projects' included."""
        own = self._own(tally)
        merged = self._elsewhere.get(tally.task_type, _NO_CELLS).get(tally.model_id) if self._elsewhere else None
        return own if merged is None else (own[0] + merged[0], own[1] + merged[1])

    def row(self, task_type: str, tallies: Mapping[str, Tally]) -> dict[str, Cell]:
        """Return the cells of one task type, those of pairs that only other projects know included."""
        cells = {model_id: self.cell(tally) for model_id, tally in tallies.items()}
        return {**self._elsewhere.get(task_type, _NO_CELLS), **cells}

    def later(self, tally: Tally, sets: Mapping[Tried, LaterTries], max_sets: int = MAX_SETS) -> dict[Tried, Cell]:
        """Return the successes and failures of one pair's later tries that count today, by what had failed before.

        Of more than ``max_sets`` only the sets with the most tries are taken. The selection does not depend on how
        the tries ended, so the others say nothing, and no estimate is biased.
        """
        won, lost = self._void.get((tally[0], tally[1]), _NO_VOID).later
        if len(sets) > max_sets:
            sets = dict(nlargest(max_sets, sets.items(), key=_number_of_tries))
        cells = {}
        for tried, tries in sets.items():
            successes, failures = self._classified(
                (tries.successes, tries.failures, tries.timeout_failures, tries.score_shift)
            )
            cells[tried] = (won * successes, lost * failures)
        return cells

    def _own(self, tally: Tally) -> Cell:
        successes: float = tally.successes
        failures: float = tally.failures - tally.outages - tally.caller_errors
        if self.timeouts != "failure":
            failures -= tally.timeout_failures
        if tally.later_successes or tally.later_failures:
            successes -= tally.later_successes
            failures -= quality_failures(tally.later_failures, tally.later_timeout_failures, self.timeouts)
        if tally.graded:
            successes, failures = by_score(successes, failures, tally.score_shift - tally.later_score_shift)
        void = self._void.get((tally[0], tally[1]))
        if void is None:
            return successes, failures
        old, worse, expected, _ = void
        successes, failures = successes - old, failures - worse
        return (
            (max(0.0, successes)) + expected[0],
            (max(0.0, failures)) + expected[1],
        )

    def voids(self, tallies: Iterable[Tally]) -> dict[_Pair, Void]:
        """Return the void counts of the pairs among these that have any."""
        pairs = [(tally[0], tally[1]) for tally in tallies] if self._void else []
        return {pair: self._void[pair] for pair in pairs if pair in self._void}

    def weight(self, tally: Tally) -> float | None:
        """Return the weight of a pair today, in outcomes; None if each of them counts in full."""
        void = self._void.get((tally.task_type, tally.model_id))
        if void is None:
            return None
        won, lost = self._classified(later_counts(tally))
        return sum(self._own(tally)) + void.later[0] * won + void.later[1] * lost

    def evidence(self, tally: Tally, later: Cell) -> Evidence:
        """Return what the belief about one pair is made of, given what its ``later`` tries add."""
        own = self._own(tally)
        void = self._void.get((tally[0], tally[1]), _NO_VOID)
        merged = self._elsewhere.get(tally.task_type, _NO_CELLS).get(tally.model_id, _NOTHING)
        expected = void.expected
        return Evidence((own[0] - expected[0], own[1] - expected[1]), later, expected, merged)

    def _pseudo_outcomes(self, priors: Iterable[Prior]) -> dict[str, dict[str, Cell]]:
        """Return the sum over the sources of a pair: min(strength, n) outcomes at the rate of the source."""
        pseudo: dict[str, dict[str, Cell]] = {}
        for prior in priors:
            tally = prior.tally
            successes, failures = self._classified(_all_counts(tally))
            if successes + failures > 0:
                share = min(1.0, prior.strength / (successes + failures))
                row = pseudo.setdefault(tally.task_type, {})
                before = row.get(tally.model_id, _NOTHING)
                row[tally.model_id] = (before[0] + share * successes, before[1] + share * failures)
        return pseudo

    def _void_of(self, tally: Tally, baseline: Baseline | None, faded: Faded | None) -> Void:
        """Return the void counts of a pair; only one whose model has changed has a ``baseline``."""
        if baseline is None and faded is None:
            return _NO_VOID
        since_ms = None if baseline is None else baseline.since_ms
        before = _NONE if baseline is None else _counts_before(baseline)
        counts, weights = (_NONE, _NONE) if faded is None else _dated(faded)
        totals = _all_counts(tally)
        void = self._void_counts(totals, before, counts, weights, since_ms)
        later = _WHOLE
        totals = later_counts(tally)
        if totals != _NONE:
            if baseline is not None:
                before = _later_counts_before(baseline)
            counts, weights = (_NONE, _NONE) if faded is None else _later_dated(faded)
            won, lost = self._void_counts(totals, before, counts, weights, since_ms)
            void = (void[0] - won, void[1] - lost)
            if won > _ROUNDING or lost > _ROUNDING:
                successes, failures = self._classified(totals)
                later = (_rest(won, successes), _rest(lost, failures))
        rate = None if baseline is None else _expected_rate(baseline)
        expected = _NOTHING if rate is None else (PSEUDO_OUTCOMES * rate, PSEUDO_OUTCOMES * (1.0 - rate))
        return Void(*void, expected, later)

    def _void_counts(
        self, totals: _Counts, before: _Counts, counts: _Counts, weights: _Counts, since_ms: int | None
    ) -> Cell:
        """Return the void successes and failures among ``totals``.

        ``before`` are those from before a change, ``counts`` those on later days, which weigh ``weights``. The roll-up
        has whole days, but a change happens within one: outcomes after a change that are not on a later day are on its
        day.
        """
        old, dated, weighed = self._classified(before), self._classified(counts), self._classified(weights)
        successes, failures = dated[0] - weighed[0], dated[1] - weighed[1]
        if since_ms is None:
            return successes, failures
        share = 0.0
        if self._half_life:
            share = 1.0 - 0.5 ** (max(0, self.today - since_ms // DAY_MS) / self._half_life)
        won, lost = self._classified(totals)
        return (
            old[0] + successes + share * max(0, won - old[0] - dated[0]),
            old[1] + failures + share * max(0, lost - old[1] - dated[1]),
        )

    def _classified(self, counts: _Counts) -> Cell:
        """Return the successes and the failures that count against the model, by score."""
        return by_score(counts[0], quality_failures(counts[1], counts[2], self.timeouts), counts[3])


def _all_counts(tally: Tally) -> _Counts:
    return tally.successes, tally.quality_failures, tally.timeout_failures, tally.score_shift


def _counts_before(baseline: Baseline) -> _Counts:
    return baseline.successes, baseline.failures, baseline.timeout_failures, baseline.score_shift


def _later_counts_before(baseline: Baseline) -> _Counts:
    return (
        baseline.later_successes, baseline.later_failures, baseline.later_timeout_failures, baseline.later_score_shift,
    )  # fmt: skip


def _dated(faded: Faded) -> tuple[_Counts, _Counts]:
    """Return the counts with a day, and their weights."""
    weight, shift = faded.score_shift
    return (*faded.counts, shift), (*faded.weights, weight)


def _later_dated(faded: Faded) -> tuple[_Counts, _Counts]:
    weight, shift = faded.later_score_shift
    return (*faded.later_counts, shift), (*faded.later_weights, weight)


def _rest(void: float, total: float) -> float:
    """Return the share of ``total`` that still counts."""
    return max(0.0, 1.0 - void / total) if total > 0.0 else 1.0


def _number_of_tries(item: tuple[Tried, LaterTries]) -> tuple[int, Tried]:
    """Return a key by which the sets of a pair have one order, in every process."""
    tried, tries = item
    return tries.successes + tries.failures, tried


def _expected_rate(baseline: Baseline) -> float | None:
    """Return the success rate expected after a change: as noted, else by the counts before; None if announced."""
    if baseline.rate is not None or baseline.direction == "announced":
        return baseline.rate
    successes, failures = by_score(baseline.successes, baseline.failures, baseline.score_shift)
    return shifted((1.0 + successes) / (2.0 + successes + failures), baseline.direction)
