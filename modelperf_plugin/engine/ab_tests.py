"""A/B tests that go on: their sides stay, their evidence is in the store, their verdicts hold for every process."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final, NamedTuple

from modelperf_plugin.engine.ab_verdicts import Drawn, counts, judged, progress
from modelperf_plugin.errors import StoreError
from modelperf_plugin.policy import ABTest, Assessment, Policy
from modelperf_plugin.policy.exploration.ab_test import Split, find_sides
from modelperf_plugin.policy.quality import Timeouts
from modelperf_plugin.store import Entry, StoredContest, StoredTest
from modelperf_plugin.store.roles import ABTests as StoredTests
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import Decision

RELOAD_SECONDS: Final = 1.0
"""How soon the tests that other processes began, decided or ended are heeded."""
RETRY_SECONDS: Final = 5.0
"""A test that could not be begun is tried again after so long."""
UNKNOWN_SECONDS: Final = 6.0
"""An outcome waits so long for the record of a decision that another process made: that is written within five."""
IDLE_MS: Final = 86_400_000
"""Ids that are not known are looked up only where a test has begun, or has counted an outcome, within a day."""
MOST: Final = 10_000
"""So many decisions, and outcomes that wait, are remembered at most."""


class _Unknown(NamedTuple):
    decision_id: str
    entry: Entry
    look_at: float


class ABTests:
    """The A/B tests over one store. Any thread may call any method.

    The state of a test is in the store alone, and changes there in one transaction for each outcome. So it survives
    restarts, and all processes have the same verdict. A crash between the record of an outcome and its step in the
    test loses that one step; nothing is counted twice.
    """

    def __init__(self, tests: StoredTests, decisions: DecisionLog) -> None:
        self._stored = tests
        self._decisions = decisions
        self._lock = threading.Lock()
        self._tests: dict[tuple[str, str], StoredTest] = {}
        self._task_types: frozenset[str] = frozenset()
        self._in_force: dict[str, tuple[Policy, StoredTest, Policy]] = {}
        self._agreed: dict[str, Policy] = {}
        self._spared: tuple[Split, Mapping[str, str], Mapping[str, str]] | None = None
        self._choices: dict[str, Drawn] = {}
        self._counted: dict[str, None] = {}
        self._unknown: deque[_Unknown] = deque(maxlen=MOST)
        self._failed: deque[tuple[Drawn, Entry]] = deque(maxlen=MOST)
        self._process = os.getpid()
        self._begin_at = 0.0
        self._reload_at = 0.0
        self._reload()

    def policy(self, configured: Policy, task_type: str) -> Policy:
        """Return the policy with the sides, and the progress, of the test that goes on; as configured without one."""
        exploration = configured.exploration
        if not isinstance(exploration, ABTest):
            return configured
        if time.monotonic() >= self._reload_at:
            self._reload()
        test = self._tests.get((task_type, exploration.fingerprint))
        if test is None:
            return configured
        known = self._in_force.get(task_type)
        if known is not None and known[0] is configured and known[1] is test:
            return known[2]
        split = progress(exploration, test)
        if known is not None and known[0] is configured and known[2].exploration == split:
            policy = known[2]  # the same object: what was made of it before holds
        else:
            policy = replace(configured, exploration=split)
        self._in_force[task_type] = (configured, test, policy)
        return policy

    def begin(self, configured: Policy, assessment: Assessment, now_ms: int) -> bool:
        """Begin the test, or tell the one that goes on its present terms; return whether anything is new.

        Raises:
            StoreError: it could not be written; it is tried again after a while, and there is no test until then.
        """
        exploration, task_type = configured.exploration, assessment.task_type
        if not isinstance(exploration, ABTest):
            return False
        test = self._tests.get((task_type, exploration.fingerprint))
        if (test is not None and self._agreed.get(task_type) is configured) or time.monotonic() < self._begin_at:
            return False
        proposed = _proposed(exploration, assessment, now_ms) if test is None else _on_terms_of(exploration, test)
        if proposed is None:
            return False
        if proposed == test:
            self._agreed[task_type] = configured
            return False
        self._begin_at = time.monotonic() + RETRY_SECONDS
        begun = self._stored.begin(replace(proposed, started_ms=now_ms))  # if it was ended just now
        self._begin_at = 0.0
        with self._lock:
            self._keep([*self._tests.values(), begun])
        self._agreed[task_type] = configured
        return True

    def spared(self, policy: Policy, demoted: Mapping[str, str]) -> Mapping[str, str]:
        """Return ``demoted`` without the sides of a test that goes on; the same object as long as nothing changes."""
        split = policy.exploration
        if not demoted or not isinstance(split, Split) or not split.on_trial:
            return demoted
        known = self._spared
        if known is None or known[0] != split or known[1] is not demoted:
            rest = {model_id: reason for model_id, reason in demoted.items() if model_id not in split.on_trial}
            known = self._spared = (split, demoted, rest)
        return known[2]

    def made(self, decision: Decision) -> None:
        """Remember a decision that a test made: its host may hand back no more than the id."""
        drawn = Drawn.of(decision)
        if drawn is None:
            return
        with self._lock:
            self._choices[decision.decision_id] = drawn
            if len(self._choices) > MOST:
                del self._choices[next(iter(self._choices))]

    def ended(self, decision: Decision | str, entry: Entry, timeouts: Timeouts = "failure") -> None:
        """Take in an outcome if a test made the decision that it belongs to. Never raises a StoreError.

        ``timeouts`` says what a failed timeout counts as.
        """
        if isinstance(decision, Decision):
            decision_id, drawn = decision.decision_id, Drawn.of(decision)
        else:
            decision_id, drawn = decision, self._choices.get(decision)
        made_elsewhere = drawn is None and decision_id is decision and entry.task_type in self._task_types
        if (drawn is None and not made_elsewhere) or decision_id in self._counted:
            return
        if not counts(entry.outcome, timeouts):
            return
        if drawn is not None:
            self._take_in(decision_id, drawn, entry)
        else:
            self._unknown.append(_Unknown(decision_id, entry, time.monotonic() + UNKNOWN_SECONDS))

    def catch_up(self) -> None:
        """Heed what others have done, and take in the outcomes that had to wait.

        Raises:
            StoreError: the store fails; what waits goes on waiting.
        """
        self._take_in_waiting(time.monotonic())

    def close(self) -> None:
        """Take in what waits, as far as it can be told whose it is.

        Raises:
            StoreError: the store fails; what waits is lost.
        """
        self._take_in_waiting(inf)

    def _take_in_waiting(self, now: float) -> None:
        if os.getpid() != self._process:  # forked: what waits is the parent's
            self._process = os.getpid()
            self._unknown.clear()
            self._failed.clear()
        if now >= self._reload_at:
            self._reload()
        with suppress(IndexError):  # there is nothing left, or another thread was quicker
            for _ in range(len(self._failed)):
                self._advance(*self._failed.popleft())
            while self._unknown[0].look_at <= now:
                self._look_up(self._unknown.popleft())

    def _look_up(self, unknown: _Unknown) -> None:
        try:
            drawn = Drawn.of(self._decisions.get(unknown.decision_id))
        except StoreError:
            self._unknown.appendleft(unknown)
            raise
        if drawn is not None:
            self._take_in(unknown.decision_id, drawn, unknown.entry)

    def _take_in(self, decision_id: str, drawn: Drawn, entry: Entry) -> None:
        """Count the outcome of the model that was drawn, the first one; a fallback's says nothing about the sides."""
        if entry.model_id != drawn.model_id:
            return
        with self._lock:
            if decision_id in self._counted:
                return
            self._counted[decision_id] = None
            self._choices.pop(decision_id, None)
            if len(self._counted) > MOST:
                del self._counted[next(iter(self._counted))]
        with suppress(StoreError):  # said when it is tried again
            self._advance(drawn, entry)

    def _advance(self, drawn: Drawn, entry: Entry) -> None:
        test_id, unit = drawn.assignment
        try:
            test = self._stored.advance(test_id, unit, lambda test: judged(test, drawn, entry))
        except StoreError:
            self._failed.append((drawn, entry))
            raise
        if test is None:
            self._reload_at = 0.0  # ended by an operator
            return
        with self._lock:
            self._keep([*self._tests.values(), test])

    def _reload(self) -> None:
        tests = self._stored.all()
        with self._lock:
            self._reload_at = time.monotonic() + RELOAD_SECONDS
            self._keep(tests[::-1])

    def _keep(self, tests: Sequence[StoredTest]) -> None:
        self._tests = {(test.task_type, test.fingerprint): test for test in tests}
        self._task_types = frozenset(test.task_type for test in tests if _is_live(test))


def _is_live(test: StoredTest) -> bool:
    newest_ms = max([test.started_ms, *[contest.last_ms or 0 for contest in test.contests]])
    return newest_ms > time.time() * 1000 - IDLE_MS


def _on_terms_of(exploration: ABTest, test: StoredTest) -> StoredTest:
    """Return a test that goes on, on the terms that are configured now."""
    return replace(
        test,
        alpha=exploration.alpha,
        min_samples=exploration.min_samples,
        max_samples=exploration.max_samples,
        promote=exploration.promote,
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
        contests=tuple([StoredContest(each, ()) for each in challengers]),
    )
