"""From candidates to a decision: collects what is known of them and has the policy choose."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import is_
from random import Random
from typing import Any, Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_tests import ABTests, RunningTest
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.monitor import Monitor
from modelperf_plugin.engine.spelling import Offer, Offers, canonical_context
from modelperf_plugin.engine.timed import Timed
from modelperf_plugin.engine.tries import TaskTries, Tries, id_of
from modelperf_plugin.errors import InvalidValueError, StoreBusyError, StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.policy import Assessment, Choice, Knowledge, Policy, assess, choose, ranking_of
from modelperf_plugin.policy.drawing import Memory
from modelperf_plugin.policy.quality import Timeouts, classified
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.values import (
    Assignment,
    Context,
    Decision,
    Mode,
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

MAX_WARNINGS: Final = 100
"""Maximum number of misspelled keys of contexts that are logged."""
_DECISION_ID_BYTES: Final = 10


class Chooser:
    """Makes decisions. Any thread may call any method."""

    def __init__(
        self,
        timed: Timed,
        learner: Learner,
        monitor: Monitor,
        availability: Availability,
        ab_tests: ABTests,
        tries: Tries,
        *,
        now: Callable[[], datetime],
        errors: BackgroundErrors,
    ) -> None:
        self._tallies = timed.tallies
        self._learner = learner
        self._monitor = monitor
        self._availability = availability
        self._ab_tests = ab_tests
        self._tries = tries
        self._timed = timed
        self._now = now
        self._errors = errors
        self._assessments: Recent[tuple[str, tuple[str, ...]], tuple[tuple[object, ...], Assessment]]
        self._assessments = Recent(MAX_ASSESSED)
        self._misspelled: set[str] = set()
        """The keys of contexts, and the excluded names in them, that a warning was logged for."""
        self._offers = Offers()
        self._plans: Memory = Recent(MAX_DRAWN)

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
        configured, timeouts = config.policy_for(task_type), config.quality.timeouts
        test = self._ab_tests.running(task_type, configured)
        task = None if context.retry_of is None else self._task(context.retry_of, task_type, timeouts)
        if task is not None and test is not None:
            configured, test = test.policy_of_retries, None
        assessment = self._assess(configured, timeouts, test, task_type, offered, context, task, now_ms)
        if numbers is None or config.mode != "apply":
            test = None  # only decisions that a host follows are part of a test
        elif test is not None and not test.is_settled and not context.exclude and context.pin is None:
            begun = self._begin(test, assessment, now_ms)
            if begun is not test:
                test = begun
                assessment = self._assess(configured, timeouts, test, task_type, offered, context, task, now_ms)
        if not assessment.candidates:
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded)
            return None
        choice = choose(
            assessment,
            context,
            None if numbers is None else numbers.random(),
            self._learner.pending.counts(task_type, assessment.ranking.model_ids),
        )
        assignment = None if test is None else test.assignment(assessment, choice, context.unit_id)
        decision = _decision(assessment, choice, context, task, assignment, config.mode, now)
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
        last = self._assessments.get((task_type, offered)) if context.plain else None
        if last is not None and all(map(is_, last[0], basis)):
            return last[1]
        tallies = classified(evidence, timeouts)
        costs, difficulty = self._learner.model_costs, self._learner.difficulty(task_type)
        knowledge = Knowledge(
            tallies, beliefs, demotions, unavailable, costs, tried, difficulty, self._plans, availability
        )
        if context.max_seconds is not None or policy.cost.usd_per_minute:
            knowledge = knowledge._replace(durations=self._timed.of(task_type, evidence))
        assessment = assess(policy, task_type, offered, knowledge, context)
        if not knowledge.durations and assessment.has_tied_outcomes:  # the faster first
            knowledge = knowledge._replace(durations=self._timed.of(task_type, evidence))
            if knowledge.durations:
                assessment = assess(policy, task_type, offered, knowledge, context)
        if context.plain and evidence:  # a host may ask for any number of task types without outcomes
            self._assessments.put((task_type, offered), (basis, assessment), len(offered))
        return assessment


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
