"""What outcomes say: the roles of a store that record and count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.entries import DroppedStep, Entry, Recorded, Verdict
from modelperf_plugin.store.spending import Correction, CostEvent, CostSums
from modelperf_plugin.store.trends import (
    Days,
    DecisionSearch,
    DecisionSums,
    FoundDecisions,
    LatestChoice,
    PolicyUse,
    TrendStep,
)
from modelperf_plugin.store.watches import Baseline, Event, Faded, PastCosts, Revision
from modelperf_plugin.values import Durations, LaterTries, Tally, Tried

Span = tuple[str, str]
"""The first and the last of the task types that are meant, in the order of their characters."""
EVERYTHING: Final[Span] = ("", "\U0010ffff")
"""The span of all task types."""


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

    def verdicts_of(self, outcome_ids: Iterable[str]) -> Mapping[str, Verdict]:
        """Return the verdicts in force by id; without those whose id is not known, or whose event was dropped."""


class DatedTallies(Protocol):
    """What outcomes weigh by their age, and since the last change of their model."""

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


class Tallies(DatedTallies, Protocol):
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

        Tallies keep them. A step takes a few milliseconds; it skips several thousand outcomes if none of them is old. A
        store that keeps outcomes in partitions may take them all at once, up to a day later.
        """


class Spending(Protocol):
    """What outcomes have cost, by the time at which they ended."""

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        """Return the costs of up to ``limit`` outcomes recorded after ``event_id``, in order.

        They are as they were after the correction with the number ``corrected`` and all before it; 0: as recorded.
        """

    def corrections(self, number: int, limit: int) -> list[Correction]:
        """Return up to ``limit`` corrections after the one with this number, in order."""

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

    def estimated(self) -> dict[str, int]:
        """Return the models of which costs were estimated, with the day of the prices since the Unix epoch."""

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        """Note that costs of a model are estimated by prices of a day; the newest day is kept."""


class ServedModels(Protocol):
    """Which models have really answered."""

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of answers by the model that was asked for and the one that answered.

        Where that is not known, it is the model itself. Outages and dropped events are not counted. It takes as long as
        there are events, unless no other model has ever answered: then the result is empty.
        """


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

    def search(self, search: DecisionSearch) -> FoundDecisions:
        """Search among as many decisions as :meth:`decision_sums` looks at, the newest of the time searched."""


class Choices(Protocol):
    """What the newest decisions chose, from the same sample as :meth:`Trends.decision_sums`."""

    def latest_choices(self, days: Days) -> list[LatestChoice]:
        """Return the latest choice for each task type."""

    def policies(self, days: Days) -> list[PolicyUse]:
        """Return each policy of each task type, the first one first."""
