"""From candidates to a decision: collects what is known of them and has the policy choose."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
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
from modelperf_plugin.errors import StoreError
from modelperf_plugin.policy import Assessment, Knowledge, Policy, assess, choose, ranking_of
from modelperf_plugin.policy.quality import Timeouts, classified
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import Context, Decision, check_id, check_ids, to_milliseconds

logger = logging.getLogger("modelperf_plugin")

MAX_ASSESSMENTS: Final = 1000
"""Maximum number of assessments that are kept, one for each task type and set of candidates."""

_DECISION_ID_BYTES: Final = 10


class Chooser:
    """Makes decisions. Any thread may call any method."""

    def __init__(
        self,
        tallies: Tallies,
        learner: Learner,
        monitor: Monitor,
        availability: Availability,
        ab_tests: ABTests,
        *,
        now: Callable[[], datetime],
        errors: BackgroundErrors,
    ) -> None:
        self._tallies = tallies
        self._learner = learner
        self._monitor = monitor
        self._availability = availability
        self._ab_tests = ab_tests
        self._now = now
        self._errors = errors
        self._assessments: dict[tuple[str, tuple[str, ...]], tuple[tuple[object, ...], Assessment]] = {}

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
        if not offered:
            return None
        now = self._now()
        now_ms = to_milliseconds(now)
        configured, timeouts = config.policy_for(task_type), config.quality.timeouts
        test = self._ab_tests.running(task_type, configured)
        assessment = self._assess(configured, timeouts, test, task_type, offered, context, now_ms)
        if numbers is None or config.mode != "apply":
            test = None  # only decisions that a host follows are part of a test
        elif test is not None and not test.is_settled and not context.exclude and context.pin is None:
            begun = self._begin(test, assessment, now_ms)
            if begun is not test:
                test = begun
                assessment = self._assess(configured, timeouts, test, task_type, offered, context, now_ms)
        if not assessment.candidates:
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded)
            return None
        pending = self._learner.pending.count
        choice = choose(
            assessment,
            context,
            None if numbers is None else numbers.random(),
            [pending(task_type, model_id) for model_id in assessment.ranking.model_ids],
        )
        decision = Decision(
            order=choice.order,
            decision_id=os.urandom(_DECISION_ID_BYTES).hex(),
            task_type=task_type,
            ranking=ranking_of(assessment, choice),
            probabilities=choice.probabilities,
            reason=choice.reason,
            explored=choice.explored,
            excluded=assessment.excluded,
            policy_id=assessment.policy.policy_id,
            mode=config.mode,
            created_at=now,
            assignment=None if test is None else test.assignment(assessment, choice, context.unit_id),
        )
        if test is not None:
            test.draws.add(decision)
        return decision

    def _begin(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        try:
            return self._ab_tests.begin(test, assessment, now_ms)
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
        now_ms: int,
    ) -> Assessment:
        """Assess the candidates, or return the last assessment while nothing has changed."""
        evidence = self._tallies.of(task_type)
        beliefs = self._learner.know(task_type, evidence, offered)
        demotions = self._monitor.demoted(task_type)
        if test is not None:
            policy, demotions = test.policy, test.without_sides(demotions)
        unavailable = self._availability.unavailable(now_ms)
        basis = (policy, evidence, beliefs, demotions, unavailable)
        last = self._assessments.get((task_type, offered)) if context.plain else None
        if last is not None and all(map(is_, last[0], basis)):
            return last[1]
        tallies = classified(evidence, timeouts)
        knowledge = Knowledge(tallies, beliefs, demotions, unavailable, self._learner.model_costs)
        assessment = assess(policy, task_type, offered, knowledge, context)
        if context.plain:
            if len(self._assessments) >= MAX_ASSESSMENTS:
                self._assessments.clear()
            self._assessments[task_type, offered] = (basis, assessment)
        return assessment
