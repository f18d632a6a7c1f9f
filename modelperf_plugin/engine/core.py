"""The engine: chooses, records and explains. Every front end (hooks, adapters, command line) calls this."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import is_
from typing import Any, Final, Self

from modelperf_plugin.config import Config, ConfigSource, ConfigWatch, LoadedConfig
from modelperf_plugin.engine.ab_tests import ABTests, RunningTest
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.engine.decision_writer import DecisionWriter
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.monitor import Monitor
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.engine.retention import Retention
from modelperf_plugin.engine.telemetry import Telemetry
from modelperf_plugin.engine.tracker import Clock
from modelperf_plugin.errors import ConfigError, InvalidValueError, MissingExtraError, ModelPerfError, StoreError
from modelperf_plugin.exchange.attached.databases import AttachedDatabases, from_configuration
from modelperf_plugin.policy import Assessment, Knowledge, Policy, assess, choose, ranking_of
from modelperf_plugin.policy.quality import classified
from modelperf_plugin.store import Attached, Store, forks
from modelperf_plugin.store.attached import with_attached
from modelperf_plugin.values import Context, Decision, Outcome, check_id, check_ids, to_milliseconds

logger = logging.getLogger("modelperf_plugin")

_DECISION_ID_BYTES: Final = 10
_MOST_ASSESSMENTS: Final = 1000
_CATCH_UP_OUTCOMES: Final = 8
_CATCH_UP_SECONDS: Final = 1.0
"""After so many outcomes, or so long, a recording call also does what is not urgent."""


class ModelPerf:
    """Learns from outcomes which model to use, and says so. A context manager; any thread may call any method.

    This is the direct way in; :func:`modelperf_plugin.register` wraps it into hooks. Here a bad argument or a
    broken store raises, there nothing ever does.
    """

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        store: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        on_config_error: Callable[[ConfigError], None] | None = None,
        on_background_error: Callable[[Exception], None] | None = None,
    ) -> None:
        """Read the configuration and open the store.

        Args:
            config: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
            store: a path, a URL or ``":memory:"``; overrides the configured one.
            clock: returns an aware datetime; by default the time of the machine.
            seed: makes exploration repeatable.
            on_config_error: called when a new version of the file is broken; the last good one stays in force.
            on_background_error: called when what is not the caller's business fails: writing the record of
                decisions, watching models. By default that is logged, once for each.

        Raises:
            ConfigError: the configuration is not usable; every problem is in the message.
            InvalidValueError: this version has no store for such a URL.
            StoreError: the store cannot be used.
        """
        self._on_config_error = on_config_error
        self._on_background_error = on_background_error
        self._background_errors: set[str] = set()
        self._watch = ConfigWatch(config, on_error=self._config_is_broken, on_change=self._config_has_changed)
        configured = self._watch.current.config.store
        location = configured.path if store is None else store
        self.tracker = ModelPerformanceTracker(location, durability=configured.durability, clock=clock)
        self.attached = AttachedDatabases(self.tracker.store.attachments, self._configured_attachments)
        """The databases of other programs whose tallies are evidence too."""
        self._store = with_attached(self.tracker.store, self.attached)
        self._clock = clock
        # not the seed itself: a host may draw its own tasks from the same one, and would move in step
        # without one, the system's numbers: forked workers must not draw the same
        self._random = random.SystemRandom() if seed is None else random.Random(f"modelperf/{seed}")
        self._closed = False
        self._begin()
        forks.renew(self._renew)

    def _begin(self) -> None:
        """Begin with what the store holds: nothing was learned, watched or kept aside yet."""
        self._has_recorded = False
        self._new_outcomes = 0
        self._catch_up_at = 0.0

        def in_force() -> Config:
            return self._watch.current.config

        self._learner = Learner(self._store.tallies, self._store.merged, in_force, self._seconds)
        self._monitor = Monitor(self._store, self._learner, config=in_force)
        self._availability = Availability(self._store.events, in_force, self._random.random)
        self._ab_tests = ABTests(self._store.ab_tests, self._store.decisions)
        self._decision_writer = DecisionWriter(
            self._store.decisions, lambda: in_force().log, on_error=self._on_background_error
        )
        self._retention = Retention(self._store.events, in_force().store.retention_days)
        self._telemetry: Telemetry | None = None
        self._measures = in_force().telemetry.metrics
        self._assessments: dict[tuple[str, tuple[str, ...]], tuple[tuple[object, ...], Assessment]] = {}

    def _renew(self) -> None:
        """Begin anew in a forked process: what was kept aside is the parent's, and its threads may have held locks."""
        self._watch.renew()
        if not self._closed:
            self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._watch.poll().config

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration in force, and where each value of it came from."""
        return self._watch.poll()

    @property
    def store(self) -> Store:
        """Where outcomes are kept; its evidence includes that of attached databases."""
        return self._store

    def select(
        self, task_type: str, candidates: Iterable[str], context: Mapping[str, Any] | None = None
    ) -> Decision | None:
        """Choose among ``candidates`` for one task of ``task_type``.

        Returns:
            The decision, or None for "no opinion": the mode is ``observe`` or ``off``, or no candidate is left.

        Raises:
            InvalidValueError: an argument is not usable.
            StoreError: the evidence could not be read.
        """
        config = self._watch.poll().config
        if config.mode == "off":
            return None
        decision = self._decide(config, task_type, candidates, context, self._random)
        if decision is None:
            return None
        self._decision_writer.on_decision(decision)
        if self._measures and (telemetry := self._measuring()):
            telemetry.decided(decision)
        if config.mode == "apply":
            self._learner.pending.add(
                decision.decision_id, task_type, decision.model_id, to_milliseconds(decision.created_at)
            )
            return decision
        logger.info("observing only: would have chosen %s for %s: %s", decision[0], task_type, decision.reason)
        return None

    def record(
        self,
        task_type: str,
        model_id: str,
        outcome: Outcome | Mapping[str, Any],
        decision: Decision | str | None = None,
    ) -> bool:
        """Write how one task ended; return False if its ``outcome_id`` was recorded before.

        ``decision`` is the decision that chose the model, its id, or None.

        Raises:
            InvalidValueError: a value is not usable; nothing was written.
            StoreError: it could not be written; nothing of it was.
        """
        decision_id = None if decision is None else _decision_id(decision)
        config = self._watch.poll().config
        if config.mode == "off":
            return False
        entry = self.tracker.entry(task_type, model_id, outcome)
        new = self.tracker.store.outcomes.record(entry)
        if new and self._measures and (telemetry := self._measuring()):
            telemetry.ended(task_type, model_id, entry.outcome)
        self._learner.pending.settle(decision_id, task_type, model_id)
        if new and decision is not None and decision_id is not None:
            self._decision_writer.on_outcome(decision_id, model_id, entry.outcome, entry.ended_ms)
            self._ab_tests.on_outcome(decision, entry, config.quality.timeouts)
        if self._availability.concerns(model_id, entry.outcome):
            self._guarded(self._availability.look)
        self._has_recorded = True
        self._new_outcomes += 1
        if self._new_outcomes >= _CATCH_UP_OUTCOMES or time.monotonic() >= self._catch_up_at:
            self._catch_up()
        return new

    def record_many(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> int:
        """Write many outcomes, each with its task type and model id, in one transaction: all of them or none.

        Returns:
            How many were new. The others have an ``outcome_id`` that was recorded before, or comes twice.

        Raises:
            InvalidValueError: a value is not usable; the message names its place. Nothing was written.
            StoreError: they could not be written; none was.
        """
        if self._watch.poll().config.mode == "off":
            return 0
        entries = self.tracker.entries(outcomes)
        if not entries:
            return 0
        new = self.store.outcomes.record_many(entries)
        for entry in entries:
            self._learner.pending.settle(None, entry.task_type, entry.model_id)
        self._has_recorded = True
        self._catch_up()
        return new

    def explain(
        self,
        task_type: str,
        candidates: Iterable[str] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision | None:
        """Return the most likely decision of :meth:`select` now, whatever the mode; writes nothing, draws nothing.

        Without ``candidates`` these are all models that have outcomes of this task type; None if there are none.

        Raises:
            InvalidValueError: an argument is not usable.
            StoreError: the evidence could not be read.
        """
        if candidates is None:
            candidates = self.store.tallies.of(check_id("task_type", task_type))
        return self._decide(self.config, task_type, candidates, context, None)

    def close(self) -> None:
        """Write what is left of the record of decisions and let go of the store; closing twice is fine."""
        if self._has_recorded:  # who only reads leaves the watching to others
            self._guarded(self._monitor.close)
        self._decision_writer.close()
        self._guarded(self._ab_tests.close)
        self.attached.close()
        self._store.close()
        self._closed = True

    def _catch_up(self) -> None:
        """Do what new outcomes call for: learn from them, watch the models, write the record of decisions."""
        self._new_outcomes = 0
        self._catch_up_at = time.monotonic() + _CATCH_UP_SECONDS
        self._guarded(self._learner.refit_if_due)
        self._guarded(self._monitor.look)
        self._guarded(self._ab_tests.catch_up)
        self._guarded(lambda: self._retention.step_if_due(lambda: to_milliseconds(self._now())))
        self._guarded(self.tracker.take_over)
        self._decision_writer.flush_if_due()

    def _measuring(self) -> Telemetry | None:
        """Return what measures; who only reads never needs it. Without its packages say so once, and go on."""
        if self._telemetry is None:
            try:
                self._telemetry = Telemetry()
            except MissingExtraError as error:
                self._measures = False
                if self._on_background_error is not None:
                    self._on_background_error(error)
                else:
                    logger.error("nothing is measured: %s", error)  # noqa: TRY400 - the message says it all
        return self._telemetry

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do what a caller who has recorded an outcome is not concerned with: its failure is not theirs."""
        try:
            action()
        except ModelPerfError as error:
            self._report(error)

    def _report(self, error: ModelPerfError) -> None:
        if self._on_background_error is not None:
            self._on_background_error(error)
        elif str(error) not in self._background_errors:
            self._background_errors.add(str(error))
            logger.error("models are not watched, nor tested, for now", exc_info=error)

    def _decide(
        self,
        config: Config,
        task_type: str,
        candidates: Iterable[str],
        context: Mapping[str, Any] | None,
        numbers: random.Random | None,
    ) -> Decision | None:
        check_id("task_type", task_type)
        offered = check_ids("candidates", candidates)
        said = Context.from_mapping(context)
        if not offered:
            return None
        now = self._now()
        now_ms = to_milliseconds(now)
        policy = config.policy_for(task_type)
        test = self._ab_tests.running(task_type, policy)
        assessment = self._assess(config, policy, test, task_type, offered, said, now_ms)
        if numbers is None or config.mode != "apply":
            test = None  # only decisions that a host follows are part of a test
        elif test is not None and not test.is_settled and not said.exclude and said.pin is None:
            begun = self._begin_test(test, assessment, now_ms)
            if begun is not test:
                test = begun
                assessment = self._assess(config, policy, test, task_type, offered, said, now_ms)
        if not assessment.candidates:
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded)
            return None
        waiting = self._learner.pending.count
        pending = [waiting(task_type, model_id) for model_id in assessment.ranking.model_ids]
        number = None if numbers is None else numbers.random()
        choice = choose(assessment, said, number, pending)
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
            assignment=None if test is None else test.assignment(assessment, choice, said.unit_id),
        )
        if test is not None:
            test.on_decision(decision)
        return decision

    def _begin_test(self, test: RunningTest, assessment: Assessment, now_ms: int) -> RunningTest:
        try:
            return self._ab_tests.begin(test, assessment, now_ms)
        except StoreError as error:
            self._report(error)
            return test

    def _assess(
        self,
        config: Config,
        policy: Policy,
        test: RunningTest | None,
        task_type: str,
        offered: tuple[str, ...],
        said: Context,
        now_ms: int,
    ) -> Assessment:
        """Assess the candidates, or return the last assessment while nothing has changed."""
        evidence = self.store.tallies.of(task_type)
        known = self._learner.know(task_type, evidence, offered)
        demoted = self._monitor.demoted(task_type)
        if test is not None:
            policy, demoted = test.policy, test.without_sides(demoted)
        paused = self._availability.paused(now_ms)
        basis = (policy, evidence, known, demoted, paused)
        remembered = self._assessments.get((task_type, offered)) if said.plain else None
        if remembered is not None and all(map(is_, remembered[0], basis)):
            return remembered[1]
        tallies = classified(evidence, config.quality.timeouts)
        knowledge = Knowledge(tallies, known, demoted, paused, self._learner.model_costs)
        assessment = assess(policy, task_type, offered, knowledge, said)
        if said.plain:
            if len(self._assessments) >= _MOST_ASSESSMENTS:
                self._assessments.clear()
            self._assessments[task_type, offered] = (basis, assessment)
        return assessment

    def _configured_attachments(self) -> list[Attached]:
        """Return the databases that the configuration attaches."""
        return from_configuration(self._watch.current.config.federation)

    def _now(self) -> datetime:
        if self._clock is None:
            return datetime.now(UTC)
        moment = self._clock()
        if not isinstance(moment, datetime) or moment.utcoffset() is None:
            raise InvalidValueError("clock", "a function that returns an aware datetime", moment)
        return moment

    def _config_is_broken(self, error: ConfigError) -> None:
        logger.error("the configuration is broken, the last good one stays in force:\n%s", error)
        if self._on_config_error is not None:
            self._on_config_error(error)

    def _seconds(self) -> float:
        return time.time() if self._clock is None else self._now().timestamp()

    def _config_has_changed(self) -> None:
        logger.info("the configuration was read again")
        self._learner.start_afresh()


def _decision_id(decision: Decision | str) -> str:
    return decision.decision_id if isinstance(decision, Decision) else check_id("decision", decision)
