"""The difference in behaviour between two configurations, on the decision log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from modelperf_plugin.analysis.off_policy.bounds import gain_interval
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.estimators import Floats
from modelperf_plugin.analysis.off_policy.judgement import MAX_INTERVAL_WIDTH, Estimate
from modelperf_plugin.analysis.off_policy.targets import Configured
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.config import Config
from modelperf_plugin.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key with different values; None where it is missing."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeDiff:
    """The difference on one task type with ``decisions`` in the log."""

    task_type: str
    decisions: int
    differ: float
    less: str
    """The model that loses most decisions."""
    more: str
    """The model that gains most decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDiff:
    """The difference between two configurations."""

    decisions: int
    differ: float
    """Share of the decisions on which the two would choose differently, given the same random numbers."""
    effect: Estimate | None
    """Change of the success rate; None if the log is not sufficient: ``refusal`` says why."""
    refusal: str | None
    task_types: tuple[TaskTypeDiff, ...]
    """Where they differ, most decisions first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as plain JSON values."""
        return {**asdict(self), "task_types": [asdict(each) for each in self.task_types]}


def settings_that_differ(before: Config, after: Config) -> list[Setting]:
    """Return the keys whose values differ, in the order of the configuration."""
    old, new = (dict(_flat(config.model_dump(mode="json"))) for config in (before, after))
    return [
        Setting(path=path, before=old.get(path), after=new.get(path))
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path)
    ]


def compare_policies(
    log: DecisionLog, store: Store, before: Config, after: Config, progress: Progress | None = None
) -> PolicyDiff:
    """Compare the choices of two configurations at each decision of ``log``, with the knowledge of the time."""
    old, new = Configured(log, store).shares_of([before, after], progress)
    differ = 1.0 - np.minimum(old, new).sum(axis=1)
    interval = gain_interval(log.of_success(), new, base=old)
    refusal = None
    if interval.width > MAX_INTERVAL_WIDTH:
        low, high = (f"{100 * each:+.0f}" for each in interval)
        widest = f"{100 * MAX_INTERVAL_WIDTH:.0f} points"
        refusal = f"the interval, {low} to {high} points, is too wide: an answer needs {widest} or less"
    return PolicyDiff(
        decisions=len(log),
        differ=max(0.0, float(differ.mean())),
        effect=None if refusal else Estimate.within(interval),
        refusal=refusal,
        task_types=tuple(_task_types(log, old, new, differ)),
    )


def _task_types(log: DecisionLog, old: Floats, new: Floats, differ: Floats) -> Iterator[TaskTypeDiff]:
    counts = np.bincount(log.task, weights=differ, minlength=len(log.task_types))
    for position in np.argsort(-counts, kind="stable").tolist():
        rows = log.task == position
        share = float(differ[rows].mean())
        if share < 0.0005:
            continue
        moved = (new[rows] - old[rows]).sum(axis=0)
        yield TaskTypeDiff(
            task_type=log.task_types[position],
            decisions=int(rows.sum()),
            differ=share,
            less=log.models[int(np.argmin(moved))],
            more=log.models[int(np.argmax(moved))],
        )


def _flat(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, values
