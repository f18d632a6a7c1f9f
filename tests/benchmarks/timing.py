"""Timing for benchmarks: interleaved rounds, medians, ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def p50_microseconds(call: Callable[[int], object], count: int) -> float:
    """Return the median time of ``call(0)``, ``call(1)`` …, each timed alone."""
    times = []
    for number in range(count):
        started = time.perf_counter_ns()
        call(number)
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times) / 1000


def interleaved(calls: dict[str, Callable[[int], object]], count: int, rounds: int = 5) -> dict[str, float]:
    """Return the median over ``rounds`` of each call's p50, one after the other in every round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(p50_microseconds(call, count))
    return {name: statistics.median(values) for name, values in found.items()}


def verdict(figure: float, goal: float) -> str:
    """Return whether ``figure`` is within ``goal``."""
    return "ok" if figure <= goal else "MISSED"
