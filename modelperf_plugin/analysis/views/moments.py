"""When something changed that a chart should mark: a model, its price, the policy."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal, NamedTuple

from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import Change, PolicyUse
from modelperf_plugin.text import count
from modelperf_plugin.values import DAY_MS

Kind = Literal["up", "down", "announced", "price", "policy"]
_WORDS: Final = {"up": "does better", "down": "does worse", "announced": "announced as changed"}


class Moment(NamedTuple):
    """A moment to mark in charts over time."""

    since_ms: int
    """In milliseconds since the Unix epoch."""
    text: str
    kind: Kind


def moments(
    engine: ModelPerf,
    period: Period,
    changes: tuple[Change, ...],
    *,
    task_type: str | None = None,
    models: Container[str] | None = None,
) -> tuple[Moment, ...]:
    """Return ``changes``, and what else changed in ``period``, oldest first: of a task type and models, or of all."""
    uses = [each for each in engine.store.choices.policies(period.days) if task_type in {None, each.task_type}]
    days = period.days
    dated = [
        each for each in (*_prices(engine, models), *_policies(uses)) if days.first_ms <= each.since_ms < days.end_ms
    ]
    dated += [Moment(each.since_ms, f"{each.model_id} {_WORDS[each.direction]}", each.direction) for each in changes]
    return tuple(sorted(dated))


def _prices(engine: ModelPerf, models: Container[str] | None) -> list[Moment]:
    return [
        Moment((model.cost_since.toordinal() - _EPOCH) * DAY_MS, f"new price of {name}", "price")
        for name, model in engine.config.models.items()
        if model.cost_since is not None and (models is None or name in models)
    ]


def _policies(uses: list[PolicyUse]) -> list[Moment]:
    """Return when a task type got another policy than its first; task types that got it together are one moment."""
    known: set[str] = set()
    changed: dict[int, list[PolicyUse]] = {}
    for each in uses:
        if each.task_type in known:
            changed.setdefault(each.first_ms // _TOGETHER_MS, []).append(each)
        known.add(each.task_type)
    return [
        Moment(
            min(each.first_ms for each in together),
            f"new policy on {together[0].task_type if len(together) == 1 else count(len(together), 'task type')}",
            "policy",
        )
        for together in changed.values()
    ]


_TOGETHER_MS: Final = DAY_MS
_EPOCH: Final = 719_163
"""The ordinal of 1970-01-01."""
