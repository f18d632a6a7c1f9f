"""From candidates to a decision: collects what is known of them and has the policy choose."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from operator import is_
from random import Random
from typing import Any, Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_tests import ABTests, RunningTest
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.monitor import Monitor
from modelperf_plugin.engine.spending import SpendingControl
from modelperf_plugin.engine.tries import TaskTries, Tries, id_of
from modelperf_plugin.errors import InvalidValueError, StoreBusyError, StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.policy import Assessment, Choice, Knowledge, Policy, assess, choose, ranking_of
from modelperf_plugin.policy.drawing import Memory
from modelperf_plugin.policy.quality import Timeouts, classified
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import (
    NO_CONTEXT,
    Assignment,
    Context,
    Decision,
    Exclusion,
    Mode,
    as_tried,
    check_id,
    check_ids,
    to_milliseconds,
)
from modelperf_plugin.values.context import misspelled_keys
from modelperf_plugin.values.recent import Recent

MAX_ASSESSED: Final = 300
"""Approximate number of candidates whose assessments are kept, one for each task type and set of candidates."""
MAX_DRAWN: Final = 1_000
"""Approximate number of candidates whose drawn plans are kept, the same ones after other failed models separately."""

MAX_WARNINGS: Final = 100
"""Maximum number of misspelled keys of contexts that are logged."""
_DECISION_ID_BYTES: Final = 10


class Parts(NamedTuple):
    """What a choice is made from."""

    tallies: Tallies
    learner: Learner
    monitor: Monitor
    availability: Availability
    ab_tests: ABTests
    tries: Tries
    spending: SpendingControl


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
        self._now = now
        self._errors = errors
        self._assessments: Recent[tuple[int, str, tuple[str, ...]], tuple[tuple[object, ...], Assessment]]
        self._assessments = Recent(MAX_ASSESSED)
        self._misspelled: set[str] = set()
        """The keys of contexts that a warning was logged for."""
        self._plans: Memory = Recent(MAX_DRAWN)

    def decide(
        self,
        config: Config,
        task_type: str,
        candidates: Iterable[str],
        mapping: Mapping[str, Any] | None,
        numbers: Random | None,
    ) -> Decision | None:
        """Return a decision; None if no candidate is left. Without ``numbers`` it is the most likely one.

        Raises:
            InvalidValueError: an argument is invalid.
            StoreError: the evidence could not be read.
        """
        check_id("task_type", task_type)
        offered = check_ids("candidates", candidates)
        context = Context.from_mapping(mapping)
        if mapping:
            self._warn_of_misspelled(mapping)
        if not offered:
            return None
        now = self._now()
        now_ms = to_milliseconds(now)
        offered, over_budget = self._permit(config, task_type, offered, context, now_ms)
        timeouts = config.quality.timeouts
        task = None if context.retry_of is None else self._task(context.retry_of, task_type, timeouts)
        policy, test = self._policy(config, task_type, task, now_ms)

        def assessed(test: RunningTest | None) -> Assessment:
            return self._assess(policy, timeouts, test, task_type, offered, context, task, now_ms)

        assessment = assessed(test)
        if numbers is None or config.mode != "apply":
            test = None  # only decisions that a host follows are part of a test
        elif test is not None and not over_budget and _may_begin(test, context):
            begun = self._begin(test, assessment, now_ms)
            if begun is not test:
                test, assessment = begun, assessed(begun)
        if not assessment.candidates:
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded + over_budget)
            return None
        choice = self._choose(assessment, context, numbers)
        assignment = None if test is None else test.assignment(assessment, choice, context.unit_id)
        note = self._spending.on_assessment(config, assessment, now_ms)
        if note or over_budget:
            choice = choice._replace(reason=choice.reason + note, left_out=(*choice.left_out, *over_budget))
        decision = _decision(assessment, choice, context, task, assignment, config.mode, now)
        if test is not None:
            test.draws.add(decision)
        return decision

    def _permit(
        self, config: Config, task_type: str, offered: tuple[str, ...], context: Context, now_ms: int
    ) -> tuple[tuple[str, ...], tuple[Exclusion, ...]]:
        """Return the candidates that the budgets permit, and the others with the reason."""
        spending = self._spending
        if spending.lacks(config, task_type):
            policy, timeouts = config.policy_for(task_type), config.quality.timeouts
            assessment = self._assess(policy, timeouts, None, task_type, offered, NO_CONTEXT, None, now_ms)
            spending.on_assessment(config, assessment, now_ms)
        return spending.permit(config, task_type, offered, context.pin, now_ms)

    def _policy(
        self, config: Config, task_type: str, task: TaskTries | None, now_ms: int
    ) -> tuple[Policy, RunningTest | None]:
        """Return the policy for a task, with what money costs, or as configured for a test, and the test."""
        configured = config.policy_for(task_type)
        test = self._ab_tests.running(task_type, configured)
        if test is not None:
            if task is None:
                return configured, test
            configured = test.policy_of_retries
        return self._spending.priced(config, configured, task_type, now_ms), None

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

    def _warn_of_misspelled(self, mapping: Mapping[str, Any]) -> None:
        """Log each key once that is ignored but was probably meant for us."""
        for key, known in misspelled_keys(mapping).items():
            if key not in self._misspelled and len(self._misspelled) < MAX_WARNINGS:
                self._misspelled.add(key)
                logger.warning("context[%r] is unknown and ignored; did you mean %r?", key, known)

    def _begin(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        try:
            return within(NO_WAIT, lambda: self._ab_tests.begin(test, assessment, now_ms))
        except StoreBusyError:
            return test  # others are writing: the next choice tries it again
        except StoreError as error:
            self._errors.report("an A/B test could not begin", error)
            return test

    def _assess(
        self,
        policy: Policy,
        timeouts: Timeouts,
        test: RunningTest | None,
        task_type: str,
        offered: tuple[str, ...],
        context: Context,
        task: TaskTries | None,
        now_ms: int,
    ) -> Assessment:
        """Assess the candidates, or return the last assessment while nothing has changed."""
        evidence = self._tallies.of(task_type)
        tried = () if task is None else task.tried
        beliefs = self._learner.know(task_type, evidence, (*offered, *tried) if tried else offered)
        demotions = self._monitor.demoted(task_type)
        if test is not None:
            policy, demotions = test.policy, test.without_sides(demotions)
        unavailable, availability = self._availability.now(now_ms)
        basis = (policy, evidence, beliefs, demotions, unavailable, availability)
        key = (id(policy), task_type, offered)
        last = self._assessments.get(key) if context.plain else None
        if last is not None and all(map(is_, last[0], basis)):
            return last[1]
        tallies = classified(evidence, timeouts)
        costs, difficulty = self._learner.model_costs, self._learner.difficulty(task_type)
        knowledge = Knowledge(
            tallies, beliefs, demotions, unavailable, costs, tried, difficulty, self._plans, availability
        )
        assessment = assess(policy, task_type, offered, knowledge, context)
        if context.plain and evidence:  # a host may ask for any number of task types without outcomes
            self._assessments.put(key, (basis, assessment), len(offered))
        return assessment


def _may_begin(test: RunningTest, context: Context) -> bool:
    return not test.is_settled and not context.exclude and context.pin is None


def _decision(
    assessment: Assessment, choice: Choice, context: Context, task: TaskTries | None, assignment: Assignment | None,
    mode: Mode, now: datetime,
) -> Decision:  # fmt: skip
    """Return a choice as the host gets it; ``task`` are the tries of the same task before."""
    decision = Decision(
        order=choice.order,
        decision_id=os.urandom(_DECISION_ID_BYTES).hex(),
        task_type=assessment.task_type,
        ranking=ranking_of(assessment, choice),
        probabilities=choice.probabilities,
        reason=choice.reason,
        explored=choice.explored,
        excluded=(*assessment.excluded, *choice.left_out),
        plan=choice.plan,
        policy_id=assessment.policy.policy_id,
        mode=mode,
        created_at=now,
        assignment=assignment,
    )
    if task is None or context.retry_of is None:
        return decision
    return replace(decision, attempt=task.next_attempt, tried=as_tried(task.tried), retry_of=id_of(context.retry_of))
