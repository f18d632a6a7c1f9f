"""From candidates to a decision: collects what is known of them and has the policy choose."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import is_
from random import Random
from typing import Any, Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_running import RunningTest
from modelperf_plugin.engine.ab_tests import ABTests
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.budget_state import BudgetState
from modelperf_plugin.engine.lateness import lateness, unless_late
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.list_prices import ListPrices
from modelperf_plugin.engine.monitor import Monitor
from modelperf_plugin.engine.spelling import Offer, Offers, canonical_context
from modelperf_plugin.engine.spending import NO_ADVICE, Advice, SpendingControl
from modelperf_plugin.engine.timed import Timed
from modelperf_plugin.engine.tries import TaskTries, Tries, id_of
from modelperf_plugin.errors import InvalidValueError, StoreBusyError, StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.policy import Assessment, Choice, Knowledge, Policy, assess, choose, ranking_of
from modelperf_plugin.policy.cost.base import NO_PAIR_COSTS
from modelperf_plugin.policy.drawing import Memory
from modelperf_plugin.policy.quality import Timeouts, classified
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.store.local import LocalRead, locally
from modelperf_plugin.store.roles import Connection, Tallies
from modelperf_plugin.values import (
    NO_CONTEXT,
    Assignment,
    Context,
    Decision,
    Durations,
    Mode,
    Tally,
    as_tried,
    check_id,
    check_ids,
    to_milliseconds,
)
from modelperf_plugin.values.context import misspelled_keys
from modelperf_plugin.values.names import CanonicalIds, likely_meant
from modelperf_plugin.values.recent import Recent

MAX_ASSESSED: Final = 300
"""Approximate number of candidates whose assessments are kept, one for each task type and set of candidates."""
MAX_DRAWN: Final = 1_000
"""Approximate number of candidates whose drawn plans are kept, the same ones after other failed models separately."""

SURVEYED: Final = 16
"""Of how many task types the candidates are assessed to say what money costs, before there was any choice."""
MAX_WARNINGS: Final = 100
"""Maximum number of misspelled keys of contexts that are logged."""
_DECISION_ID_BYTES: Final = 10
_NO_TALLIES: Final[Mapping[str, Tally]] = {}


class Parts(NamedTuple):
    """What a choice is made from."""

    tallies: Tallies
    learner: Learner
    monitor: Monitor
    availability: Availability
    spending: SpendingControl
    ab_tests: ABTests
    tries: Tries
    timed: Timed
    prices: ListPrices
    connection: Connection


class _Question(NamedTuple):
    """What a choice is asked for, and what is counted for it."""

    task_type: str
    evidence: Mapping[str, Tally]
    offered: tuple[str, ...]
    timeouts: Timeouts
    context: Context
    task: TaskTries | None
    """The tries of the same task before."""
    now_ms: int


class Chooser:
    """Makes decisions. Any thread may call any method."""

    def __init__(self, parts: Parts, *, now: Callable[[], datetime], errors: BackgroundErrors) -> None:
        """Choose by what ``parts`` know."""
        self._tallies = parts.tallies
        self._learner = parts.learner
        self._monitor = parts.monitor
        self._availability = parts.availability
        self._ab_tests = parts.ab_tests
        self._tries = parts.tries
        self._spending = parts.spending
        self._timed = parts.timed
        self._prices = parts.prices
        self._connection = parts.connection
        self._now = now
        self._errors = errors
        self._assessments: Recent[tuple[int, str, tuple[str, ...], float | None], tuple[tuple[object, ...], Assessment]]
        self._assessments = Recent(MAX_ASSESSED)
        self._misspelled: set[str] = set()
        """The keys of contexts, and the excluded names in them, that a warning was logged for."""
        self._offers = Offers()
        self._plans: Memory = Recent(MAX_DRAWN)

    def choose(
        self,
        config: Config,
        task_type: str,
        candidates: Iterable[str],
        mapping: Mapping[str, Any] | None,
        numbers: Random,
    ) -> tuple[Decision, Decision] | None:
        """Return a decision as :meth:`decide` does, without waiting for a server: by what this process knows."""
        if not self._connection.is_remote:
            return self.decide(config, task_type, candidates, mapping, numbers)
        return locally(LocalRead(), lambda: self.decide(config, task_type, candidates, mapping, numbers))

    def decide(
        self,
        config: Config,
        task_type: str,
        candidates: Iterable[str],
        mapping: Mapping[str, Any] | None,
        numbers: Random | None,
    ) -> tuple[Decision, Decision] | None:
        """Return a decision; None if no candidate is left. Without ``numbers`` it is the most likely one.

        It comes twice: by canonical ids, and for the host, by the names that the host gave.

        Raises:
            InvalidValueError: an argument is invalid.
            StoreError: the evidence could not be read.
        """
        check_id("task_type", task_type)
        offered, context, offer = self._read(config.canonical_ids, candidates, mapping)
        if not offered:
            return None
        now = self._now()
        now_ms = to_milliseconds(now)
        timeouts, evidence = config.quality.timeouts, unless_late(lambda: self._tallies.of(task_type), _NO_TALLIES)
        advice = NO_ADVICE
        if self._spending.is_on(config):
            advice = self._advise(config, _Question(task_type, evidence, offered, timeouts, context, None, now_ms))
            offered = advice.offered
        task = None if context.retry_of is None else self._task(context.retry_of, task_type, timeouts)
        question = _Question(task_type, evidence, offered, timeouts, context, task, now_ms)
        policy, test = self._policy(config, task_type, task, advice.price)
        assessment = self._assess(question, policy, test)
        if numbers is None or config.mode != "apply":
            test = None  # only decisions that a host follows are part of a test
        elif test is not None and not advice.excluded and _may_begin(test, context):
            begun = self._begin(test, assessment, now_ms)
            if begun is not test:
                test, assessment = begun, self._assess(question, policy, begun)
        if not assessment.candidates:
            if advice.used_up is not None and numbers is not None:
                advice.used_up.report_used_up(now_ms)
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded + advice.excluded)
            return None
        if advice is not NO_ADVICE:
            self._spending.on_assessment(assessment, is_whole=context.plain and not advice.excluded)
        choice = self._choose(assessment, context, numbers)
        assignment = None if test is None else test.assignment(assessment, choice, context.unit_id)
        noted = self._noted(advice)
        decision = _decision(assessment, choice, context, task, assignment, config.mode, now, noted)
        if test is not None:
            test.draws.add(decision)
        return (decision, decision) if offer is None else offer.logged_and_answered(decision)

    def _read(
        self, ids: CanonicalIds, candidates: Iterable[str], mapping: Mapping[str, Any] | None
    ) -> tuple[tuple[str, ...], Context, Offer | None]:
        """Return candidates and context by canonical ids, and the offer as the host made it if there are aliases."""
        offered = check_ids("candidates", candidates)
        context = Context.from_mapping(mapping)
        if mapping:
            self._warn_of_misspelled(mapping)
            if context.exclude:
                self._warn_of_twins(context.exclude, offered, ids)
        if not ids:
            return offered, context, None
        offer = self._offers.of(offered, ids)
        return offer.model_ids, canonical_context(context, ids), offer

    def budgets(self, config: Config) -> list[BudgetState]:
        """Return each budget as it stands.

        Raises:
            StoreError: what was spent could not be read.
        """
        if self._spending.lacks(config):
            totals: Counter[str] = Counter()
            for tally in self._tallies.all():
                totals[tally.task_type] += tally.samples
            for task_type, _ in totals.most_common(SURVEYED):
                self.decide(config, task_type, self._tallies.of(task_type), None, None)
        return self._spending.states(config, to_milliseconds(self._now()))

    def _advise(self, config: Config, question: _Question) -> Advice:
        """Return what the budgets mean for a choice, if there are any."""
        spending, task_type = self._spending, question.task_type
        if spending.lacks(config, task_type):
            assessment = self._assess(question._replace(context=NO_CONTEXT), config.policy_for(task_type), None)
            spending.on_assessment(assessment)
        return spending.advise(task_type, question.offered, question.context.pin, question.now_ms)

    def _policy(
        self, config: Config, task_type: str, task: TaskTries | None, price: float
    ) -> tuple[Policy, RunningTest | None]:
        """Return the policy for a task, with what money costs, or as configured for a test, and the test."""
        configured = config.policy_for(task_type)
        test = self._ab_tests.running(task_type, configured)
        if test is not None:
            if task is None:
                return configured, test
            configured = test.policy_of_retries
        return self._spending.priced(configured, price) if price else configured, None

    def _choose(self, assessment: Assessment, context: Context, numbers: Random | None) -> Choice:
        waiting = self._learner.pending.counts(assessment.task_type, assessment.ranking.model_ids)
        return choose(assessment, context, None if numbers is None else numbers.random(), waiting)

    def _task(self, earlier: Decision | str, task_type: str, timeouts: Timeouts) -> TaskTries | None:
        """Return the tries of the task of an earlier decision; none if it is not known.

        A decision for another task type was made for another task: None, and the host's mistake is reported.
        """
        task = self._tries.of(earlier, timeouts)
        if task is None:
            logger.info("context['retry_of']: no decision %r is known, so no model is left out for it", earlier)
            return TaskTries()
        if task.belongs_to(task_type):
            return task
        requirement = f"a decision for the same task, whose task type is {task_type!r}"
        error = InvalidValueError("context['retry_of']", requirement, task.task_type, typed=True)
        self._errors.report("a retry was chosen as a first try", error)
        return None

    def _noted(self, advice: Advice) -> Advice:
        late = lateness(self._connection)
        return advice._replace(note=advice.note + late) if late else advice

    def _durations(self, task_type: str, evidence: Mapping[str, Tally]) -> Mapping[str, Durations]:
        return unless_late(lambda: self._timed.of(task_type, evidence), {})

    def _warn_of_misspelled(self, mapping: Mapping[str, Any]) -> None:
        """Log each key once that is ignored but was probably meant for us."""
        for key, known in misspelled_keys(mapping).items():
            if key not in self._misspelled and len(self._misspelled) < MAX_WARNINGS:
                self._misspelled.add(key)
                logger.warning("context[%r] is unknown and ignored; did you mean %r?", key, known)

    def _warn_of_twins(self, excluded: Iterable[str], offered: Sequence[str], ids: CanonicalIds) -> None:
        """Log each excluded name once that is no candidate, but likely another name of one."""
        for name in excluded:
            if name in offered or name in self._misspelled or len(self._misspelled) >= MAX_WARNINGS:
                continue
            meant = None if name in ids else likely_meant(name, offered)
            if meant is not None:
                self._misspelled.add(name)
                logger.warning("context['exclude'] has no effect: %r is no candidate; did you mean %r?", name, meant)

    def _begin(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        try:
            return within(NO_WAIT, lambda: self._ab_tests.begin(test, assessment, now_ms))
        except StoreBusyError:
            return test  # others are writing: the next choice tries it again
        except StoreError as error:
            self._errors.report("an A/B test could not begin", error)
            return test

    def _assess(self, question: _Question, policy: Policy, test: RunningTest | None) -> Assessment:
        """Assess the candidates, or return the last assessment while nothing has changed."""
        task_type, evidence, offered, timeouts, context, task, now_ms = question
        tried = () if task is None else task.tried
        beliefs = self._learner.know(task_type, evidence, (*offered, *tried) if tried else offered)
        demotions = self._monitor.demoted(task_type)
        if test is not None:
            policy, demotions = test.policy, test.without_sides(demotions)
        unavailable, down, availability = self._availability.now(now_ms)
        estimated = self._prices.dates
        basis = (policy, evidence, beliefs, demotions, unavailable, availability, estimated)
        key = (id(policy), task_type, offered, context.max_seconds)
        last = self._assessments.get(key) if context.is_open else None
        if last is not None and all(map(is_, last[0], basis)):
            return last[1]
        tallies = classified(evidence, timeouts)
        weighs = policy.cost.weighs_costs or context.max_cost_usd is not None
        costs = NO_PAIR_COSTS
        if weighs:
            costs = unless_late(lambda: self._learner.costs(task_type, evidence), NO_PAIR_COSTS)
        knowledge = Knowledge(
            tallies, beliefs, demotions, unavailable, costs.models, tried, self._learner.difficulty(task_type),
            self._plans, availability, costs.records, costs.waiting, down=down, estimated=estimated,
        )  # fmt: skip
        if context.max_seconds is not None or policy.cost.usd_per_minute:
            knowledge = knowledge._replace(durations=self._durations(task_type, evidence))
        assessment = assess(policy, task_type, offered, knowledge, context)
        if not knowledge.durations and assessment.has_tied_outcomes:  # the faster first
            knowledge = knowledge._replace(durations=self._durations(task_type, evidence))
            if knowledge.durations:
                assessment = assess(policy, task_type, offered, knowledge, context)
        if context.is_open and evidence:  # a host may ask for any number of task types without outcomes
            self._assessments.put(key, (basis, assessment), len(offered))
        return assessment


def _may_begin(test: RunningTest, context: Context) -> bool:
    return not test.is_settled and not context.exclude and context.pin is None


def _decision(
    assessment: Assessment, choice: Choice, context: Context, task: TaskTries | None, assignment: Assignment | None,
    mode: Mode, now: datetime, advice: Advice,
) -> Decision:  # fmt: skip
    """Return a choice as the host gets it; ``task`` are the tries of the same task before."""
    decision = Decision(
        order=choice.order,
        decision_id=os.urandom(_DECISION_ID_BYTES).hex(),
        task_type=assessment.task_type,
        ranking=ranking_of(assessment, choice),
        probabilities=choice.probabilities,
        reason=choice.reason + advice.note,
        explored=choice.explored,
        excluded=(*assessment.excluded, *advice.excluded, *choice.left_out),
        plan=choice.plan,
        policy_id=assessment.policy.policy_id,
        mode=mode,
        created_at=now,
        assignment=assignment,
        basis=choice.basis,
    )
    if task is None or context.retry_of is None:
        return decision
    return replace(decision, attempt=task.next_attempt, tried=as_tried(task.tried), retry_of=id_of(context.retry_of))
