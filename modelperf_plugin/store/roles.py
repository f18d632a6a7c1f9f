"""What a store promises: one narrow protocol for each role.

These promises hold for every role of every store, and one suite of contract tests checks them:

- Any thread of any process may call any method at any time.
- A failure is a :class:`~modelperf_plugin.errors.StoreError`, and leaves the store as it was before the call.
- Methods that write are one transaction each. On a store that is open for reading only they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from modelperf_plugin.store.ab_tests import StoredContest, StoredTest
from modelperf_plugin.store.decisions import (
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedDecision,
)
from modelperf_plugin.store.entries import CountedProblem, DroppedStep, Entry, Finding
from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.trends import Days, DecisionSums, TrendStep
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Faded, WatchState
from modelperf_plugin.values import Tally


class Connection(Protocol):
    """Where the store is, in which state, and how to close it."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be used and a fallback is in use; None if the database works."""

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

    def record(self, entry: Entry) -> bool:
        """Write one outcome; return False if its ``outcome_id`` is known and nothing was written."""

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new."""


class Tallies(Protocol):
    """Counts per task type and model: always the aggregate of the events and the imported sums."""

    def of(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id; models without outcomes are missing.

        The mapping includes every outcome recorded before the call, by any process. Do not modify it. As long as
        nothing changes, the same object is returned.
        """

    def all(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model."""

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the dated outcomes of each pair weigh on day ``today``: 2^(−age / half-life) each.

        Days are counted from the Unix epoch in UTC. For a model that has changed, only the days since then count.
        """

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model, by task type and model."""


class Events(Protocol):
    """The log of single outcomes, in the order of recording."""

    def after(self, event_id: int, limit: int) -> list[Event]:
        """Return up to ``limit`` outcomes recorded after ``event_id``, in order."""

    def last_id(self) -> int:
        """Return the number of the newest outcome; 0 if there is none."""

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        """Delete outcomes older than ``before_ms`` among the next thousand after ``after_id``; tallies keep them."""


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
    """The saved states of the watches over models, so that a restart can resume them."""

    def load(self) -> tuple[int | None, list[WatchState]]:
        """Return the last outcome that the watches have processed (None if none ever was), and their states then."""

    def save(self, event_id: int, states: Iterable[WatchState]) -> None:
        """Replace the saved states by those after ``event_id``, unless another process has saved later ones."""


class DecisionLog(Protocol):
    """Decisions joined with their outcomes. Never changes a tally."""

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> None:
        """Store decisions, then join outcomes to these and to older ones.

        A decision that is stored already stays as it is; an outcome without a stored decision is ignored. The first
        outcome of a decision stays, except that the chosen model's replaces a fallback's.
        """

    def get(self, decision_id: str) -> LoggedDecision | None:
        """Return a stored decision, or None."""

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""

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

    def forget(self, before_ms: int) -> int:
        """Delete up to a thousand of the oldest decisions made before ``before_ms``; return how many."""


class ABTests(Protocol):
    """The states of A/B tests, shared by all processes."""

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        """Return the tests, newest first; ended ones only on request."""

    def begin(self, test: StoredTest) -> StoredTest:
        """Begin ``test``, or continue the one with its task type and fingerprint on the terms of ``test``.

        A continued test keeps its sides. Undecided contests resume if the maximum number of outcomes has changed.
        """

    def advance(
        self, test_id: int, unit: int | None, step: Callable[[StoredTest], Sequence[StoredContest]]
    ) -> StoredTest | None:
        """Replace the contests of a test by what ``step`` returns for it; None if the test has ended.

        ``step`` only calculates: no other outcome can come between its input and its result. Nothing changes if an
        outcome of this ``unit`` has been counted before.
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


class Imports(Protocol):
    """Histories and sums imported from other places, and how far each import has come."""

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        """Return the imports of one kind, or all, newest first."""

    def pair_id(self, task_type: str, model_id: str) -> int:
        """Return the number that stands for a pair in :data:`~modelperf_plugin.store.exchange.EventRow`."""

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        """Write a batch of outcomes together with the position that it brings the import to.

        Args:
            step: the position after the batch.
            rows: the outcomes.
            outcome_ids: empty, or the id or None of each row; rows with a known id are skipped.

        Returns:
            The id of the import, and how many outcomes were new; None if another process has continued this import
            meanwhile (look its position up again).
        """

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        """Write sums, replacing earlier ones from the same source.

        Returns:
            False if the same content was imported before, or with ``once`` anything from that source.
        """

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        """Call ``compress`` and store the path that it returns; return False if there is one already.

        Only one process at a time runs ``compress``. If it raises, nothing is stored.
        """


class Attachments(Protocol):
    """Tables of other programs' databases that count as evidence."""

    def all(self) -> list[Attached]:
        """Return the attached tables."""

    def add(self, attached: Attached) -> None:
        """Attach a table."""

    def remove(self, path: str) -> bool:
        """Detach the database at ``path``; return False if it was not attached."""


class MergedExperience(Protocol):
    """Tallies of other projects, kept apart from one's own."""

    def origin(self) -> str:
        """Return the id that tells this store from others."""

    def all(self) -> list[Merged]:
        """Return the merged sources, by name."""

    def version(self) -> tuple[float, ...]:
        """Return numbers that differ whenever the merged tallies do; all 0 if there are none."""

    def priors(self) -> list[Prior]:
        """Return the tallies of other projects, by task type, model and source."""

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        """Store another project's tallies, in place of those named ``replaces``."""

    def remove(self, name: str) -> bool:
        """Delete a source; return False if there is none with that name."""


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
