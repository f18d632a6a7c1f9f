"""What a store promises: one narrow protocol for each role.

These promises hold for every role of every store, and one suite of contract tests checks them:

- Any thread of any process may call any method at any time.
- A failure is a :class:`~modelperf_plugin.errors.StoreError`, and leaves the store as it was before the call.
- Methods that write are one transaction each. On a store that is open for reading only they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_summary import DecisionSummary
from modelperf_plugin.store.decisions import (
    DECISIONS_PER_STEP,
    DecisionOutcome,
    DecisionRecord,
    JoinedOutcome,
    Joining,
    LoggedDecision,
)
from modelperf_plugin.store.entries import CountedProblem, DroppedStep, Entry, Finding, Recorded
from modelperf_plugin.store.spending import CostEvent, CostSums
from modelperf_plugin.store.trends import Days, DecisionSums, TrendStep
from modelperf_plugin.store.watches import (
    Baseline,
    Change,
    Demotion,
    Direction,
    Event,
    Faded,
    PastCosts,
    Revision,
    WatchKey,
    WatchState,
)
from modelperf_plugin.values import Durations, LaterTries, Outcome, Tally, Tried

Span = tuple[str, str]
"""The first and the last of the task types that are meant, in the order of their characters."""
EVERYTHING: Final[Span] = ("", "\U0010ffff")
"""The span of all task types."""


class Connection(Protocol):
    """Where the store is, in which state, and how to close it."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be used and a fallback is in use; None if the database works."""

    @property
    def busy(self) -> bool:
        """Whether others have kept the database busy for so long that outcomes wait to be moved into it."""

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only."""

    @property
    def note(self) -> str | None:
        """What the answers do not include, if anything."""

    def close(self) -> None:
        """Release all resources. Closing twice is fine; any other call afterwards is a StoreError."""


class Outcomes(Protocol):
    """Records outcomes.

    An outcome is stored as a whole (event, tally, daily roll-up) or not at all. Once a method has returned, the
    outcome survives the death of the process; with ``durability = "full"`` also a loss of power.
    """

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        """Write one outcome; say whether it is new, or has replaced the verdict of a known one.

        If its ``outcome_id`` is known, only its verdict may change: success, timeout, error kind and score as a whole,
        tokens and cost where they are given. Event, sums and decision log are corrected as if the first verdict had
        never been, which is kept. Nothing happens if it is the same, or of another task type or model; if the outcome
        came with a time, and the verdict in force was given later; and if the event was dropped, which is logged.

        With ``joining`` its decision is stored in the same transaction, if the store can; otherwise the outcome alone.
        """

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new or have changed a verdict."""


class Tallies(Protocol):
    """Counts per task type and model: always the aggregate of the events and the imported sums."""

    @property
    def revision(self) -> object:
        """Changes when :meth:`of` has found that others may have recorded outcomes, of any task type.

        Outcomes that this object's owner records one by one do not change it.
        """

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id; models without outcomes are missing.

        The mapping includes every outcome recorded before the call, by any process. Do not modify it. As long as
        nothing changes, the same object is returned.
        """

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        """Return the later tries of ``task_type`` by model id and by what had failed before.

        Models without later tries are missing. Sums may be below the tally's ``later_*`` counts: of some later tries it
        is not known what had failed, and of many sets of a pair only those with the most tries may be read. Kept like
        the answers of :meth:`of`, and at least as new as those before it. Do not modify it.
        """

    def all(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model; takes long on a large store."""

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        """Return the tallies of the next task types after ``after``, by task type and model, in order.

        These are whole task types with up to ``pairs`` pairs together, at least one task type; none at the end.
        """

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the dated outcomes of each pair ``within`` weigh on day ``today``: 2^(−age / half-life) each.

        Days are counted from the Unix epoch in UTC. For a model that has changed, only the days since then count.
        """

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        """Return how long the tasks of each pair ``within`` took, as far as hosts have reported it.

        Successes and the model's own failures count, each 2^(−age / half-life) on day ``today``, where the ages are
        those of periods of 28 days; with a half-life of 0 nothing fades. Outcomes that are spooled follow once they are
        in the database.
        """

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        """Return what tasks of ``task_type`` have cost, as of day ``today``: 2^(−age / half-life) each; 0: all count.

        Only costs since the last announced change of a model count, and since ``since_ms`` of it.
        """

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model, by task type and model; None: on all of them."""


class Events(Protocol):
    """The log of single outcomes, in the order of recording."""

    def after(self, event_id: int, limit: int) -> list[Event]:
        """Return up to ``limit`` outcomes recorded after ``event_id``, in order."""

    def last_id(self) -> int:
        """Return the number of the newest outcome; 0 if there is none."""

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        """Return up to ``limit`` verdicts that were replaced after the one with this number, in order."""

    def last_revision(self) -> int:
        """Return the number of the verdict that was replaced last; 0 if there is none."""

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        """Return outages after which a model may be out for long, of those after ``after_id`` and up to ``until_id``.

        These are the ones of models that are gone, or whose provider said when to retry, up to a thousand of the
        newest, in order; not those that ended before the model's last answer. One stamped later than ``now_ms``
        counts as one of then.
        """

    def mark_back(self, model_id: str, event_id: int) -> None:
        """Note that an operator has declared a model available, and the newest outcome then."""

    def back(self) -> dict[str, int]:
        """Return the models that an operator has declared available, and the newest outcome then."""

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        """Delete up to a thousand outcomes older than ``before_ms`` from the next ones after ``after_id``.

        Tallies keep them. A step takes a few milliseconds; it skips several thousand outcomes if none of them is old.
        """


class Spending(Protocol):
    """What outcomes have cost, by the time at which they ended."""

    def after(self, event_id: int, limit: int) -> list[CostEvent]:
        """Return the costs of up to ``limit`` outcomes recorded after ``event_id``, in order."""

    def by_day(self, first_day: int, task_type: str | None = None, model_id: str | None = None) -> CostSums:
        """Return the costs of each day from ``first_day`` on, counted from the Unix epoch in UTC.

        All outcomes of ``task_type`` are counted, but only the costs of ``model_id`` summed; None means all of them
        together. Outcomes that retention has deleted are included.
        """

    def by_step(
        self, step_ms: int, since_ms: int, most: int, task_type: str | None = None, model_id: str | None = None
    ) -> CostSums:
        """Return the costs of shorter steps of time, of outcomes since ``since_ms``.

        The same as :meth:`by_day`, but only the ``most`` outcomes recorded last are read.
        """


class Changes(Protocol):
    """Changes of models, detected or announced."""

    def all(self) -> list[Change]:
        """Return the changes of all models, newest first."""

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        """Store a change and the counts before it; return False if this change is stored already.

        Args:
            model_id: the model that changed.
            direction: whether it does better or worse since, or the change was announced.
            events: the last outcome before the change, and the one at which it was detected.
            moments_ms: when these two ended, in milliseconds since the Unix epoch.
            evidence: the likelihood ratio of change against no change; None if the change was announced.
            rates: the success rate expected since then, by task type.
        """


class Demotions(Protocol):
    """Demotions by evidence: at most one in force for a task type and model."""

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first."""

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        """Demote a model on a task type; return False if it is demoted already."""

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model; return False if it was not demoted."""


class WatchStates(Protocol):
    """The saved states of the watches, so that a restart can resume them.

    A position goes with them: the last outcome that is part of them, whichever process has saved them.
    """

    def load(self) -> tuple[int | None, list[WatchState]]:
        """Return the position (None if nothing was saved) and all states; takes long on a large store."""

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of models on all task types, the fit included."""

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of one pair."""

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        """Delete the states of ``ended`` watches and replace those in ``states``; all others stay as they are.

        ``event_id`` becomes the position. Nothing is changed if another process has saved a later one.
        """


class DecisionLog(Protocol):
    """Decisions joined with their outcomes. Never changes a tally."""

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

    def summary(self, now_ms: int) -> DecisionSummary:
        """Return how many decisions there are, have their outcome, wait for it, or are overdue at ``now_ms``."""

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


class Trends(Protocol):
    """Counts over time, from the daily roll-up: no query takes longer because there are more outcomes.

    Imported sums belong to no day and are not included.
    """

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        """Return the counts of each pair over ``days``, sorted by task type and model; ``last_used_ms`` is None."""

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        """Return the counts of each pair in each step that has outcomes, oldest first for each pair."""

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        """Return the counts of each task type over ``days``, all models together."""

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        """Return the counts of each task type in each step that has outcomes, all models together, in no order."""

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        """Summarise the newest :data:`~modelperf_plugin.store.trends.MAX_SAMPLED_DECISIONS` decisions of ``days``."""

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        """Return decisions of ``days``, newest first, from the same sample as :meth:`decision_sums`."""


class Problems(Protocol):
    """Failures that a host did not notice, counted by kind."""

    def add(self, problem: CountedProblem) -> None:
        """Add a failure to the count of its kind."""

    def all(self) -> list[CountedProblem]:
        """Return the failures, newest first."""

    def clear(self) -> None:
        """Delete all failures."""


class Maintenance(Protocol):
    """The health of the store."""

    def check(self) -> list[Finding]:
        """Examine the store; may take a while on a large one."""
