"""The store of a host: the main one and, while that fails, a stand-in. Each role asks the store in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decision_summary import DecisionSummary
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP, JoinedOutcome, LoggedDecision
from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.entries import CountedProblem, DroppedStep, Finding, Recorded
from modelperf_plugin.store.fallback.exchange import FallbackAttachments, FallbackImports, FallbackMerged
from modelperf_plugin.store.fallback.outcomes import FallbackOutcomes, FallbackTallies
from modelperf_plugin.store.fallback.role import Role
from modelperf_plugin.store.fallback.switch import Switch
from modelperf_plugin.store.main_store import Database
from modelperf_plugin.store.spending import Correction, CostEvent, CostSums
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.trends import (
    Days,
    DecisionSearch,
    DecisionSums,
    FoundDecisions,
    LatestChoice,
    PolicyUse,
    TrendStep,
)
from modelperf_plugin.store.watches import Change, Demotion, Direction, Event, Revision, WatchKey, WatchState
from modelperf_plugin.values import Outcome, Tally


def open_fallback(database: Database, patience: float, *, sync: bool) -> Store:
    """Open ``database``, with a fallback.

    While it fails, choices use what was known and what comes in, and watches over models are suspended. It is tried
    again after 1 to 60 seconds, and then every spooled outcome is replayed once. An outcome that would wait for others
    longer than ``patience`` seconds is spooled, too. With ``sync``, a spooled outcome survives a power failure.

    Raises:
        StoreError: the database is from a newer version or another program's: these are errors at any time.
    """
    switch = Switch(database, patience, sync=sync)
    return Store(
        connection=switch,
        outcomes=FallbackOutcomes(switch),
        tallies=FallbackTallies(switch),
        events=FallbackEvents(switch),
        changes=FallbackChanges(switch),
        demotions=FallbackDemotions(switch),
        watch_states=FallbackWatchStates(switch),
        decisions=FallbackDecisionLog(switch),
        unmatched=FallbackUnmatchedOutcomes(switch),
        ab_tests=FallbackABTests(switch),
        trends=FallbackTrends(switch),
        choices=FallbackTrends(switch),
        spending=FallbackSpending(switch),
        served_models=FallbackServedModels(switch),
        imports=FallbackImports(switch),
        attachments=FallbackAttachments(switch),
        merged=FallbackMerged(switch),
        problems=FallbackProblems(switch),
        maintenance=FallbackMaintenance(switch),
        editing=FallbackEditing(switch),
    )


class FallbackEvents(Role):
    """Reads and drops events of the store in use."""

    def after(self, event_id: int, limit: int) -> list[Event]:
        return self._switch.ask(lambda store: store.events.after(event_id, limit))

    def last_id(self) -> int:
        return self._switch.memory.keep("last_event_id", self._switch.ask(lambda store: store.events.last_id()))

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        return self._switch.ask(lambda store: store.events.revised_after(number, limit))

    def last_revision(self) -> int:
        return self._switch.ask(lambda store: store.events.last_revision())

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        return self._switch.ask(lambda store: store.events.long_outages(after_id, until_id, now_ms))

    def mark_back(self, model_id: str, event_id: int) -> None:
        self._switch.ask(lambda store: store.events.mark_back(model_id, event_id))

    def back(self) -> dict[str, int]:
        return self._switch.ask(lambda store: store.events.back())

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        return self._switch.ask(lambda store: store.events.drop(before_ms, after_id))


class FallbackSpending(Role):
    """What outcomes have cost, by the store in use: a stand-in knows only what came since it took over."""

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        return self._switch.ask(lambda store: store.spending.after(event_id, limit, corrected))

    def corrections(self, number: int, limit: int) -> list[Correction]:
        return self._switch.ask(lambda store: store.spending.corrections(number, limit))

    def by_day(self, first_day: int, task_type: str | None = None, model_id: str | None = None) -> CostSums:
        return self._switch.ask(lambda store: store.spending.by_day(first_day, task_type, model_id))

    def by_step(
        self, step_ms: int, since_ms: int, most: int, task_type: str | None = None, model_id: str | None = None
    ) -> CostSums:
        return self._switch.ask(lambda store: store.spending.by_step(step_ms, since_ms, most, task_type, model_id))

    def estimated(self) -> dict[str, int]:
        return self._switch.ask(lambda store: store.spending.estimated())

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        self._switch.ask(lambda store: store.spending.mark_estimated(model_id, prices_day))


class FallbackServedModels(Role):
    """Which models have answered, by the store in use: a stand-in knows only what came since it took over."""

    def counts(self) -> dict[tuple[str, str], int]:
        return self._switch.ask(lambda store: store.served_models.counts())


class FallbackChanges(Role):
    """Changes of models in the store in use."""

    def all(self) -> list[Change]:
        return self._switch.memory.keep("changes", self._switch.ask(lambda store: store.changes.all()))

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        change = (model_id, direction, events, moments_ms, evidence, rates)
        return self._switch.ask(lambda store: store.changes.add(*change))


class FallbackDemotions(Role):
    """Demotions in the store in use."""

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        found = self._switch.ask(lambda store: store.demotions.all(in_force=in_force))
        return found if in_force else self._switch.memory.keep("demotions", found)

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        demotion = (task_type, model_id, since_ms, threshold, evidence, reason)
        return self._switch.ask(lambda store: store.demotions.add(*demotion))

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        return self._switch.ask(lambda store: store.demotions.end(task_type, model_id, ended_ms, ended_by))


class FallbackWatchStates(Role):
    """States of watches in the store in use."""

    def claim(self, holder: str, seconds: float) -> bool:
        return self._switch.ask(lambda store: store.watch_states.claim(holder, seconds))

    def load(self) -> tuple[int | None, list[WatchState]]:
        return self._switch.ask(lambda store: store.watch_states.load())

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        return self._switch.ask(lambda store: store.watch_states.load_models())

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        return self._switch.ask(lambda store: store.watch_states.load_pair(task_type, model_id))

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        states, ended = list(states), list(ended)
        self._switch.ask(lambda store: store.watch_states.save(event_id, states, ended))


class FallbackDecisionLog(Role):
    """The decision log of the store in use."""

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        decisions, outcomes = list(decisions), list(outcomes)
        # a host that records nothing more writes its decisions
        is_moved = not self._switch.backlog.waits or self._switch.ask(lambda _: self._switch.move_waiting())
        joined = self._switch.ask(lambda store: store.decisions.write(decisions, outcomes))
        if not is_moved:  # others were writing then, and are not now
            self._switch.ask(lambda _: self._switch.move_waiting())
        return joined

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:
        return self._switch.ask(lambda store: store.decisions.report(decision_id, outcome, given_ms))

    def get(self, decision_id: str) -> LoggedDecision | None:
        return self._switch.ask(lambda store: store.decisions.get(decision_id))

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        return self._switch.ask(lambda store: store.decisions.starting_with(prefix, limit))

    def follow_ups(self, decision_id: str) -> list[LoggedDecision]:
        return self._switch.ask(lambda store: store.decisions.follow_ups(decision_id))

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        return self._switch.ask(lambda store: store.decisions.newest(task_type, since_ms, limit))

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        return self._switch.ask(lambda store: store.decisions.after(number, limit))

    def last_number(self) -> int:
        return self._switch.ask(lambda store: store.decisions.last_number())

    def further_outcomes(self, decision_ids: Sequence[str]) -> Mapping[str, Sequence[JoinedOutcome]]:
        return self._switch.ask(lambda store: store.decisions.further_outcomes(decision_ids))

    def summary(self, now_ms: int) -> DecisionSummary:
        return self._switch.ask(lambda store: store.decisions.summary(now_ms))

    def forget(self, before_ms: int, limit: int = DECISIONS_PER_STEP) -> int:
        return self._switch.ask(lambda store: store.decisions.forget(before_ms, limit))


class FallbackUnmatchedOutcomes(Role):
    """Outcomes that wait for their decision, in the store in use."""

    def of(self, decision_id: str) -> list[DecisionOutcome]:
        return self._switch.ask(lambda store: store.unmatched.of(decision_id))


class FallbackABTests(Role):
    """A/B tests in the store in use."""

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        found = self._switch.ask(lambda store: store.ab_tests.all(task_type, ended=ended))
        return found if ended or task_type is not None else self._switch.memory.keep("tests", found)

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        return self._switch.ask(lambda store: store.ab_tests.begin(test, named=named))

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        return self._switch.ask(lambda store: store.ab_tests.advance(test_id, unit, step, stakes))

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        return self._switch.ask(lambda store: store.ab_tests.revise(decision_id, outcome_id, step))

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        return self._switch.ask(lambda store: store.ab_tests.drawn(test_id, now_ms))

    def end(self, task_type: str, ended_ms: int) -> int:
        return self._switch.ask(lambda store: store.ab_tests.end(task_type, ended_ms))


class FallbackTrends(Role):
    """Counts over time of the store in use."""

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        return self._switch.ask(lambda store: store.trends.totals(days, task_type, model_id))

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        return self._switch.ask(lambda store: store.trends.series(days, task_type, models))

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        return self._switch.ask(lambda store: store.trends.totals_of_task_types(days))

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        return self._switch.ask(lambda store: store.trends.series_of_task_types(days))

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        return self._switch.ask(lambda store: store.trends.decision_sums(days, now_ms))

    def latest_choices(self, days: Days) -> list[LatestChoice]:
        return self._switch.ask(lambda store: store.choices.latest_choices(days))

    def policies(self, days: Days) -> list[PolicyUse]:
        return self._switch.ask(lambda store: store.choices.policies(days))

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        return self._switch.ask(lambda store: store.trends.decisions(days, task_type, model_id, limit))

    def search(self, search: DecisionSearch) -> FoundDecisions:
        return self._switch.ask(lambda store: store.trends.search(search))


class FallbackProblems(Role):
    """Failures counted by the store in use."""

    def add(self, problem: CountedProblem) -> None:
        self._switch.ask(lambda store: store.problems.add(problem))

    def all(self) -> list[CountedProblem]:
        return self._switch.ask(lambda store: store.problems.all())

    def clear(self) -> None:
        self._switch.ask(lambda store: store.problems.clear())


class FallbackEditing(Role):
    """Edits of the store in use."""

    def count(self, selection: Selection) -> Edited:
        return self._switch.ask(lambda store: store.editing.count(selection))

    def forget(self, selection: Selection, edited_ms: int) -> Edited:
        return self._switch.ask(lambda store: store.editing.forget(selection, edited_ms))

    def rename_task_type(self, old: str, new: str, edited_ms: int) -> Edited:
        return self._switch.ask(lambda store: store.editing.rename_task_type(old, new, edited_ms))

    def rename_model(self, old: str, new: str, edited_ms: int, fingerprint: Callable[[str, bool, str], str]) -> Edited:
        return self._switch.ask(lambda store: store.editing.rename_model(old, new, edited_ms, fingerprint))

    def unannounce(self, model_id: str, edited_ms: int) -> bool:
        return self._switch.ask(lambda store: store.editing.unannounce(model_id, edited_ms))

    def last_edit(self) -> int:
        return self._switch.memory.keep("last_edit", self._switch.ask(lambda store: store.editing.last_edit()))


class FallbackMaintenance(Role):
    """Examines the store in use; a fallback in use is a finding."""

    def check(self) -> list[Finding]:
        findings = self._switch.ask(lambda store: store.maintenance.check())
        reason = self._switch.degraded
        if reason is None:
            return findings
        message = f"{reason.rstrip('.')}. Outcomes wait in JSON files."
        return [*findings, Finding("degraded", ok=False, message=message)]
