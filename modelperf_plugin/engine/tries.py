"""The failures on each open task, which tell first tries from later tries."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Final, NamedTuple

from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.decision_writer import is_decision_id
from modelperf_plugin.errors import StoreError
from modelperf_plugin.policy.quality import Timeouts, is_informative, is_verdict
from modelperf_plugin.store import DecisionOutcome, Entry, LoggedDecision
from modelperf_plugin.store.roles import DecisionLog, UnmatchedOutcomes
from modelperf_plugin.values import Decision, Tried, as_tried, blame_of

MAX_DECISIONS: Final = 8_000
"""Maximum number of decisions that are remembered; the oldest are dropped."""
MAX_FOLLOWED: Final = 10
"""Maximum number of decisions for one task that are looked up."""

LOOK_EVERY: Final = 8
"""How many later tries under own decisions pass until the log is read to see whether other processes report some."""
_MAX_FAILURES: Final = 64
"""Maximum number of failures on one task that are remembered by model."""


class TaskTries(NamedTuple):
    """The tries of a task up to a decision, and those under it."""

    earlier: tuple[str, ...] = ()
    """The models that had failed before the decision: the latest."""
    attempt: int = 1
    """Which try of the task the decision chose: 1 plus the failures before it."""
    failed: tuple[str, ...] = ()
    """The models that have failed under the decision: the latest, in their order."""
    failures: int = 0
    """Number of failures under the decision, forgotten ones included."""
    solved_by: tuple[str, ...] = ()
    """The models that have succeeded under the decision."""
    retry_of: str | None = None
    is_own: bool = False
    """Whether this process made the decision."""
    task_type: str | None = None
    """That of the decision; None if it is not known."""

    @property
    def tried(self) -> tuple[str, ...]:
        """The models that have failed on the task, in their order."""
        return (*self.earlier, *self.failed)

    @property
    def next_attempt(self) -> int:
        """Which try of the task the next one is."""
        return self.attempt + self.failures

    def before(self, model_id: str) -> Tried:
        """Return the models that have failed before a try of ``model_id``.

        A model that has solved a task does not try it again. If it does, the host uses one decision for several tasks,
        and nothing is known about failures on the present one.
        """
        return () if model_id in self.solved_by else as_tried(self.tried)

    def plus(self, model_id: str, *, success: bool) -> TaskTries:
        """Return the tries after another one."""
        if model_id in self.solved_by:
            return self
        if success:
            return self._replace(solved_by=(*self.solved_by, model_id))
        return self._replace(failed=(*self.failed, model_id)[-_MAX_FAILURES:], failures=self.failures + 1)

    def merged(self, other: TaskTries) -> TaskTries:
        """Combine two records of the same decision's tries."""
        return TaskTries(
            _union(self.earlier, other.earlier),
            max(self.attempt, other.attempt),
            _union(self.failed, other.failed),
            max(self.failures, other.failures, len(_union(self.failed, other.failed))),
            tuple(dict.fromkeys(self.solved_by + other.solved_by)),
            self.retry_of or other.retry_of,
            self.is_own or other.is_own,
            self.task_type or other.task_type,
        )

    def belongs_to(self, task_type: str) -> bool:
        """Return whether a task of this type can be the one that the decision was made for."""
        return self.task_type is None or self.task_type == task_type


_Known = TaskTries | tuple[str, str]
"""The tries under a decision; of one without any, only its task type and the model that it chose."""


class Tries:
    """The tries under the decisions of this process, and of other processes through the decision log.

    A try counts if it says something about the model, by the configuration: outages and the caller's own errors use up
    no try. The first try of a decision of this process takes one dictionary lookup. Tries under a decision of another
    process are read from the log each time, because other processes may have added some; those under a decision of this
    process too, once others are known to report such tries, and every :data:`LOOK_EVERY` later tries to find that out.
    An outcome of another task type than its decision is not a try of the same task. Methods are thread-safe and never
    raise.
    """

    def __init__(self, log: DecisionLog, unmatched: UnmatchedOutcomes, errors: BackgroundErrors) -> None:
        self._log = log
        self._unmatched = unmatched
        self._errors = errors
        self._lock = threading.RLock()
        self._known: tuple[dict[str, _Known], dict[str, _Known]] = ({}, {})
        """Two generations of decisions: when the newer one is full, the older one is dropped."""
        self._others_report = False
        """Whether another process has reported tries under decisions of this one, or this one under those of others."""
        self._later_tries = 0

    def on_decision(self, decision: Decision) -> None:
        """Remember a decision of this process."""
        if decision.retry_of is None:
            self._put(decision.decision_id, (decision.task_type, decision.model_id))
        else:
            self._put(decision.decision_id, _of_decision(decision)._replace(is_own=True))

    def before(self, decision: Decision | str, task_type: str, model_id: str, timeouts: Timeouts) -> Tried:
        """Return the models that had failed on the same task before a try of ``model_id`` under ``decision``."""
        known = self._get(id_of(decision))
        if known == (task_type, model_id):
            return ()
        is_own = isinstance(known, TaskTries) and known.is_own
        if isinstance(known, TaskTries) and is_own and model_id in known.solved_by:
            return ()
        tries = self.of(decision, timeouts, reads=not is_own or self._is_due())
        if isinstance(known, TaskTries) and is_own and tries is not None and tries.failures > known.failures:
            self._others_report = True
        return tries.before(model_id) if tries is not None and tries.belongs_to(task_type) else ()

    def add(self, decision: Decision | str, entry: Entry, timeouts: Timeouts) -> None:
        """Add an outcome that was recorded under ``decision``."""
        outcome, pair = entry.outcome, (entry.task_type, entry.model_id)
        decision_id = id_of(decision)
        known = self._get(decision_id)
        if known is None:
            if not _may_be_known(decision):
                return
            self._others_report = True
        if outcome.success and known == pair:
            self._known[0][decision_id] = _solved_at_once(*pair)
        elif is_verdict(outcome, timeouts):
            with self._lock:
                tries = self._get(decision_id)
                if not isinstance(tries, TaskTries):  # of another model, its choice was reported elsewhere, or not yet
                    task_type = _task_type_of(decision, tries)
                    tries = TaskTries(is_own=tries == pair, task_type=task_type)
                if tries.belongs_to(entry.task_type):
                    self._put(decision_id, tries.plus(entry.model_id, success=outcome.success))

    def forget(self, decision_id: str) -> None:
        """Forget the tries under a decision, one of which has another verdict now: the log has them."""
        for known in self._known:
            known.pop(decision_id, None)

    def of(self, decision: Decision | str, timeouts: Timeouts, *, reads: bool = True) -> TaskTries | None:
        """Return the tries of the task of ``decision``, those under earlier decisions included; None if unknown.

        Without ``reads``, those that are known without the log.
        """
        tries = earlier = self._find(decision, timeouts, reads=reads)
        seen = {id_of(decision)}
        while tries is not None and earlier is not None and earlier.retry_of is not None and len(seen) <= MAX_FOLLOWED:
            if earlier.retry_of in seen:
                break
            seen.add(earlier.retry_of)
            earlier = self._find(earlier.retry_of, timeouts, reads=reads)
            if earlier is not None:
                tries = tries.merged(TaskTries(earlier.tried, earlier.next_attempt))
        return tries

    def _is_due(self) -> bool:
        """Return whether the log is to be read for a later try under a decision of this process."""
        self._later_tries += 1
        return self._others_report or self._later_tries % LOOK_EVERY == 1

    def _find(self, decision: Decision | str, timeouts: Timeouts, *, reads: bool) -> TaskTries | None:
        """Return the tries under a decision by all that is known: here, in the log, and by the decision itself."""
        decision_id = id_of(decision)
        known = self._get(decision_id)
        sources = [
            TaskTries(task_type=known[0]) if known is not None and not isinstance(known, TaskTries) else known,
            self._read(decision_id, timeouts) if reads and _may_be_known(decision) else None,
            _of_decision(decision) if isinstance(decision, Decision) else None,
        ]
        found = [source for source in sources if source is not None]
        return reduce(TaskTries.merged, found) if found else None

    def _read(self, decision_id: str, timeouts: Timeouts) -> TaskTries | None:
        """Return the tries under a decision from the log, with outcomes that wait for it; None without any."""
        try:
            logged = self._log.get(decision_id)
            waiting = self._unmatched.of(decision_id) if logged is None else []
        except StoreError as error:
            self._errors.report("what had failed on a task could not be looked up", error)
            return None
        return _of_waiting(waiting, timeouts) if logged is None else _of_logged(logged, timeouts)

    def _get(self, decision_id: str) -> _Known | None:
        newest, older = self._known
        known = newest.get(decision_id)
        return older.get(decision_id) if known is None else known

    def _put(self, decision_id: str, known: _Known) -> None:
        newest, _ = self._known
        newest[decision_id] = known
        if len(newest) >= MAX_DECISIONS // 2:
            self._known = ({}, newest)


def id_of(decision: Decision | str) -> str:
    """Return the id of a decision, which may be the id itself."""
    return decision if isinstance(decision, str) else decision.decision_id


def _may_be_known(decision: Decision | str) -> bool:
    """Return whether it has the form of our decision ids; hosts pass other texts as well."""
    return not isinstance(decision, str) or is_decision_id(decision)


@lru_cache(maxsize=1000)
def _solved_at_once(task_type: str, model_id: str) -> TaskTries:
    return TaskTries(solved_by=(model_id,), is_own=True, task_type=task_type)


def _task_type_of(decision: Decision | str, chosen: tuple[str, str] | None) -> str | None:
    """Return the task type of a decision, as far as it is known without the log."""
    if isinstance(decision, Decision):
        return decision.task_type
    return None if chosen is None else chosen[0]


def _of_decision(decision: Decision | LoggedDecision) -> TaskTries:
    return TaskTries(decision.tried, decision.attempt, retry_of=decision.retry_of, task_type=decision.task_type)


def _of_logged(decision: LoggedDecision, timeouts: Timeouts) -> TaskTries:
    tries = _of_decision(decision)
    for each in decision.tries:
        timed_out = each.timeout and each.score is None
        if is_informative(blame_of(each.success, each.error_kind), timed_out, timeouts):
            tries = tries.plus(each.model_id, success=each.success)
    return tries


def _of_waiting(outcomes: Sequence[DecisionOutcome], timeouts: Timeouts) -> TaskTries | None:
    tries = TaskTries()
    for _, model_id, outcome, *_ in outcomes:
        if is_verdict(outcome, timeouts):
            tries = tries.plus(model_id, success=outcome.success)
    return tries if outcomes else None


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the latest models of both, each as often as in the sequence that has it more often."""
    missing = Counter(other) - Counter(one)
    return (*one, *missing.elements())[-_MAX_FAILURES:] if missing else one
