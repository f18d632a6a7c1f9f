"""What the policy has saved: dollars and success of whole tasks, against always beginning with one model.

A task is what it was for the host: its dollars are those of all its tries, and it is solved if any of them was a
success. The comparison is with the same tasks, had each begun with another model and gone on as the host does after a
failure. Only first choices have known probabilities, so only they are replaced. What happened is known exactly, tasks
that explored included; the other side is estimated (:func:`.always`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, Flags, mean_rewards
from modelperf_plugin.analysis.off_policy.enough import MIN_SPREAD, what_would_tell
from modelperf_plugin.analysis.off_policy.estimators import Integers
from modelperf_plugin.analysis.off_policy.judgement import MAX_INTERVAL_WIDTH, MIN_DECISIONS, Estimate
from modelperf_plugin.analysis.off_policy.same_dollars import dollars_of
from modelperf_plugin.analysis.off_policy.same_tasks import SameTasks, always
from modelperf_plugin.analysis.off_policy.task_log import MIN_REPORTED_SHARE, TaskLog
from modelperf_plugin.text import count, dollars, percent
from modelperf_plugin.values import from_milliseconds

BEST_BEFORE, CURRENT, NOT_EXPLORING = "best-before", "current", "not exploring"
NEWEST_TASKS: Final = 200
"""The current model is the one chosen most often for this many newest tasks."""
MIN_OWN_TASKS: Final = 20
"""Minimum number of tasks that began with a model, to say what it costs or that it was the best."""
MIN_OFFERED_SHARE: Final = 0.5
"""Minimum share of the tasks for which a model was offered."""

Rule = Literal["best-before", "current"]


class Against(NamedTuple):
    """One thing to compare with: a model, by its name or by a rule."""

    name: str
    model_id: str | None
    """None if the rule does not give any, or if it is no single model."""
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What happened, less what would have happened otherwise; all are means over the tasks, or their sum."""

    name: str
    """Of what it is compared with: a model, ``best-before``, ``current`` or ``not exploring``."""
    model_id: str | None
    share: float
    """Share of the tasks that began with that model anyway, or for which it was not offered."""
    success: Estimate | None
    """Success rate of the other side; None if the log is not sufficient: ``refusal`` says why."""
    gained: Estimate | None
    """Actual success rate less that of the other side."""
    refusal: str | None
    cost_usd: Estimate | None
    """US dollars of all tasks on the other side; None if the log is not sufficient: ``cost_refusal`` says why."""
    saved_usd: Estimate | None
    """US dollars of all tasks on the other side less the actual ones."""
    cost_refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What a policy has achieved in a period, and the differences to other choices."""

    source: str
    since: datetime
    until: datetime
    """Times of the first and the last task."""
    tasks: int
    solved: float
    """Share of the tasks that were solved; with scores, the mean of the best score of each."""
    graded: int
    """Number of tasks with a score."""
    cost_usd: float | None
    """US dollars of all tries; of tasks with unknown costs, the mean of the others. None if too few are known."""
    unpriced: int
    """Number of tasks with an unknown cost."""
    retried: int
    """Number of tasks with more than one try."""
    retries_usd: float
    """US dollars of their later tries."""
    explored: int
    """Number of tasks that did not begin with the model ranked first."""
    exploration: Difference
    """The difference to always beginning with the model ranked first."""
    against: tuple[Difference, ...]
    left_out: Mapping[str, int]
    """Number of further tasks, by the reason for leaving them out."""
    newest_only: int | None
    """If older decisions were not read, how many of the newest were; None: the whole log was read."""

    def as_dict(self) -> dict[str, Any]:
        """Return the savings as plain JSON values."""
        values = {**asdict(self), "left_out": dict(self.left_out), "against": [asdict(each) for each in self.against]}
        return {**values, "since": self.since.isoformat(), "until": self.until.isoformat()}


def objection_to(tasks: TaskLog) -> str | None:
    """Return why nothing can be said about these tasks; None if something can."""
    if len(tasks) < MIN_DECISIONS:
        return f"{count(len(tasks), 'task')} with a known outcome; {MIN_DECISIONS} are needed"
    if not tasks.is_reported:
        total = len(tasks) + tasks.unreported
        return (
            f"the outcome of {tasks.unreported:,} of {count(total, 'task')} was not reported as it should be: at most "
            f"{percent(1.0 - MIN_REPORTED_SHARE)} may be missing, as they may have ended differently"
        )
    return None


def savings(tasks: TaskLog, since_ms: int | None = None, against: str | None = None) -> Savings:
    """Return the savings on the tasks from ``since_ms`` on; earlier ones help to forecast and name the best before.

    ``against`` is a model, ``best-before`` or ``current``; None means both and all models. There must be no
    :func:`objection_to` the tasks of the period.
    """
    period = tasks.log.made_ms >= (0 if since_ms is None else since_ms)
    comparison = _Comparison(tasks, period)
    log = comparison.log
    grade, own = log.grade, tasks.only(period)
    order = np.argsort(-np.bincount(log.chosen, minlength=len(log.models)), kind="stable")
    all_names = [CURRENT, BEST_BEFORE, *[log.models[each] for each in order if log.offered[:, each].any()]]
    later = own.later_usd[np.isfinite(own.later_usd)]
    return Savings(
        source=log.source, since=from_milliseconds(int(log.made_ms[0])), until=from_milliseconds(int(log.made_ms[-1])),
        tasks=len(log), solved=float(grade.mean()), graded=log.graded, cost_usd=comparison.actual_usd,
        unpriced=log.unpriced, retried=int((own.tries > 1).sum()), retries_usd=float(later.sum()),
        explored=int((log.chosen != comparison.first).sum()),
        exploration=comparison.difference(Against(NOT_EXPLORING, None), comparison.first),
        against=tuple(comparison.against(each) for each in ([against] if against else all_names)),
        left_out=log.left_out, newest_only=tasks.newest_only,
    )  # fmt: skip


def best_before(log: DecisionLog) -> Against:
    """Return the model with the highest success by the tasks in ``log``, those before the period.

    It is the mean over their task types of the success of tasks that began with it, where few ones are shrunk towards
    that of the model. Models with fewer than :data:`MIN_OWN_TASKS` tasks are left aside.
    """
    shape = (len(log.task_types), len(log.models))
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (log.task, log.chosen), log.grade)
    np.add.at(counts, (log.task, log.chosen), 1.0)
    rates = np.bincount(log.task, minlength=shape[0]) @ mean_rewards(sums, counts)
    known = counts.sum(axis=0) >= MIN_OWN_TASKS
    if not known.any():
        reason = f"no model had {MIN_OWN_TASKS} tasks before the period: --since says when it begins"
        return Against(BEST_BEFORE, None, reason)
    return Against(BEST_BEFORE, log.models[int(np.argmax(np.where(known, rates, -np.inf)))])


def current(log: DecisionLog) -> Against:
    """Return the model that was chosen most often for the newest tasks."""
    newest = np.bincount(log.chosen[-NEWEST_TASKS:], minlength=len(log.models))
    return Against(CURRENT, log.models[int(np.argmax(newest))])


class _Comparison:
    """What would have happened in a period."""

    def __init__(self, tasks: TaskLog, period: Flags) -> None:
        self._tasks, self._period = tasks, period
        self._differences: dict[str, Difference] = {}
        """By model: two rules often name one that is compared with anyway."""
        self.log = tasks.log.only(period)
        self._before = tasks.log.only(~period & (tasks.log.ended_ms < self.log.made_ms[0]))
        self._success = tasks.log.of_success().only(period)
        mean = float(self.log.grade.mean())
        self._spread = max(mean * (1.0 - mean), MIN_SPREAD)
        self._priced = np.isfinite(self.log.cost_usd)
        ranked = np.where(self.log.offered, self.log.position, np.iinfo(self.log.position.dtype).max)
        self.first: Integers = np.argmin(ranked, axis=1)
        """The columns of the models ranked first."""
        is_known = self._priced.mean() >= MIN_REPORTED_SHARE
        self.actual_usd = float(self.log.cost_usd[self._priced].mean() * len(self.log)) if is_known else None

    def against(self, name: str) -> Difference:
        """Return the difference to what is called ``name``."""
        if name == CURRENT:
            what = current(self.log)
        elif name == BEST_BEFORE:
            what = best_before(self._before)
        else:
            what = Against(name, name)
        if what.model_id is None or what.model_id not in self.log.models:
            reason = what.refusal or f"{what.model_id} was not offered in this period"
            return Difference(
                name=what.name, model_id=what.model_id, share=0.0, success=None, gained=None, refusal=reason,
                cost_usd=None, saved_usd=None, cost_refusal=reason,
            )  # fmt: skip
        if what.model_id not in self._differences:
            column = self.log.models.index(what.model_id)
            wanted = np.where(self.log.offered[:, column], column, -1)
            self._differences[what.model_id] = self.difference(what, wanted)
        return replace(self._differences[what.model_id], name=what.name)

    def difference(self, what: Against, wanted: Integers) -> Difference:
        """Return the difference to beginning with the models in the columns ``wanted``."""
        refusal = next(self._objections(what, wanted), None)
        success, narrow = None, refusal
        if refusal is None:
            success = always(self._success, wanted)
            if success.high - success.low > MAX_INTERVAL_WIDTH:
                low, high = (f"{100 * each:.0f}" for each in success[1:])
                reason = f"too few tasks began with it: its success could be {low} to {high} %"
                success, narrow = None, self._with_what_would_tell(reason, wanted, MAX_INTERVAL_WIDTH / 2, self._spread)
        usd, cost_refusal = (None, refusal) if refusal else self._usd(wanted)
        actual = float(self.log.grade.mean())
        return Difference(
            name=what.name, model_id=what.model_id, share=float((self._is_same(wanted)).mean()),
            success=success and Estimate(value=success.value, low=success.low, high=success.high),
            gained=success and _less(actual, success), refusal=narrow,
            cost_usd=usd and Estimate(value=usd.value, low=usd.low, high=usd.high),
            saved_usd=usd and _minus(usd, self.actual_usd or 0.0), cost_refusal=cost_refusal,
        )  # fmt: skip

    def _is_same(self, wanted: Integers) -> Flags:
        same: Flags = (wanted < 0) | (wanted == self.log.chosen)
        return same

    def _objections(self, what: Against, wanted: Integers) -> Iterator[str]:
        if what.model_id is not None:
            offered = float((wanted >= 0).mean())
            if offered < MIN_OFFERED_SHARE:
                needed = percent(MIN_OFFERED_SHARE)
                yield f"it was offered for only {percent(offered)} of the tasks: {needed} are needed"
        seen = int((wanted == self.log.chosen).sum())
        if seen < MIN_OWN_TASKS:
            reason = f"{count(seen, 'task')} began with it: {MIN_OWN_TASKS} are needed"
            yield self._with_what_would_tell(reason, wanted, MAX_INTERVAL_WIDTH / 2, self._spread)

    def _usd(self, wanted: Integers) -> tuple[SameTasks | None, str | None]:
        """Return the dollars of all tasks on the other side, or the reason if they cannot be told."""
        if self.actual_usd is None:
            return None, f"{self.log.unpriced:,} of {count(len(self.log), 'task')} have an unknown cost"
        own = wanted == self.log.chosen
        unknown = 1.0 - float(self._priced[own].mean())
        if unknown > 1.0 - MIN_REPORTED_SHARE:
            return None, f"{percent(unknown)} of the tasks that began with it have an unknown cost"
        found = dollars_of(self._tasks, self._period, wanted)
        widest = max(self.actual_usd, found.value)
        if found.high - found.low > widest:
            reason = f"too few tasks began with it: they could have cost {dollars(found.low)} to {dollars(found.high)}"
            spread = float(np.var(self.log.cost_usd[own & self._priced]))
            return None, self._with_what_would_tell(reason, wanted, widest / 2 / len(self.log), spread)
        return found, None

    def _with_what_would_tell(self, reason: str, wanted: Integers, half_width: float, spread: float) -> str:
        target = np.zeros(self.log.offered.shape)
        rows = np.flatnonzero(wanted >= 0)
        target[rows, wanted[rows]] = 1.0
        enough = what_would_tell(self.log, target, half_width, spread, least=MIN_OWN_TASKS)
        return f"{reason}; {enough}" if enough else reason


def _less(actual: float, other: SameTasks) -> Estimate:
    return Estimate(value=actual - other.value, low=actual - other.high, high=actual - other.low)


def _minus(other: SameTasks, actual: float) -> Estimate:
    return Estimate(value=other.value - actual, low=other.low - actual, high=other.high - actual)
