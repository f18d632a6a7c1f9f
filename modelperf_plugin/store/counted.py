"""From rows of counts to values; what no outcomes can add up to is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.tried import tried_of
from modelperf_plugin.store.watches import Baseline, CostSums, Faded
from modelperf_plugin.values import UNKNOWN_TRIED, Durations, LaterTries, Tally, Tried

_NO_LATER: Final = ((0.0, 0.0, 0.0), (0, 0, 0), (0.0, 0))


def pairs_with_later_tries(tallies: Iterable[Tally]) -> int:
    """Return how many of these pairs have later tries: the fewer, the more of their sets are read."""
    return sum([1 for tally in tallies if tally.later_successes or tally.later_failures])


def later_of(rows: Iterable[Any]) -> dict[str, dict[Tried, LaterTries]]:
    """Return later tries by model and by what had failed before, where that is known."""
    later: dict[str, dict[Tried, LaterTries]] = {}
    for model_id, models, *counts in rows:
        tried = tried_of(models)
        if min(counts[:3]) >= 0 and tried is not UNKNOWN_TRIED:
            sets = later.setdefault(model_id, {})
            tries, known = LaterTries._make(counts), sets.get(tried)
            sets[tried] = tries if known is None else tries.combined(known)
    return later


def faded_by_pair(rows: Iterable[Any], later_rows: Iterable[Any]) -> dict[tuple[str, str], Faded]:
    """Return what the outcomes of each pair weigh; ``later_rows`` are the part that are later tries."""
    later = {
        (task_type, model_id): (tuple(sums[:3]), tuple(sums[3:6]), tuple(sums[6:]))
        for task_type, model_id, *sums in later_rows
    }
    return dict(usable(partial(_faded_of, later), rows))


def durations_of(rows: Iterable[Any]) -> dict[tuple[str, str], Durations]:
    """Return the histogram of each pair from its buckets."""
    buckets: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for task_type, model_id, border_ms, weight in rows:
        buckets.setdefault((task_type, model_id), []).append((border_ms, weight))
    found = {pair: Durations.of(each) for pair, each in buckets.items()}
    return {pair: durations for pair, durations in found.items() if durations is not None}


def _faded_of(later: Mapping[tuple[str, str], Any], row: Any) -> tuple[tuple[str, str], Faded]:
    """Return a pair and what its outcomes weigh, the part in ``later`` included.

    Raises:
        ValueError: the roll-up holds what no outcomes add up to.
    """
    pair = (row[0], row[1])
    weights, counts, shift = later.get(pair, _NO_LATER)
    faded = Faded(row[2:5], row[5:8], row[8], weights, counts, row[9:11], shift)
    if min(*faded.weights, *faded.counts, *faded.later_weights, *faded.later_counts) < 0:
        raise ValueError("counts are not negative")
    return pair, faded


def cost_of(row: Any) -> tuple[str, int]:
    """Return a model and the cost of one task; raise ValueError if that is none."""
    model_id, nano_usd = row
    if nano_usd < 0:
        raise ValueError("a cost is not negative")
    return model_id, nano_usd


def cost_sums_of(row: Any) -> tuple[str, CostSums]:
    """Return a model and what its tasks have cost; raise ValueError if nothing can have cost that."""
    sums = CostSums._make(row[1:])
    if min(sums[:4]) < 0:
        raise ValueError("costs are not negative")
    return row[0], sums


def baseline_of(row: Any) -> tuple[tuple[str, str], Baseline]:
    """Return a pair and its counts from before a change; raise ValueError or OverflowError if they are not ones."""
    baseline = Baseline._make(row[2:])
    moments(baseline.since_ms)
    if not 0 <= (baseline.rate or 0) <= 1:
        raise ValueError("a rate is between 0 and 1")
    return (row[0], row[1]), baseline
