"""A/B tests that go on: their sides stay, their evidence is in the store, their verdicts hold for every process."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import exp, inf
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.policy import ABTest, Assessment, Choice, Policy
from modelperf_plugin.policy.exploration.ab_test import Split, find_sides, unit_position
from modelperf_plugin.policy.quality import Timeouts
from modelperf_plugin.policy.sequential import Side, Verdict, Versus, verdict
from modelperf_plugin.policy.sequential.versus import LARGEST_LOG
from modelperf_plugin.store import Entry, LoggedDecision, PairVerdict, Store, StoredPair, StoredTest
from modelperf_plugin.types import CALLER_ERROR_KINDS, OUTAGE_KINDS, Assignment, Decision, Outcome

RELOAD_SECONDS: Final = 1.0
"""How soon the tests that other processes began, decided or ended are heeded."""
RETRY_SECONDS: Final = 5.0
"""A test that could not be begun is tried again after so long."""
UNKNOWN_SECONDS: Final = 6.0
"""An outcome waits so long for the record of a decision that another process made: that is written within five."""
MOST: Final = 10_000
"""So many decisions, and outcomes that wait, are remembered at most."""
_UNIT_NUMBERS: Final = 2**53


class Drawn(NamedTuple):
    """A choice that a test made: what its outcome is judged with."""

    assignment: Assignment
    """The test, and the unit."""
    model_id: str
    """The side that was drawn."""
    shares: dict[str, float]
    """The probability with which each model would have been."""

    @classmethod
    def of(cls, decision: Decision | LoggedDecision | None) -> Self | None:
        """Return what a test drew; None if no test made this decision."""
        if decision is None or decision.assignment is None:
            return None
        if isinstance(decision, Decision):
            shares = decision.propensities
        else:
            shares = {row.model_id: row.propensity for row in decision.candidates}
        return cls(decision.assignment, decision.model_id, {name: share for name, share in shares.items() if share})


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

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._tests: dict[tuple[str, str], StoredTest] = {}
        self._task_types: frozenset[str] = frozenset()
        self._in_force: dict[str, tuple[Policy, Policy]] = {}
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
        split = progress(exploration, test)
        known = self._in_force.get(task_type)
        if known is None or known[0] is not configured or known[1].exploration != split:
            known = self._in_force[task_type] = (configured, replace(configured, exploration=split))
        return known[1]

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
        proposed = _proposed(exploration, assessment, now_ms)
        if test is not None and (proposed is None or test.terms == proposed.terms):
            self._agreed[task_type] = configured
            return False
        if proposed is None:
            return False
        self._begin_at = time.monotonic() + RETRY_SECONDS
        begun = self._store.ab_tests.begin(proposed)
        self._begin_at = 0.0
        with self._lock:
            self._keep([*self._tests.values(), begun])
        self._agreed[task_type] = configured
        return True

    def spared(self, policy: Policy, demoted: Mapping[str, str]) -> Mapping[str, str]:
        """Return ``demoted`` without the sides of a test that goes on; the same object as long as nothing changes."""
        split = policy.exploration
        if not demoted or not isinstance(split, Split) or split.final is not None:
            return demoted
        known = self._spared
        if known is None or known[0] != split or known[1] is not demoted:
            sides = {split.incumbent, *split.challengers} - split.settled
            rest = {model_id: reason for model_id, reason in demoted.items() if model_id not in sides}
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
        elif entry.task_type in self._task_types:
            decision_id, drawn = decision, self._choices.get(decision)
        else:
            return
        if not counts(entry.outcome, timeouts) or decision_id in self._counted:
            return
        if drawn is not None:
            self._take_in(decision_id, drawn, entry)
        elif not isinstance(decision, Decision):
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
            drawn = Drawn.of(self._store.decision(unknown.decision_id))
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
            test = self._store.ab_tests.advance(test_id, unit, lambda test: judged(test, drawn, entry))
        except StoreError:
            self._failed.append((drawn, entry))
            raise
        if test is None:
            self._reload_at = 0.0  # ended by an operator
            return
        with self._lock:
            self._keep([*self._tests.values(), test])

    def _reload(self) -> None:
        tests = self._store.ab_tests.tests()
        with self._lock:
            self._reload_at = time.monotonic() + RELOAD_SECONDS
            self._keep(tests[::-1])

    def _keep(self, tests: Sequence[StoredTest]) -> None:
        self._tests = {(test.task_type, test.fingerprint): test for test in tests}
        self._task_types = frozenset(test.task_type for test in tests)


def assignment(assessment: Assessment, choice: Choice, unit_id: str | None) -> Assignment | None:
    """Return the assignment of a choice that was left to a test that goes on; None for any other choice."""
    split = assessment.policy.exploration
    if not isinstance(split, Split) or split.test_id is None or split.final is not None or assessment.pin is not None:
        return None
    shares = dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))
    sides = [side for side in (split.incumbent, *split.challengers) if side is not None and shares.get(side)]
    if len(sides) < 2 or split.incumbent not in sides or choice.order[0] not in sides:
        return None
    unit = None if unit_id is None else int(unit_position(split.salt, assessment.task_type, unit_id) * _UNIT_NUMBERS)
    return Assignment(split.test_id, unit)


def counts(outcome: Outcome, timeouts: Timeouts) -> bool:
    """Return whether an outcome says something about the model: neither an outage nor the caller's error."""
    if outcome.success:
        return True
    if outcome.timeout and timeouts != "failure":
        return False
    return outcome.error_kind not in OUTAGE_KINDS | CALLER_ERROR_KINDS


def judged(test: StoredTest, drawn: Drawn, entry: Entry) -> list[StoredPair]:
    """Return the pairs of a test after another outcome: that of the side which was drawn."""
    if entry.task_type != test.task_type:
        return list(test.pairs)
    return [_judged(test, pair, drawn, entry) for pair in test.pairs]


def _judged(test: StoredTest, pair: StoredPair, drawn: Drawn, entry: Entry) -> StoredPair:
    incumbent, challenger = drawn.shares.get(test.incumbent, 0.0), drawn.shares.get(pair.challenger, 0.0)
    if drawn.model_id not in {test.incumbent, pair.challenger} or not incumbent or not challenger:
        return pair
    side: Side = "B" if drawn.model_id == pair.challenger else "A"
    state = state_of(pair)
    evidence = state.outcomes >= test.min_samples  # the first outcomes to come are not a fair sample of the slower side
    state = state.updated(side, entry.outcome.success, challenger / (incumbent + challenger), evidence=evidence)
    pair = pair._replace(state=tuple(state.as_list()), last_ms=entry.ended_ms)
    if pair.verdict is not None:
        return pair
    found = standing(test, pair)
    if not found.decided:
        return pair
    words: Mapping[str | None, PairVerdict] = {"A": "incumbent", "B": "challenger", None: "none"}
    return pair._replace(verdict=words[found.winner], decided_ms=entry.ended_ms)


def state_of(pair: StoredPair) -> Versus:
    """Return the evidence on a challenger, side B, against its incumbent, side A."""
    with suppress(InvalidValueError):  # of another version, or none yet: the evidence begins anew
        return Versus.from_list(pair.state)
    return Versus()


def level_of(test: StoredTest) -> float:
    """Return the e-value that decides a pair: the higher the more challengers, so that ``alpha`` holds for all."""
    return len(test.pairs) / test.alpha


def standing(test: StoredTest, pair: StoredPair) -> Verdict:
    """Return what the evidence on a challenger says by the present terms, whatever was decided before."""
    names = (test.incumbent, pair.challenger)
    return verdict(state_of(pair), level_of(test), test.min_samples, test.max_samples, names)


def in_words(test: StoredTest, pair: StoredPair) -> str:
    """Return the verdict on a challenger in one sentence; what was decided stays decided."""
    if pair.verdict is None:
        return standing(test, pair).text
    state = state_of(pair)
    if pair.verdict == "none":
        return f"no winner within {state.outcomes:,} outcomes; {test.incumbent} stays"
    found = standing(test, pair)
    sides = [(test.incumbent, found.a), (pair.challenger, found.b)]
    (better, rate), (_, other) = sides if pair.verdict == "incumbent" else sides[::-1]
    peak = exp(min(state.peak, LARGEST_LOG))
    return (
        f"{better} is better: {rate.rate or 0.0:.3f} against {other.rate or 0.0:.3f} "
        f"(largest e-value {peak:.3g}, {level_of(test):g} needed)"
    )


def progress(exploration: ABTest, test: StoredTest) -> Split:
    """Return how a test spreads decisions at this point, by its verdicts and terms."""
    winners = [pair for pair in test.pairs if pair.verdict == "challenger"]
    over = {pair.challenger for pair in test.pairs if pair.verdict == "none"}
    beaten = {pair.challenger for pair in test.pairs if pair.verdict == "incumbent"}
    settled = frozenset(over | beaten if test.promote else over)
    final, why = None, ""
    if winners and test.promote:
        final = max(winners, key=lambda pair: standing(test, pair).b.rate or 0.0).challenger
        why = f"won the A/B test against {test.incumbent}"
    elif len(settled) == len(test.pairs):
        final = test.incumbent
        why = "the A/B test is over without a winner" if over else "won the A/B test"
    return exploration.split(
        test.incumbent,
        tuple([pair.challenger for pair in test.pairs]),
        settled=settled,
        final=final,
        why=why,
        test_id=test.test_id,
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
        pairs=tuple([StoredPair(each, ()) for each in challengers]),
    )
