"""A finding with its evidence, what to do and what that changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any, Final, Literal, NamedTuple

from modelperf_plugin.analysis.views.ab_tests import Trial
from modelperf_plugin.config import Config
from modelperf_plugin.policy import Policy
from modelperf_plugin.text import dollars
from modelperf_plugin.values import RankedModel, Tally

Kind = Literal[
    "verdicts", "reports", "costs", "task_types", "aliases", "model", "cheaper", "test", "exploration", "question",
    "threshold",
]  # fmt: skip


class Estimate(NamedTuple):
    """A number with its 95 % interval, as far as there is one."""

    value: float
    interval: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "interval": None if self.interval is None else list(self.interval)}

    def times(self, factor: float) -> Estimate:
        """Return this estimate of something that happens ``factor`` times."""
        both = None if self.interval is None else sorted(each * factor for each in self.interval)
        return Estimate(self.value * factor, None if both is None else (both[0], both[1]))

    def plus(self, other: Estimate) -> Estimate:
        """Return the sum of two estimates; its interval holds whatever they have in common."""
        if self.interval is None or other.interval is None:
            return Estimate(self.value + other.value, None)
        low, high = (one + two for one, two in zip(self.interval, other.interval, strict=True))
        return Estimate(self.value + other.value, (low, high))


NOTHING: Final = Estimate(0.0, (0.0, 0.0))


class Effect(NamedTuple):
    """What a change is expected to do; without ``success`` and ``usd`` that cannot be told."""

    text: str
    """One sentence for people."""
    success: Estimate | None = None
    """The change of the success rate, over all tasks of the task types that are named."""
    usd_per_1000: Estimate | None = None
    """The change of the dollars that a thousand tasks cost."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "success": None if self.success is None else self.success.as_dict(),
            "usd_per_1000_tasks": None if self.usd_per_1000 is None else self.usd_per_1000.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One finding."""

    kind: Kind
    task_types: tuple[str, ...] = ()
    """The task types that it is about; empty: all."""
    models: tuple[str, ...] = ()
    finding: str
    """What was found, in one sentence."""
    evidence: str
    """The figures behind it, in one sentence."""
    change: str
    """What to do, in one sentence."""
    toml: str | None = None
    """Lines for the configuration; None if the change is not made there."""
    command: str | None = None
    """A command that makes the change; None without one."""
    effect: Effect

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {
            "kind": self.kind, "task_types": list(self.task_types), "models": list(self.models),
            "finding": self.finding, "evidence": self.evidence, "change": self.change, "toml": self.toml,
            "command": self.command, "effect": self.effect.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What is known about one task type."""

    task_type: str
    policy: Policy
    """Its policy as configured."""
    models: tuple[RankedModel, ...]
    """Its models as the policy ranks them now, best first."""
    recent: Mapping[str, int]
    """The outcomes of each model in the period."""
    costs: Mapping[str, Estimate]
    """The mean reported cost of a try in US dollars, of each model with enough of them in the period."""
    offered: frozenset[str] | None
    """The candidates of the newest decisions; None without any in the log."""
    decisions: int = 0
    """Decisions in the period that a host received."""
    overdue: int = 0
    """Those without an outcome that are older than an hour."""
    with_outcome: int = 0

    @property
    def outcomes(self) -> int:
        return sum(self.recent.values())

    def share(self, model_id: str) -> float:
        """Return the share of the outcomes in the period."""
        return self.recent.get(model_id, 0) / self.outcomes if self.outcomes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that findings are made from."""

    config: Config
    tallies: tuple[Tally, ...]
    """The counts of all time, of every pair."""
    tasks: tuple[TaskFacts, ...]
    """The task types with the most outcomes in the period."""
    trials: tuple[Trial, ...] = ()
    days: int
    """The length of the period."""


def unknown(why: str) -> Effect:
    """Return an effect that cannot be told."""
    return Effect(f"cannot tell: {why}")


def key(name: str) -> str:
    """Return a name as a key or a text of TOML."""
    return json.dumps(name, ensure_ascii=False)


def section(config: Config, task_type: str, name: Literal["exploration", "cost", "demotion"]) -> str:
    """Return the header of the section that is in force for a task type."""
    own = config.task_types.get(task_type)
    is_own = own is not None and getattr(own, name) is not None
    return f"[task_types.{key(task_type)}.{name}]" if is_own else f"[{name}]"


def difference(one: Estimate, other: Estimate) -> Estimate:
    """Return how much larger ``one`` is, with an interval from those of both.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions", 1998 (method 10).
    """
    value = one.value - other.value
    if one.interval is None or other.interval is None:
        return Estimate(value, None)
    low = value - hypot(one.value - one.interval[0], other.interval[1] - other.value)
    high = value + hypot(one.interval[1] - one.value, other.value - other.interval[0])
    return Estimate(value, (low, high))


def rate(row: RankedModel) -> Estimate:
    """Return the estimated success rate of a ranked model."""
    return Estimate(row.score or 0.0, row.interval)


def in_points(estimate: Estimate) -> str:
    """Return a change of a success rate as ``+1.2 points of success (95 % interval -0.3 to +2.7)``."""
    low, high = estimate.interval or (None, None)
    interval = "" if low is None or high is None else f" (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * estimate.value:+.1f} points of success{interval}"


def in_dollars(estimate: Estimate) -> str:
    """Return a change of costs as ``-$1.20 (95 % interval -$1.40 to -$1.00)``."""
    low, high = estimate.interval or (None, None)
    interval = "" if low is None or high is None else f" (95 % interval {_signed(low)} to {_signed(high)})"
    return f"{_signed(estimate.value)}{interval}"


def _signed(amount: float) -> str:
    return f"{'-' if amount < 0 else '+'}{dollars(abs(amount))}"
