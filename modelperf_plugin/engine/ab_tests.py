"""Running A/B tests: their sides stay, their state is in the store, and all processes reach the same verdict."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final

from modelperf_plugin.engine.ab_draws import MAX_DRAWS, Draw, Draws
from modelperf_plugin.engine.ab_verdicts import advanced, progress
from modelperf_plugin.errors import StoreError
from modelperf_plugin.policy import ABTest, Assessment, Choice, Policy
from modelperf_plugin.policy.exploration.ab_test import find_sides, unit_position
from modelperf_plugin.policy.quality import Timeouts, is_informative
from modelperf_plugin.store import Entry, StoredContest, StoredTest
from modelperf_plugin.store.roles import ABTests as StoredTests
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import DAY_MS, Assignment, Decision

RELOAD_SECONDS: Final = 1.0
"""How often the tests that other processes began, decided or ended are reloaded."""
RETRY_SECONDS: Final = 5.0
LOOKUP_SECONDS: Final = 6.0
"""How long an outcome waits for another process to log its decision, which it does within five seconds."""
IDLE_MS: Final = DAY_MS
"""Unknown ids are looked up only if a test of the task type began, or counted an outcome, within this time."""

_UNIT_NUMBERS: Final = 2**53


class RunningTest:
    """The A/B test configured for one task type: all that a choice needs of it."""

    def __init__(self, configured: Policy, exploration: ABTest, stored: StoredTest | None, draws: Draws) -> None:
        self.configured = configured
        self.exploration = exploration
        self.stored = stored
        """The test in the store; None until it begins."""
        self.is_settled = False
        """Whether it has begun on the terms that are configured."""
        self.split = None if stored is None else progress(exploration, stored)
        self.policy = configured if self.split is None else replace(configured, exploration=self.split)
        """The configured policy, with the sides and the progress of the test once it has begun."""
        self.draws = draws
        self._on_trial = frozenset() if self.split is None else self.split.on_trial
        self._exempted: tuple[Mapping[str, str], Mapping[str, str]] | None = None

    def without_sides(self, demotions: Mapping[str, str]) -> Mapping[str, str]:
        """Return ``demotions`` without the sides on trial; the same object as long as nothing changes."""
        if not demotions or not self._on_trial:
            return demotions
        known = self._exempted
        if known is None or known[0] is not demotions:
            rest = {model_id: reason for model_id, reason in demotions.items() if model_id not in self._on_trial}
            known = self._exempted = (demotions, rest)
        return known[1]

    def assignment(self, assessment: Assessment, choice: Choice, unit_id: str | None) -> Assignment | None:
        """Return the assignment of a choice that was left to the test; None for any other choice."""
        split = self.split
        if self.stored is None or split is None or split.final is not None or assessment.pin is not None:
            return None
        shares = dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))
        sides = [side for side in (split.incumbent, *split.challengers) if side is not None and shares.get(side)]
        if len(sides) < 2 or split.incumbent not in sides or choice.order[0] not in sides:
            return None
        position = None if unit_id is None else unit_position(split.salt, assessment.task_type, unit_id)
        return Assignment(self.stored.test_id, None if position is None else int(position * _UNIT_NUMBERS))


class ABTests:
    """The A/B tests over one store. Any thread may call any method.

    The state of a test is in the store alone, and changes there in one transaction for each outcome. So it survives
    restarts, and all processes have the same verdict. A crash between recording an outcome and its step in the test
    loses that one step; nothing is counted twice.
    """

    def __init__(self, tests: StoredTests, decisions: DecisionLog) -> None:
        self._stored = tests
        self._decisions = decisions
        self._lock = threading.Lock()
        self._tests: dict[tuple[str, str], StoredTest] = {}
        self._live_task_types: frozenset[str] = frozenset()
        self._running: dict[str, RunningTest] = {}
        self._draws = Draws()
        self._unknown: deque[tuple[float, str, Entry]] = deque(maxlen=MAX_DRAWS)
        """When to look up the decision, which another process made, with its id and its outcome."""
        self._failed: deque[tuple[Draw, Entry]] = deque(maxlen=MAX_DRAWS)
        self._begin_at = 0.0
        self._reload_at = 0.0
        self._reload()

    def running(self, task_type: str, configured: Policy) -> RunningTest | None:
        """Return the A/B test that ``configured`` asks for, begun or not; None if it asks for none.

        Both the test and its policy are the same objects as long as nothing changes that matters to a choice.
        """
        exploration = configured.exploration
        if not isinstance(exploration, ABTest):
            return None
        if time.monotonic() >= self._reload_at:
            self._reload()
        stored = self._tests.get((task_type, exploration.fingerprint))
        known = self._running.get(task_type)
        if known is None or known.configured is not configured:
            known = self._running[task_type] = RunningTest(configured, exploration, stored, self._draws)
        elif known.stored is not stored:
            known = self._running[task_type] = self._updated(known, stored)
        return known

    def begin(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        """Begin a test, or continue it on the terms that are configured; return it as it is then.

        Raises StoreError if it cannot be written; it is tried again after :data:`RETRY_SECONDS`.
        """
        if time.monotonic() < self._begin_at:
            return test
        proposed = _proposed(test.exploration, assessment, now_ms) if test.stored is None else _on_terms_of(test)
        if proposed is None:
            return test
        stored = test.stored
        if proposed != stored:
            self._begin_at = time.monotonic() + RETRY_SECONDS
            stored = self._stored.begin(replace(proposed, started_ms=now_ms))  # if it was ended just now
            self._begin_at = 0.0
            with self._lock:
                self._set([*self._tests.values(), stored])
        begun = self._updated(test, stored)
        begun.is_settled = True
        self._running[assessment.task_type] = begun
        return begun

    def on_outcome(self, decision: Decision | str, entry: Entry, timeouts: Timeouts = "failure") -> None:
        """Count an outcome if a test drew the model of its decision. Never raises a StoreError."""
        if isinstance(decision, Decision):
            if decision.assignment is None:
                return
            decision_id, draw = decision.decision_id, Draw.of(decision)
        else:
            decision_id, draw = decision, self._draws.open.get(decision)
            if draw is None and entry.task_type not in self._live_task_types:
                return
        outcome = entry.outcome
        if decision_id in self._draws.counted or not is_informative(outcome.blame, outcome.timeout, timeouts):
            return
        if draw is not None:
            self._count(decision_id, draw, entry)
        else:
            self._unknown.append((time.monotonic() + LOOKUP_SECONDS, decision_id, entry))

    def catch_up(self) -> None:
        """Reload what other processes did, and count outcomes that are due; a StoreError leaves them waiting."""
        self._count_waiting(time.monotonic())

    def close(self) -> None:
        """Count the outcomes that wait, as far as their decisions are known; a StoreError loses them."""
        self._count_waiting(inf)

    def _updated(self, test: RunningTest, stored: StoredTest | None) -> RunningTest:
        """Return ``test`` with another state; the same object unless it splits decisions differently."""
        updated = RunningTest(test.configured, test.exploration, stored, self._draws)
        if stored is None or updated.split != test.split:
            updated.is_settled = test.is_settled and stored is not None
            return updated
        test.stored = stored
        return test

    def _count_waiting(self, now: float) -> None:
        if now >= self._reload_at:
            self._reload()
        with suppress(IndexError):  # there is nothing left, or another thread was quicker
            for _ in range(len(self._failed)):
                self._advance(*self._failed.popleft())
            while self._unknown[0][0] <= now:
                self._look_up(*self._unknown.popleft())

    def _look_up(self, due_at: float, decision_id: str, entry: Entry) -> None:
        try:
            draw = Draw.of(self._decisions.get(decision_id))
        except StoreError:
            self._unknown.appendleft((due_at, decision_id, entry))
            raise
        if draw is not None:
            self._count(decision_id, draw, entry)

    def _count(self, decision_id: str, draw: Draw, entry: Entry) -> None:
        """Count the first outcome of the model that was drawn; a fallback's says nothing about the sides."""
        if entry.model_id != draw.model_id or not self._draws.count(decision_id):
            return
        with suppress(StoreError):  # reported when it is tried again
            self._advance(draw, entry)

    def _advance(self, draw: Draw, entry: Entry) -> None:
        test_id, unit = draw.assignment
        try:
            test = self._stored.advance(test_id, unit, lambda test: advanced(test, draw, entry))
        except StoreError:
            self._failed.append((draw, entry))
            raise
        if test is None:
            self._reload_at = 0.0  # ended by an operator
            return
        with self._lock:
            self._set([*self._tests.values(), test])

    def _reload(self) -> None:
        tests = self._stored.all()
        with self._lock:
            self._reload_at = time.monotonic() + RELOAD_SECONDS
            self._set(tests[::-1])

    def _set(self, tests: Sequence[StoredTest]) -> None:
        self._tests = {(test.task_type, test.fingerprint): test for test in tests}
        self._live_task_types = frozenset(test.task_type for test in tests if _is_live(test))


def _is_live(test: StoredTest) -> bool:
    newest_ms = max([test.started_ms, *[contest.last_ms or 0 for contest in test.contests]])
    return newest_ms > time.time() * 1000 - IDLE_MS


def _on_terms_of(test: RunningTest) -> StoredTest | None:
    """Return a test that has begun, on the terms that are configured now."""
    terms, stored = test.exploration, test.stored
    return stored and replace(
        stored, alpha=terms.alpha, min_samples=terms.min_samples, max_samples=terms.max_samples, promote=terms.promote
    )


def _proposed(exploration: ABTest, assessment: Assessment, now_ms: int) -> StoredTest | None:
    """Return the test as it would begin now; None while a side that is not named cannot be found."""
    rows = assessment.ranking.rows[: assessment.available]
    incumbent, challengers = find_sides(rows, exploration.incumbent, exploration.challengers)
    if incumbent is None or not challengers:
        return None
    return StoredTest(
        task_type=assessment.task_type,
        fingerprint=exploration.fingerprint,
        incumbent=incumbent,
        share=exploration.share,
        salt=exploration.salt,
        alpha=exploration.alpha,
        min_samples=exploration.min_samples,
        max_samples=exploration.max_samples,
        promote=exploration.promote,
        started_ms=now_ms,
        contests=tuple([StoredContest(challenger, ()) for challenger in challengers]),
    )
