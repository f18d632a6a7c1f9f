"""How long tasks take, as it counts today."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store.roles import EVERYTHING
from modelperf_plugin.values import DAY_MS, Durations, to_milliseconds

Timings = Mapping[tuple[str, str], Durations]
"""Durations by task type and model."""


def timings_of(engine: ModelPerf, task_type: str | None = None, *, now: datetime | None = None) -> Timings:
    """Return the durations of all pairs with any, or of those of one task type."""
    within = EVERYTHING if task_type is None else (task_type, task_type)
    today = to_milliseconds(now or datetime.now(UTC)) // DAY_MS
    return engine.store.tallies.durations(within, today, engine.config.drift.half_life_days)


def with_sums(timings: Timings) -> Timings:
    """Return the same with those of each task type under no model, and of all under no task type."""
    sums = dict(timings)
    for (task_type, _), each in timings.items():
        for key in ((task_type, ""), ("", "")):
            sums[key] = sums[key].plus(each) if key in sums else each
    return sums
