"""Whole tasks: each first decision of the log with the success and the dollars of all its tries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import PAGE_SIZE, DecisionLog, Flags, LogReader
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.store import JoinedOutcome, Store
from modelperf_plugin.store.decision_records import DecisionRecord
from modelperf_plugin.store.decisions import OVERDUE_MS, in_order
from modelperf_plugin.values import NANO_USD, blame_of

MIN_REPORTED_SHARE: Final = 0.95
"""Minimum share of the tasks whose outcome, or cost, must be known."""
UNREPORTED, UNFINISHED = "no outcome has come", "they are not finished"
_NOT_REPORTED: Final = {
    UNREPORTED, "it cannot be read", "only a fallback's outcome has come", "a fallback was tried first",
}  # fmt: skip
"""Reasons for leaving out tasks that may depend on how the task went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLog:
    """n tasks, oldest first."""

    log: DecisionLog
    """Their first decisions; success, score and cost are those of the whole task, the cost NaN if any is unknown."""
    tries: Integers
    """Number of outcomes of each task."""
    later_usd: Floats
    """US dollars of the tries after the first one; NaN if unknown."""
    newest_only: int | None = None
    """If older decisions were not read, how many of the newest were; None: the whole log was read."""

    def __len__(self) -> int:
        return len(self.log)

    @property
    def unreported(self) -> int:
        """Number of further tasks whose outcome should be known, but is not."""
        return sum(number for reason, number in self.log.left_out.items() if reason in _NOT_REPORTED)

    @property
    def is_reported(self) -> bool:
        """Whether so few outcomes are missing that the rest can stand for all."""
        return len(self) >= MIN_REPORTED_SHARE * (len(self) + self.unreported)

    def only(self, rows: Flags) -> TaskLog:
        """Return the tasks in ``rows``, a mask."""
        return replace(self, log=self.log.only(rows), tries=self.tries[rows], later_usd=self.later_usd[rows])


def read_tasks(
    store: Store,
    now_ms: int,
    *,
    task_type: str | None = None,
    until_ms: int | None = None,
    since_ms: int | None = None,
    prices: Mapping[str, float] | None = None,
    newest: int | None = None,
    progress: Progress | None = None,
) -> TaskLog:
    """Read the tasks for which a host asked for a model, and which have ended at ``now_ms``.

    A task is a decision that retries no other one, with its own tries and those of the decisions that retry it. What is
    left out is counted from ``since_ms`` on; tasks before that are read, too. ``prices`` are the dollars of a try for
    models whose costs are not reported. With ``newest`` at most so many decisions are read, the newest ones.
    """
    reader = _TaskReader(store, now_ms, task_type, since_ms, until_ms, prices or {})
    number = 0 if newest is None else max(0, store.decisions.last_number() - newest)
    older, seen = store.decisions.after(0, 1) if number else [], 0
    is_whole = not older or older[0][0] > number
    while page := store.decisions.after(number, PAGE_SIZE):
        number = page[-1][0]
        reader.take([(record, outcome) for _, record, outcome in page])
        seen += len(page)
        if progress is not None:
            progress(seen, seen)
    return replace(reader.tasks(), newest_only=None if is_whole else seen)


@dataclass(slots=True)
class _Task:
    """What the tries of one task add up to."""

    row: int
    success: bool = False
    score: float | None = None
    usd: float = 0.0
    later_usd: float = 0.0
    tries: int = 0
    waits: str | None = None
    """The reason for leaving it out, after all: a retry has no outcome."""

    def add(self, outcome: JoinedOutcome, usd: float) -> None:
        grade = float(outcome.success) if outcome.score is None else outcome.score
        if outcome.score is not None or self.score is not None:
            self.score = max(grade, float(self.success) if self.score is None else self.score)
        self.success |= outcome.success
        self.usd += usd
        self.later_usd += usd if self.tries else 0.0
        self.tries += 1


class _TaskReader:
    def __init__(
        self, store: Store, now_ms: int, task_type: str | None, since_ms: int | None, until_ms: int | None,
        prices: Mapping[str, float],
    ) -> None:  # fmt: skip
        self._decisions, self._overdue_ms, self._prices = store.decisions, now_ms - OVERDUE_MS, prices
        self._reader = LogReader(task_type, None, until_ms)
        self._since_ms = since_ms
        self._source = store.location
        self._tasks: list[_Task] = []
        self._of: dict[str, _Task] = {}

    def take(self, page: Sequence[tuple[DecisionRecord, JoinedOutcome | None]]) -> None:
        """Add decisions of the log with their outcomes."""
        further = self._decisions.further_outcomes(
            [record.decision_id for record, outcome in page if outcome is not None and _may_have_more(outcome)]
        )
        for record, outcome in page:
            self._add(record, outcome, further.get(record.decision_id, ()))

    def _add(self, record: DecisionRecord, outcome: JoinedOutcome | None, further: Sequence[JoinedOutcome]) -> None:
        task = None
        if record.retry_of is not None:
            task = self._of.get(record.retry_of)
            if task is not None and outcome is None:
                task.waits = task.waits or (UNREPORTED if record.made_ms <= self._overdue_ms else UNFINISHED)
        elif outcome is None and record.mode == "apply" and record.made_ms > self._overdue_ms:
            self._leave_out(record, UNFINISHED)
        else:
            self._reader.counts_left_out = self._since_ms is None or record.made_ms >= self._since_ms
            row = self._reader.add(record, outcome)
            if row is not None:
                task = _Task(row)
                self._tasks.append(task)
        if task is not None:
            self._of[record.decision_id] = task
            for each in () if outcome is None else in_order(outcome, further):
                task.add(each, self._usd(each))

    def tasks(self) -> TaskLog:
        """Return all tasks so far."""
        for task in self._tasks:
            self._reader.amend(task.row, success=task.success, score=task.score, cost_usd=task.usd)
        log, order = self._reader.log(self._source), self._reader.order()
        waits = np.array([task.waits or "" for task in self._tasks], object)[order]
        counted = waits[log.made_ms >= (self._since_ms or 0)]
        left_out = Counter(dict(log.left_out)) + Counter(each for each in counted.tolist() if each)
        tries = np.array([task.tries for task in self._tasks], np.int32)[order]
        later = np.array([task.later_usd for task in self._tasks], np.float64)[order]
        return TaskLog(log=log.but_left_out(left_out), tries=tries, later_usd=later).only(waits == "")

    def _leave_out(self, record: DecisionRecord, reason: str) -> None:
        if self._since_ms is None or record.made_ms >= self._since_ms:
            self._reader.leave_out(record, reason)

    def _usd(self, outcome: JoinedOutcome) -> float:
        if outcome.cost_nano_usd:
            return outcome.cost_nano_usd / NANO_USD
        is_outage = blame_of(outcome.success, outcome.error_kind) == "provider"
        return self._prices.get(outcome.model_id, 0.0 if is_outage else float("nan"))


def _may_have_more(outcome: JoinedOutcome) -> bool:
    """Return whether the decision may have further outcomes: nothing is tried after a success."""
    return not outcome.success or outcome.number > 1
