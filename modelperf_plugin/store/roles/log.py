"""Decisions, and the A/B tests that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decision_summary import DecisionSummary
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP, JoinedOutcome, LoggedDecision
from modelperf_plugin.store.entries import Recorded
from modelperf_plugin.values import Outcome


class DecisionHistory(Protocol):
    """Decisions joined with their outcomes, to read."""

    def get(self, decision_id: str) -> LoggedDecision | None:
        """Return a stored decision, or None."""

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""

    def follow_ups(self, decision_id: str) -> list[LoggedDecision]:
        """Return the decisions made for the same task after the failure of ``decision_id``, oldest first."""

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        """Return the newest decisions, newest first: those of ``task_type``, made at ``since_ms`` or later."""

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        """Return up to ``limit`` decisions stored after ``number``, in order, each with its own number.

        Meant for reading a large log in batches.
        """

    def last_number(self) -> int:
        """Return the number of the decision stored last; 0 if there is none."""

    def further_outcomes(self, decision_ids: Sequence[str]) -> Mapping[str, Sequence[JoinedOutcome]]:
        """Return the outcomes of decisions besides the one that :meth:`after` returns, in the order of arrival.

        Decisions with no further outcome are missing.
        """

    def summary(self, now_ms: int) -> DecisionSummary:
        """Return how many decisions there are, have their outcome, wait for it, or are overdue at ``now_ms``."""


class DecisionLog(DecisionHistory, Protocol):
    """The log of decisions. Never changes a tally."""

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        """Store decisions, then join outcomes to these and to older ones; return the outcomes that were joined.

        A decision that is stored already stays as it is. The outcomes of a decision are kept in the order of arrival,
        up to :data:`~modelperf_plugin.store.decisions.MAX_LOGGED_TRIES`. One is the outcome of the decision, and
        returned as joined: the first, until the chosen model's first one replaces a fallback's. An outcome without a
        stored decision waits in the store, and is added when the decision is stored; of more than
        :data:`~modelperf_plugin.store.decisions.MAX_UNMATCHED_OUTCOMES` the oldest are dropped.
        """

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        """Give the last outcome of a decision the verdict of ``outcome``, or let it wait for the decision.

        Meant for a decision that is not known; the verdict is recorded as an outcome if there is none.
        """

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        """Delete up to ``limit`` of the oldest decisions made before ``before_ms``; return how many.

        The same goes for outcomes that wait for their decision.
        """


class UnmatchedOutcomes(Protocol):
    """Outcomes that name a decision which is not in the log, or not yet."""

    def of(self, decision_id: str) -> list[DecisionOutcome]:
        """Return the outcomes that wait for ``decision_id``, in the order of arrival."""


class ABTests(Protocol):
    """The states of A/B tests, shared by all processes."""

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        """Return the tests, newest first; ended ones only on request."""

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        """Begin ``test``, or continue the one with its task type and fingerprint on the terms of ``test``.

        A continued test keeps its incumbent and the evidence of its contests. If its challengers are ``named``, those
        that are new join with the state given, those that are missing are withdrawn, and all get their shares;
        otherwise it keeps its challengers. A test that is to be continued under another fingerprint is named by its
        ``test_id``. A test ends if its incumbent is to be a challenger. Undecided contests resume if the maximum number
        of outcomes has changed.
        """

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        """Replace the contests of a test by what ``step`` returns for it; None if the test has ended.

        ``step`` only calculates: no other outcome can come between its input and its result. A contest stays as it is
        if it has counted an outcome of this ``unit`` before. ``stakes``, called after it, returns the decision of the
        outcome, when it ended, and what each contest staked on it: that is kept for as long as test and decision are.
        """

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        """Replace the contests of a test and its stakes after an outcome that it counted got another verdict.

        The outcome is that in the decision, which is known by its own id or by that of one of its outcomes. None if no
        test has a stake in it, or the test has ended.
        """

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        """Return how many decisions of a test were made, and how many have an outcome, by model and probabilities.

        Counts the newest decisions in the log that are older than thrice the mean time that a decision of the test
        waited for its outcome. Old are those older than twice the longest such time. Either is at most half the age of
        the test. Of each unit, counts the first decision.
        """

    def end(self, task_type: str, ended_ms: int) -> int:
        """End the tests of a task type; return how many there were."""
