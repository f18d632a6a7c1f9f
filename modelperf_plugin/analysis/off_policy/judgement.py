"""What is said of one policy: its estimates, how sure they are, and when the log cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.estimators import (
    Floats,
    Integers,
    Interval,
    Logged,
    doubly_robust,
    effective_sample_size,
    gain_interval,
    ips,
    snips,
    value_interval,
    weights,
)

MIN_DECISIONS: Final = 50
"""Fewer decisions than this are no log."""
MIN_EFFECTIVE_SAMPLE_SIZE: Final = 30.0
"""The least effective sample size of an answer."""
MAX_INTERVAL_WIDTH: Final = 0.24
"""The widest interval of an answer: ± 12 percentage points."""
MAX_UNSEEN_SHARE: Final = 0.02
"""The largest share of the choices for which the log has nothing to compare with."""
_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimated mean, and where it lies with 95 % certainty at least."""

    value: float
    low: float
    high: float

    @classmethod
    def within(cls, interval: Interval, factor: float = 1.0) -> Estimate:
        """Return the middle of an interval as an estimate."""
        low, high = interval.low * factor, interval.high * factor
        return cls(value=(low + high) / 2, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeJudgement:
    """What is said of one policy on one task type."""

    task_type: str
    """The class of work."""
    decisions: int
    """How many decisions of it are in the log."""
    happened: float
    """The share of them that were done well."""
    agreement: float
    """The share of them on which the policy agrees with the log."""
    success: Estimate | None
    """What it would have got; None if the log cannot tell."""
    refusal: str | None
    """Why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of one policy on the whole log."""

    name: str
    """The policy."""
    success: Estimate | None
    """Share done well, had it decided; None if the log cannot tell."""
    refusal: str | None
    """Why the log cannot tell."""
    gain: Estimate | None
    """That share less the one of the policy that made the log."""
    cost_usd: Estimate | None
    """Mean US dollars a task; None without known costs. Nothing is taken to cost more than the dearest task seen."""
    ips: float
    """The inverse propensity score estimate of success, sure or not."""
    snips: float | None
    """The self-normalised one."""
    dr: float
    """The doubly robust one."""
    interval: tuple[float, float]
    """Where the success lies with 95 % certainty at least, even if that is too wide for an answer."""
    effective_sample_size: float
    """How many decisions of its own the log is worth."""
    agreement: float
    """The share of the decisions on which it agrees with the log."""
    task_types: tuple[TaskTypeJudgement, ...] = ()
    """The same for each task type, the most frequent first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement as plain JSON values."""
        return {
            **asdict(self),
            "interval": list(self.interval),
            "task_types": [asdict(each) for each in self.task_types],
        }


class Judge:
    """Judges policies by one log; what they share is made once."""

    def __init__(self, log: DecisionLog) -> None:
        self.log = log
        self.logged = log.of_success()
        """The log with success as the reward."""
        self._cost = log.of_cost()

    def judge(self, name: str, target: Floats, alpha: float = 0.05, *, by_task_type: bool = False) -> Judgement:
        """Return what the log says of the policy whose probabilities are ``target``."""
        logged, log = self.logged, self.log
        own = weights(logged, target)
        effective = effective_sample_size(own)
        interval = value_interval(logged, target, alpha)
        refusal = next(_objections(log, target, effective, interval), None)
        answered = refusal is None
        return Judgement(
            name=name,
            success=Estimate.within(interval) if answered else None,
            refusal=refusal,
            gain=Estimate.within(gain_interval(logged, target, alpha)) if answered else None,
            cost_usd=self._cost_of(target, alpha) if answered else None,
            ips=ips(logged.rewards, own),
            snips=snips(logged.rewards, own),
            dr=doubly_robust(logged, target),
            interval=(interval.low, interval.high),
            effective_sample_size=effective,
            agreement=_agreement(log, target),
            task_types=tuple(self._task_types(target, alpha)) if by_task_type else (),
        )

    def _cost_of(self, target: Floats, alpha: float) -> Estimate | None:
        if self._cost is None:
            return None
        logged, highest = self._cost
        return Estimate.within(value_interval(logged, target, alpha), highest)

    def _task_types(self, target: Floats, alpha: float) -> Iterator[TaskTypeJudgement]:
        counts = np.bincount(self.log.task, minlength=len(self.log.task_types))
        for position in np.argsort(-counts, kind="stable").tolist():
            rows = self.log.task == position
            part: Logged = self.logged.only(rows)
            log, own = self.log.only(rows), target[rows]
            interval = value_interval(part, own, alpha)
            effective = effective_sample_size(weights(part, own))
            refusal = next(_objections(log, own, effective, interval), None)
            yield TaskTypeJudgement(
                task_type=self.log.task_types[position],
                decisions=len(part),
                happened=float(part.rewards.mean()),
                agreement=_agreement(log, own),
                success=Estimate.within(interval) if refusal is None else None,
                refusal=refusal,
            )


def _agreement(log: DecisionLog, target: Floats) -> float:
    return float(np.minimum(target, log.propensities).sum(axis=1).mean())


def _objections(log: DecisionLog, target: Floats, effective: float, interval: Interval) -> Iterator[str]:
    """Yield why the log cannot tell what a policy would have got, the most telling reason first."""
    if len(log) < MIN_DECISIONS:
        yield f"{len(log)} decisions are too few: {MIN_DECISIONS} are needed"
    use = target.mean(axis=0)
    tried = np.bincount(log.chosen, minlength=len(log.models)) > 0
    untried = np.flatnonzero((use > MAX_UNSEEN_SHARE) & ~tried)
    if len(untried):
        yield f"{_names(log, untried, use)} {'was' if len(untried) == 1 else 'were'} never tried"
    unseen = np.where(log.propensities > 0.0, 0.0, target)
    share = float(unseen.sum(axis=1).mean())
    if share > MAX_UNSEEN_SHARE:
        missing = np.flatnonzero(unseen.sum(axis=0) > 0.0)
        names = _names(log, missing, unseen.sum(axis=0))
        yield f"for {share:.0%} of its choices the log has nothing to compare with: it could not choose {names} there"
    if effective < MIN_EFFECTIVE_SAMPLE_SIZE:
        yield f"the log is worth {effective:.0f} decisions of its own: {MIN_EFFECTIVE_SAMPLE_SIZE:.0f} are needed"
    if interval.width > MAX_INTERVAL_WIDTH:
        low, high = (f"{100 * each:.0f}" for each in interval)
        widest = f"{100 * MAX_INTERVAL_WIDTH:.0f} points"
        yield f"the interval of its success rate, {low} to {high} %, is too wide: an answer needs {widest} or less"


def _names(log: DecisionLog, columns: Integers, weight: Floats) -> str:
    ordered = sorted(columns.tolist(), key=lambda column: -weight[column])
    named = ", ".join(log.models[column] for column in ordered[:_NAMED])
    return f"{named} and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else named
