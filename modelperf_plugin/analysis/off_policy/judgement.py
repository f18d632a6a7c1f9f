"""The estimates for one policy, their intervals, and the reason if the log is not sufficient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from modelperf_plugin.analysis.off_policy import estimators
from modelperf_plugin.analysis.off_policy.bounds import gain_interval
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.enough import MIN_SPREAD, what_would_tell
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers, Interval, Logged
from modelperf_plugin.analysis.off_policy.same_tasks import on_same_tasks

MIN_DECISIONS: Final = 50
MAX_INTERVAL_WIDTH: Final = 0.5
"""Maximum width of an answer's interval: it rules out at least half of all success rates."""
MAX_UNSEEN_SHARE: Final = 0.02
"""Maximum share of a policy's choices that the log could not have made."""
_MAX_NAMES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimated mean with an interval of 95 % confidence or more."""

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
    """The estimates for one policy on one task type."""

    task_type: str
    decisions: int
    happened: float
    agreement: float
    """Share of the decisions on which the policy agrees with the log."""
    success: Estimate | None
    """The policy's success rate; None if the log is not sufficient: ``refusal`` says why."""
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The estimates for one policy on the whole log."""

    name: str
    success: Estimate | None
    """The policy's success rate; None if the log is not sufficient: ``refusal`` says why."""
    refusal: str | None
    gain: Estimate | None
    """The success rate less that of the policy that made the log."""
    cost_usd: Estimate | None
    """Mean US dollars of a first try; None without known costs. None is assumed to cost more than the costliest."""
    ips: float
    snips: float | None
    dr: float
    """Estimates of the success rate, however uncertain: inverse propensity score, self-normalised, doubly robust."""
    interval: tuple[float, float]
    """Interval of the success rate, 95 % confidence or more, even if it is too wide for an answer."""
    effective_sample_size: float
    """Number of decisions by the policy itself that the log is equivalent to."""
    agreement: float
    task_types: tuple[TaskTypeJudgement, ...] = ()
    """The most frequent task type first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement as plain JSON values."""
        task_types = [asdict(each) for each in self.task_types]
        return {**asdict(self), "interval": list(self.interval), "task_types": task_types}


class Judge:
    """Judges policies by one log."""

    def __init__(self, log: DecisionLog) -> None:
        self.log = log
        self.logged = log.of_success()
        self._cost = log.of_cost()

    def judge(self, name: str, target: Floats, alpha: float = 0.05, *, by_task_type: bool = False) -> Judgement:
        """Return the estimates for the policy whose probabilities are ``target``."""
        logged, log = self.logged, self.log
        own = estimators.weights(logged, target)
        interval, effective, refusal = _assess(log, logged, target, own, alpha)
        answered = refusal is None
        return Judgement(
            name=name, success=Estimate.within(interval) if answered else None, refusal=refusal,
            gain=Estimate.within(gain_interval(logged, target, alpha)) if answered else None,
            cost_usd=self._cost_of(target, alpha) if answered else None, ips=estimators.ips(logged.rewards, own),
            snips=estimators.snips(logged.rewards, own), dr=estimators.doubly_robust(logged, target),
            interval=(interval.low, interval.high), effective_sample_size=effective, agreement=_agreement(log, target),
            task_types=tuple(self._task_types(target, alpha)) if by_task_type else (),
        )  # fmt: skip

    def _cost_of(self, target: Floats, alpha: float) -> Estimate | None:
        if self._cost is None:
            return None
        logged, highest = self._cost
        return Estimate.within(on_same_tasks(logged, target, alpha), highest)

    def _task_types(self, target: Floats, alpha: float) -> Iterator[TaskTypeJudgement]:
        counts = np.bincount(self.log.task, minlength=len(self.log.task_types))
        for position in np.argsort(-counts, kind="stable").tolist():
            rows = self.log.task == position
            log, part, shares = self.log.only(rows), self.logged.only(rows), target[rows]
            interval, _, refusal = _assess(log, part, shares, estimators.weights(part, shares), alpha)
            yield TaskTypeJudgement(
                task_type=self.log.task_types[position],
                decisions=len(part),
                happened=float(part.rewards.mean()),
                agreement=_agreement(log, shares),
                success=Estimate.within(interval) if refusal is None else None,
                refusal=refusal,
            )


def _assess(
    log: DecisionLog, logged: Logged, target: Floats, own: Floats, alpha: float
) -> tuple[Interval, float, str | None]:
    """Return the interval, the effective sample size, and why they are not sufficient for an answer."""
    interval = on_same_tasks(logged, target, alpha)
    effective = estimators.effective_sample_size(own)
    return interval, effective, next(_objections(log, target, effective, interval), None)


def _agreement(log: DecisionLog, target: Floats) -> float:
    return float(np.minimum(target, log.propensities).sum(axis=1).mean())


def _objections(log: DecisionLog, target: Floats, effective: float, interval: Interval) -> Iterator[str]:
    """Yield the reasons why the log is not sufficient for a policy, the most telling first, and what would be."""
    for reason in _reasons(log, target, effective, interval):
        mean = float(log.grade.mean()) if len(log) else 0.5
        spread = max(mean * (1.0 - mean), MIN_SPREAD)
        enough = what_would_tell(log, target, MAX_INTERVAL_WIDTH / 2, spread) if len(log) else ""
        yield f"{reason}; {enough}" if enough else reason


def _reasons(log: DecisionLog, target: Floats, effective: float, interval: Interval) -> Iterator[str]:
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
        yield f"the log could not have made {share:.0%} of its choices: those of {names}"
    if interval.width > MAX_INTERVAL_WIDTH:
        low, high = (f"{100 * each:.0f}" for each in interval)
        widest = f"{100 * MAX_INTERVAL_WIDTH:.0f} points"
        yield (
            f"the interval of its success rate, {low} to {high} %, is too wide: an answer needs {widest} or less; the "
            f"log amounts to {effective:.0f} decisions of its own"
        )


def _names(log: DecisionLog, columns: Integers, weight: Floats) -> str:
    ordered = sorted(columns.tolist(), key=lambda column: -weight[column])
    named = ", ".join(log.models[column] for column in ordered[:_MAX_NAMES])
    return f"{named} and {len(ordered) - _MAX_NAMES} more" if len(ordered) > _MAX_NAMES else named
