"""Running A/B tests: their sides stay, their state is in the store, and all processes reach the same verdict."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from modelperf_plugin.engine.ab_draws import MAX_DRAWS, Draw, Draws
from modelperf_plugin.engine.ab_ratios import check, settled, undecided_winners
from modelperf_plugin.engine.ab_running import RunningTest
from modelperf_plugin.engine.ab_stakes import exchanged, stakes_of
from modelperf_plugin.engine.ab_terms import is_as_stored, on_terms_of, proposed
from modelperf_plugin.engine.ab_verdicts import advanced, state_of
from modelperf_plugin.engine.lateness import unless_late
from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.policy import ABTest, Assessment, Policy
from modelperf_plugin.policy.quality import Timeouts, is_verdict
from modelperf_plugin.store import DecisionOutcome, Entry, LoggedDecision, Stake, StoredContest, StoredTest
from modelperf_plugin.store.deadline import NO_WAIT, SPARE_SECONDS, within
from modelperf_plugin.store.local import dated
from modelperf_plugin.store.roles import ABTests as StoredTests
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import DAY_MS, Decision, Outcome, blame_of

RELOAD_SECONDS: Final = 0.5
"""How often the tests that other processes began, decided or ended are reloaded."""
FRESH_SECONDS: Final = 0.05
"""How old the tests may be when an outcome of another process's decision is counted."""
RETRY_SECONDS: Final = 5.0
RECHECK_GROWTH: Final = 1.05
"""A contest with a mismatch is checked again after this much more outcomes."""
MAX_RUNNING: Final = 1_000
"""Maximum number of task types whose test is remembered between two choices."""
IDLE_MS: Final = DAY_MS
"""Unknown ids are looked up only if a test of the task type began, or counted an outcome, within this time."""
_T = TypeVar("_T")


class ABTests:
    """The A/B tests over one store. Any thread may call any method.

    The state of a test is in the store alone, and changes there in one transaction for each outcome. So it survives
    restarts, and all processes have the same verdict. A crash between recording an outcome and its step in the test
    loses that one step; nothing is counted twice.
    """

    def __init__(
        self, tests: StoredTests, decisions: DecisionLog, *, write_decisions: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        """Keep the tests in ``tests``; ``write_decisions`` writes those that still wait into ``decisions``."""
        self._stored = tests
        self._decisions = decisions
        self._write_decisions = write_decisions
        self._now_ms = now_ms
        self._check_at: dict[tuple[int, str], float] = {}
        """By test and challenger: at how many outcomes a contest with a mismatch is checked again."""
        self._lock = threading.RLock()
        self._tests: dict[tuple[str, str], StoredTest] = {}
        self._live_task_types: frozenset[str] = frozenset()
        self._running: dict[str, RunningTest] = {}
        self._draws = Draws()
        self._unknown: deque[DecisionOutcome] = deque(maxlen=MAX_DRAWS)
        """Outcomes whose decisions, which other processes made, have yet to be looked up."""
        self._failed: deque[tuple[str, Draw, Entry]] = deque(maxlen=MAX_DRAWS)
        self._revised: deque[tuple[str | None, str | None]] = deque(maxlen=MAX_DRAWS)
        """Decisions and ids of outcomes whose verdicts were replaced, as far as each is known."""
        self._begin_at = 0.0
        self._reload_at = self._changed_at = 0.0
        self._reload()

    @property
    def are_live(self) -> bool:
        """Whether a test is running on any task type, as far as this process knows."""
        return bool(self._live_task_types)

    def running(self, task_type: str, configured: Policy) -> RunningTest | None:
        """Return the A/B test that ``configured`` asks for, begun or not; None if it asks for none.

        Both the test and its policy are the same objects as long as nothing changes that matters to a choice.
        """
        exploration = configured.exploration
        if not isinstance(exploration, ABTest):
            return None
        if time.monotonic() >= self._reload_at:
            unless_late(self._reload, None)
        stored = self._stored_test(task_type, exploration)
        known = self._running.get(task_type)
        if known is None or known.configured is not configured:
            if len(self._running) >= MAX_RUNNING:  # a host that makes task types out of ids
                self._running.clear()
            known = self._running[task_type] = RunningTest(configured, exploration, stored, self._draws)
        elif known.stored is not stored:
            known = self._running[task_type] = self._updated(known, stored)
        return known

    def begin(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        """Begin a test, or continue it on the terms that are configured; return it as it is then.

        Raises StoreError if it cannot be written; it is tried again after :data:`RETRY_SECONDS`, or at the next call if
        others are writing.
        """
        if time.monotonic() < self._begin_at:
            return test
        wanted = _proposed(test, assessment, self._tests.values(), now_ms)
        if wanted is None:
            return test
        stored = test.stored
        if stored is None or not is_as_stored(wanted, stored):
            self._begin_at = time.monotonic() + RETRY_SECONDS
            try:
                stored = self._stored.begin(
                    replace(wanted, started_ms=now_ms),  # if it was ended just now
                    named=bool(test.exploration.challengers),
                )
            except StoreBusyError:
                self._begin_at = 0.0
                raise
            self._begin_at = 0.0
            with self._lock:
                self._set([*self._tests.values(), stored])
        begun = self._updated(test, stored)
        begun.settle(has_terms=True)
        self._running[assessment.task_type] = begun
        return begun

    def on_outcome(self, decision: Decision | str, entry: Entry, timeouts: Timeouts = "failure") -> None:
        """Count a first try if a test of this process drew the model of its decision. Never raises a StoreError."""
        if entry.tried:
            return
        if isinstance(decision, Decision):
            decision_id, draw = decision.decision_id, Draw.of(decision)
        else:
            decision_id, draw = decision, self._draws.open.get(decision)
        if draw is not None and is_verdict(entry.outcome, timeouts):
            self._count(decision_id, draw, entry)

    def on_joined(self, outcomes: Iterable[DecisionOutcome], timeouts: Timeouts = "failure") -> None:
        """Count first tries that the log has joined to decisions, also of other processes. Never raises a StoreError.

        Whichever comes last, the decision or the outcome: the process that writes it into the log counts it.
        """
        self._unknown.extend(joined for joined in outcomes if is_verdict(joined.outcome, timeouts))
        with suppress(StoreError):  # tried again later
            if time.monotonic() >= self._reload_at - RELOAD_SECONDS + FRESH_SECONDS:
                self._reload()  # the test may have begun with this very decision
            self._look_up()

    def on_revised(self, decision_id: str | None, outcome_id: str | None) -> None:
        """Note that the verdict of an outcome was replaced, for :meth:`revise`."""
        self._revised.append((decision_id, outcome_id))

    def revise(self, timeouts: Timeouts = "failure") -> None:
        """Exchange the verdicts that were replaced in the store; a StoreError leaves them waiting."""

        def step(
            test: StoredTest, stakes: Mapping[str, Stake], outcome: Outcome
        ) -> tuple[list[StoredContest], dict[str, Stake]]:
            return exchanged(test, stakes, outcome.grade if is_verdict(outcome, timeouts) else None)

        while revised := _pop(self._revised):
            try:
                test = self._stored.revise(*revised, step)
            except StoreError:
                self._revised.appendleft(revised)
                raise
            if test is not None:
                with self._lock:
                    self._set([*self._tests.values(), test])

    def catch_up(self) -> None:
        """Reload what other processes did, and count outcomes that are due; a StoreError leaves them waiting."""
        if time.monotonic() >= self._reload_at:
            self._reload()
        self.close()

    def close(self) -> None:
        """Count the outcomes that wait, as far as their decisions are known; a StoreError loses them."""
        self._look_up()
        for _ in range(len(self._failed)):
            if failed := _pop(self._failed):
                self._advance(*failed)

    def _updated(self, test: RunningTest, stored: StoredTest | None) -> RunningTest:
        """Return ``test`` with another state; the same object unless it splits decisions differently."""
        updated = RunningTest(test.configured, test.exploration, stored, self._draws)
        if stored is None or updated.split != test.split:
            updated.settle(test.is_settled)
            return updated
        test.stored = stored
        test.settle(test.is_settled)
        return test

    def _stored_test(self, task_type: str, exploration: ABTest) -> StoredTest | None:
        """Return the configured test from the store; None if it has not begun."""
        for fingerprint in (exploration.fingerprint, exploration.earlier_fingerprint):
            stored = self._tests.get((task_type, fingerprint))
            if stored is not None and stored.incumbent not in exploration.challengers:
                return stored
        return None

    def _look_up(self) -> None:
        """Count the outcomes of decisions that tests of other processes drew."""
        while joined := _pop(self._unknown):
            decision_id, model_id, outcome, ended_ms, _ = joined
            if not self._live_task_types or decision_id in self._draws.counted:
                continue
            try:
                decision = self._decisions.get(decision_id)
            except StoreError:
                self._unknown.appendleft(joined)
                raise
            draw = Draw.of(decision)
            if (
                decision is not None
                and draw is not None
                and decision.task_type in self._live_task_types
                and _was_tried_first(decision)
            ):
                self._count(decision_id, draw, Entry(decision.task_type, model_id, outcome, ended_ms))

    def _count(self, decision_id: str, draw: Draw, entry: Entry) -> None:
        """Count the first outcome of the model that was drawn; a fallback's says nothing about the sides."""
        if entry.model_id != draw.model_id or not self._draws.count(decision_id):
            return
        with suppress(StoreError):  # reported when it is tried again
            within(NO_WAIT if self._failed else SPARE_SECONDS, lambda: self._advance(decision_id, draw, entry))

    def _advance(self, decision_id: str, draw: Draw, entry: Entry) -> None:
        test_id, unit = draw.assignment
        stakes: dict[str, Stake] = {}

        def step(test: StoredTest) -> Sequence[StoredContest]:
            contests = advanced(test, draw, entry)
            stakes.update(stakes_of(test, contests, draw, entry))
            return contests

        try:
            test = self._stored.advance(test_id, unit, step, lambda: (decision_id, entry.ended_ms, stakes))
        except StoreError:
            self._failed.append((decision_id, draw, entry))
            raise
        if test is None:
            self._reload_at = 0.0  # ended by an operator
            return
        with self._lock:
            self._set([*self._tests.values(), test])
        if undecided_winners(test):
            self._decide(test)

    def _decide(self, test: StoredTest) -> None:
        """Give the verdicts that are due, unless outcomes are missing on one side more than on the other."""
        due = {
            contest.challenger: state_of(contest).outcomes
            for contest in undecided_winners(test)
            if state_of(contest).outcomes >= self._check_at.get((test.test_id, contest.challenger), 0.0)
        }
        if not due:
            return
        self._write_decisions()
        drawn = self._stored.drawn(test.test_id, self._now_ms())
        checked = {
            each.challenger: check(test, each, drawn).withholds for each in test.contests if each.challenger in due
        }
        for challenger, outcomes in due.items():
            if checked[challenger]:
                self._check_at[test.test_id, challenger] = outcomes * RECHECK_GROWTH
        decided = self._stored.advance(test.test_id, None, lambda test: settled(test, checked))
        if decided is not None:
            with self._lock:
                self._set([*self._tests.values(), decided])

    def _reload(self) -> None:
        read_at, tests = dated(self._stored.all)
        with self._lock:
            self._reload_at = time.monotonic() + RELOAD_SECONDS
            if read_at >= self._changed_at:
                self._set(tests[::-1])

    def _set(self, tests: Iterable[StoredTest]) -> None:
        self._changed_at = time.monotonic()
        self._tests = {(test.task_type, test.fingerprint): test for test in tests}
        self._live_task_types = frozenset(test.task_type for test in tests if _is_live(test))


def _was_tried_first(decision: LoggedDecision) -> bool:
    """Return whether no fallback had failed before the outcome of a decision: after that it is a later try."""
    outcome = decision.outcome
    return outcome is None or not any(
        each.number < outcome.number and blame_of(each.success, each.error_kind) == "model" for each in decision.tries
    )


def _pop(waiting: deque[_T]) -> _T | None:
    """Return the first that waits; None if there is none left, because another thread was quicker."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _is_live(test: StoredTest) -> bool:
    newest_ms = max([test.started_ms, *[contest.last_ms or 0 for contest in test.contests]])
    return newest_ms > time.time() * 1000 - IDLE_MS


def _proposed(test: RunningTest, assessment: Assessment, known: Iterable[StoredTest], now_ms: int) -> StoredTest | None:
    if test.stored is None:
        return proposed(test.exploration, assessment, known, now_ms)
    return on_terms_of(test.exploration, test.stored)
