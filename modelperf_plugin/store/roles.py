"""What a store promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from modelperf_plugin.store.ab_tests import StoredPair, StoredTest
from modelperf_plugin.store.decisions import (
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedDecision,
)
from modelperf_plugin.store.exchange import Exchange
from modelperf_plugin.store.trends import Trends
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Faded, WatchState
from modelperf_plugin.values import Outcome, Tally


class Entry(NamedTuple):
    """One outcome on its way into a store; its values were checked before."""

    task_type: str
    """The class of work."""
    model_id: str
    """The model that did it."""
    outcome: Outcome
    """How it ended."""
    ended_ms: int
    """When, in milliseconds since the Unix epoch."""


class CountedProblem(NamedTuple):
    """A kind of failure that a host did not notice."""

    kind: str
    """Where it happened, for example ``on_task_complete``."""
    message: str
    """What happened, when it first did."""
    times: int
    """How often."""
    first_ms: int
    """When first, in milliseconds since the Unix epoch."""
    last_ms: int
    """When last, in milliseconds since the Unix epoch."""


class Finding(NamedTuple):
    """One thing that a health check looked at."""

    name: str
    """What was looked at, for example ``integrity``."""
    ok: bool
    """Whether it is as it should be."""
    message: str
    """One sentence for a person: what was found, and what to do if it is not ok."""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return self._asdict()


class DroppedStep(NamedTuple):
    """What one step of dropping did."""

    looked_at: int
    """How many events it looked at; fewer than a thousand at the end."""
    dropped: int
    """How many of them were too old."""
    last_id: int
    """Where the next step begins."""


class Monitoring(Protocol):
    """The part of a store that watches over models use. Any thread may call any method at any time."""

    def events_after(self, event_id: int, limit: int) -> list[Event]:
        """Return at most ``limit`` outcomes recorded after ``event_id``, in their order."""

    def last_event_id(self) -> int:
        """Return the number of the newest outcome; 0 if there is none."""

    def changes(self) -> list[Change]:
        """Return the changes of models, newest first."""

    def add_change(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        """Note a change and what is evidence no more, in one transaction; return False if it is noted already.

        ``events`` and ``moments_ms`` are those after which it happened and at which it was noticed; ``rates`` what is
        expected of the model since, by task type.
        """

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model, by task type and model."""

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the dated outcomes of each pair weigh on the day ``today``: 2^(−age/half-life) each.

        Days are counted from the Unix epoch in UTC. Of a model that has changed only the days after that count.
        """

    def demotions(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first."""

    def add_demotion(
        self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str
    ) -> bool:
        """Demote a model on a task type; return False if it is demoted already."""

    def end_demotion(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model; return False if it was not demoted."""

    def watches(self) -> tuple[int | None, list[WatchState]]:
        """Return the last outcome that the watches have seen (None if none ever was), and their states then."""

    def save_watches(self, event_id: int, states: Iterable[WatchState]) -> None:
        """Save all states after ``event_id``; those of a process that is further stay."""


class ABTestStore(Protocol):
    """The part of a store that A/B tests use. Any thread of any process may call any method at any time."""

    def tests(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        """Return the tests, newest first; those that were ended only if asked for."""

    def begin(self, test: StoredTest) -> StoredTest:
        """Begin ``test``, or go on with the one that has its task type and fingerprint, on the terms of ``test``.

        The sides of a test that goes on stay. Pairs that were given up go on if the maximum has changed.
        """

    def advance(
        self, test_id: int, unit: int | None, step: Callable[[StoredTest], Sequence[StoredPair]]
    ) -> StoredTest | None:
        """Replace the pairs of a test by what ``step`` makes of them, in one transaction; None if it was ended.

        ``step`` only calculates; no other outcome can come between its reading and its writing. Nothing changes if
        the outcome of this ``unit`` has been counted before.
        """

    def end(self, task_type: str, ended_ms: int) -> int:
        """Put an end to the tests of a task type, so that they begin anew; return how many these were."""


class Store(Protocol):
    """Keeps outcomes and their tallies. Any thread may call any method at any time.

    Promises, to which every store is held by one suite of tests:

    - An outcome is there as a whole (event, tally, daily roll-up) or not at all. When ``record`` returns, it
      survives the death of this process; with ``durability = "full"`` also the loss of power.
    - Tallies and roll-ups are always the aggregate of the events and the imported sums.
    - ``evidence`` holds every outcome that was recorded, by whichever process, before it was called.
    - Decisions and their outcomes are written together or not at all, and never change evidence.
    - Failures are :class:`~modelperf_plugin.errors.StoreError`; after one the store is as it was before the call.
    """

    @property
    def location(self) -> str:
        """The path or URL, for messages."""

    @property
    def degraded(self) -> str | None:
        """Why the database cannot be used and something stands in for it; None if it can."""

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only: whatever would write is an error."""

    @property
    def monitoring(self) -> Monitoring:
        """What watches over models use."""

    @property
    def exchange(self) -> Exchange:
        """What comes from elsewhere."""

    @property
    def ab_tests(self) -> ABTestStore:
        """What A/B tests use."""

    @property
    def trends(self) -> Trends:
        """What is looked at over time."""

    def record(self, entry: Entry) -> bool:
        """Write one outcome; return False if its ``outcome_id`` is known already and nothing was written."""

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new."""

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, for reading only; models without outcomes are not in it."""

    def tallies(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model."""

    def log_decisions(self, made: Iterable[DecisionRecord], ended: Iterable[DecisionOutcome]) -> None:
        """Keep decisions, then join outcomes to these and to older ones, in one transaction.

        A decision that is kept already stays as it is; an outcome of one that is not kept is ignored. Of several
        outcomes the first stays, but the chosen model's takes the place of a fallback's.
        """

    def decision(self, decision_id: str) -> LoggedDecision | None:
        """Return a decision that was kept, or None."""

    def decisions_like(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""

    def decisions(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        """Return the newest decisions that were kept, newest first: of ``task_type``, made at ``since_ms`` or later."""

    def logged_after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        """Return at most ``limit`` decisions kept after the one with ``number``, in the order of keeping.

        Each comes with its own number, as it is kept: for reading very many of them.
        """

    def decision_summary(self, now_ms: int) -> DecisionSummary:
        """Return how many decisions were kept, have their outcome, wait for it, or are overdue at ``now_ms``."""

    def forget_decisions(self, before_ms: int) -> int:
        """Forget the oldest decisions made before ``before_ms``, a thousand at most; return how many these were."""

    def drop_events(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        """Drop what ended before ``before_ms`` among the next thousand events after ``after_id``; tallies stay."""

    def add_problem(self, problem: CountedProblem) -> None:
        """Add a failure to those of its kind."""

    def problems(self) -> list[CountedProblem]:
        """Return the failures counted so far, newest first."""

    def clear_problems(self) -> None:
        """Forget the failures counted so far."""

    def check(self) -> list[Finding]:
        """Look at the health of the store; may take a while on a large one."""

    def close(self) -> None:
        """Let go of everything; closing twice is fine, and any other call after it is a StoreError."""
