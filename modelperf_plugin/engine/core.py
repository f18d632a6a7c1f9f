"""The engine: chooses, records and explains. All front ends (hooks, adapters, command line) call it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self

from modelperf_plugin.config import Config, ConfigSource, ConfigWatch, LoadedConfig
from modelperf_plugin.engine.ab_tests import ABTests
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.budget_state import BudgetState
from modelperf_plugin.engine.choosing import Chooser, Parts
from modelperf_plugin.engine.clock import Clock, HostClock
from modelperf_plugin.engine.decision_writer import DecisionWriter, is_decision_id, is_in_share
from modelperf_plugin.engine.learning import Learning
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.engine.retention import Retention
from modelperf_plugin.engine.spelling import as_logged
from modelperf_plugin.engine.telemetry import Telemetry
from modelperf_plugin.engine.timed import Timed
from modelperf_plugin.engine.tries import Tries
from modelperf_plugin.errors import ConfigError, ModelPerfError
from modelperf_plugin.exchange.attached.databases import AttachedDatabases, from_configuration
from modelperf_plugin.log import logger
from modelperf_plugin.store import Joining, Store, forks
from modelperf_plugin.store.aliases.store import with_aliases
from modelperf_plugin.store.attached import with_attached
from modelperf_plugin.store.deadline import NO_WAIT, SPARE_SECONDS, within
from modelperf_plugin.store.entries import Entry, Recorded, id_by_decision
from modelperf_plugin.values import DAY_MS, Decision, Outcome, check_id, to_milliseconds
from modelperf_plugin.values.names import Aliases

_CATCH_UP_OUTCOMES: Final = 8
_CATCH_UP_SECONDS: Final = 1.0
"""After this many outcomes, or this time, a recording call also processes the new outcomes."""


class ModelPerf:
    """Learns from outcomes which model to use. A context manager; any thread may call any method.

    This is the direct API; :func:`modelperf_plugin.register` offers it as hooks. Here an invalid argument or a failing
    store raises; the hooks never do.
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
            on_config_error: called when a new version of the file is invalid; the last valid one stays in force.
            on_background_error: called when work fails that no caller waits for, such as writing the decision log or
                detecting changes of models. By default each such error is logged once.

        Raises:
            ConfigError: the configuration is invalid; the message contains every problem.
            InvalidValueError: this version has no store for such a URL.
            StoreError: the store cannot be used.
        """
        self._on_config_error = on_config_error
        self._errors = BackgroundErrors(on_background_error)
        self._watch = ConfigWatch(config, on_error=self._on_broken_config, on_change=self._on_new_config)
        if clock is not None:
            clock = HostClock(clock, partial(self._errors.report, "the machine's time is used"))
        self._opened_with = configured = self._watch.current.config.store
        self._overridden = set() if store is None else {"path"}
        location = configured.path if store is None else store
        self.patience = configured.patience_seconds
        """For how many seconds a record, and closing, wait for others that write."""
        self.tracker = ModelPerformanceTracker(
            location, durability=configured.durability, patience=self.patience, clock=clock
        )
        self.attached = AttachedDatabases(
            self.tracker.store.attachments, lambda: from_configuration(self._watch.current.config.federation)
        )
        """Databases of other programs whose outcomes are evidence, too."""
        self._aliases = Aliases(self._watch.current.config.canonical_ids)
        self._store = with_aliases(with_attached(self.tracker.store, self.attached), self._aliases)
        self.tracker.store = with_aliases(self.tracker.store, self._aliases)
        self.tracker.rename(self._aliases.ids)
        self._clock = clock
        # with a seed: not the seed itself, which the host's own random numbers may share
        # without: the system's numbers, so that forked workers do not draw the same ones
        self._random = random.SystemRandom() if seed is None else random.Random(f"modelperf/{seed}")
        self._closed = False
        self._begin()
        forks.renew(self, ModelPerf._renew)

    def _begin(self) -> None:
        """Start with what the store holds, and with nothing in memory."""
        self._has_recorded = False
        self._new_outcomes = 0
        self._catch_up_at = 0.0
        self._has_fitted = False
        self._decision_writer = DecisionWriter(
            self._store.decisions,
            lambda: self._in_force().log,
            on_error=partial(self._errors.report, "the decision log could not be written"),
            on_joined=lambda joined: self._ab_tests.on_joined(joined, self._in_force().quality.timeouts),
        )
        self._ab_tests = ABTests(
            self._store.ab_tests, self._store.decisions, write_decisions=self._decision_writer.flush
        )
        self._tries = Tries(self._store.decisions, self._store.unmatched, self._errors)
        self._retention = Retention(self._store.events, self._in_force().store.retention_days)
        self._telemetry: Telemetry | None = None
        self._measures = self._in_force().telemetry.metrics
        self._begin_learning()

    def _begin_learning(self) -> None:
        """Learn from what the store holds, under the names that are configured."""
        learning = Learning.of(
            self._store, self._in_force, seconds=self._seconds, now_ms=self._now_ms, number=self._random.random
        )
        timed = Timed(self._store.tallies, self._in_force, lambda: self._now_ms() // DAY_MS)
        parts = Parts(self._store.tallies, *learning, self._ab_tests, self._tries, timed)
        self._chooser = Chooser(parts, now=self._now, errors=self._errors)
        self._learner, self._monitor, self._availability, self._spending = learning

    def _in_force(self) -> Config:
        return self._watch.current.config

    def _renew(self) -> None:
        """Start over in a forked process: waiting entries are the parent's, and its threads may have held locks."""
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
        """The configuration in force, with the source of each value."""
        return self._watch.poll()

    @property
    def store(self) -> Store:
        """The store of outcomes; its tallies include those of attached databases."""
        return self._store

    def select(
        self, task_type: str, candidates: Iterable[str], context: Mapping[str, Any] | None = None
    ) -> Decision | None:
        """Choose among ``candidates`` for one task of ``task_type``.

        Returns:
            The decision, or None for "no opinion": the mode is ``observe`` or ``off``, or no candidate is left.

        Raises:
            InvalidValueError: an argument is invalid.
            StoreError: the evidence could not be read.
        """
        config = self._watch.poll().config
        if config.mode == "off":
            return None
        made = self._chooser.decide(config, task_type, candidates, context, self._random)
        if made is None:
            return None
        decision, for_host = made
        self._decision_writer.on_decision(decision)
        if self._measures and (telemetry := self._open_telemetry()):
            telemetry.on_decision(decision)
        if config.mode == "apply":
            self._tries.on_decision(decision)
            self._availability.on_decision(decision.model_id, to_milliseconds(decision.created_at))
            self._learner.pending.add(
                decision.decision_id, task_type, decision.model_id, to_milliseconds(decision.created_at)
            )
            return for_host
        logger.info("observing only: would have chosen %s for %s: %s", decision[0], task_type, decision.reason)
        return None

    def record(
        self,
        task_type: str,
        model_id: str,
        outcome: Outcome | Mapping[str, Any],
        decision: Decision | str | None = None,
    ) -> bool:
        """Write an outcome, as :meth:`modelperf_plugin.ModelPerformanceTracker.record_outcome` does.

        Returns:
            Whether the store has changed: the outcome is new, or has another verdict than the one that was recorded
            under its ``outcome_id``, which it replaces.

        ``decision`` is the decision that chose the model, its id, or None. What has failed before on its task makes
        this a later try; without a decision it is a first try.
        """
        decision_id = None if decision is None else _decision_id(decision)
        config = self._watch.poll().config
        if config.mode == "off":
            return False
        entry = _passing(self.tracker.entry(task_type, model_id, outcome), config)
        model_id, decision = entry.model_id, as_logged(decision, self._aliases.ids)
        joining = None
        if decision is not None and decision_id is not None:
            if tried := self._tries.before(decision, task_type, model_id, config.quality.timeouts):
                entry = entry._replace(tried=tried)
            joining = self._decision_writer.joining(decision_id, entry)
        recorded = self.tracker.store.outcomes.record(entry, joining)
        new = recorded is Recorded.NEW
        if new:
            self._on_new(task_type, model_id, entry)
        self._learner.pending.settle(decision_id, task_type, model_id)
        if new and decision is not None and decision_id is not None:
            self._on_tried(decision, decision_id, entry, joining, config)
        elif recorded is Recorded.REVISED:
            self._on_revised(task_type, decision_id, entry.outcome.outcome_id)
        if new and self._availability.concerns(model_id, entry.outcome):
            self._errors.guard(self._availability.refresh)
        self._has_recorded = True
        self._new_outcomes += 1
        if self._new_outcomes >= _CATCH_UP_OUTCOMES or time.monotonic() >= self._catch_up_at:
            self._catch_up_briefly()
        return recorded is not Recorded.NOTHING

    def _on_tried(
        self, decision: Decision | str, decision_id: str, entry: Entry, joining: Joining | None, config: Config
    ) -> None:
        """Take in that an outcome under a decision was recorded."""
        self._tries.add(decision, entry, config.quality.timeouts)
        self._ab_tests.on_outcome(decision, entry, config.quality.timeouts)
        if joining is not None and joining.is_stored:
            joined = self._decision_writer.on_stored(joining)
        else:
            outcome = entry.outcome if joining is None else joining.outcome.outcome
            joined = self._decision_writer.on_outcome(decision_id, entry.model_id, outcome, entry.ended_ms)
        if joined and isinstance(decision, str):
            self._ab_tests.on_joined(joined, config.quality.timeouts)
        if joining is not None and joining.has_verdict:
            self._on_revised(entry.task_type, decision_id, entry.outcome.outcome_id)

    def report(self, decision: Decision | str, *, success: bool | None = None, score: float | None = None) -> bool:
        """Give the last outcome of a decision its verdict, or another one; return whether that changed the store.

        The short form of :meth:`record` for who judges a result and knows the decision only, in any process and at any
        time. It replaces ``success`` and ``score`` of the outcome, whichever of its models it is from; the error kind
        goes with a success. Without an outcome the verdict is recorded as that of the chosen model, and the rest is
        added when the outcome comes. It waits for a decision that another process has yet to log. The decision must be
        in the log (``[log] share``): otherwise use an ``outcome_id``.

        Raises:
            InvalidValueError: an argument is invalid, or there is neither ``success`` nor ``score``.
            StoreError: the store cannot be used.
        """
        decision_id, config = _decision_id(decision), self._watch.poll().config
        outcome = Outcome(success=success, score=score, outcome_id=id_by_decision(decision_id))  # type: ignore[arg-type]
        if config.mode == "off":
            return False
        chosen = self._decision_writer.waiting(decision_id) or self._store.decisions.get(decision_id)
        if chosen is None and isinstance(decision, Decision) and (self._store.busy or self._store.degraded is not None):
            chosen = decision  # the log is not at hand: the verdict finds its outcome when it is moved into the store
        if chosen is not None:
            return self.record(chosen.task_type, chosen.model_id, outcome, decision)
        if not (is_decision_id(decision_id) and is_in_share(decision_id, config.log.share)):
            logger.warning("the verdict on %s is lost: that decision is not in the log", decision_id)
            return False
        outcome = outcome.passing(config.quality.pass_score)
        return self._store.decisions.report(decision_id, outcome, self._now_ms()) is not Recorded.NOTHING

    def _on_revised(self, task_type: str, decision_id: str | None, outcome_id: str | None) -> None:
        """Take in that a verdict was replaced in the store, or will be once the store can be written to."""
        if decision_id is not None:
            self._tries.forget(decision_id)
        self._errors.guard(lambda: self._learner.forget(task_type))
        self._ab_tests.on_revised(decision_id, outcome_id)
        self._exchange_verdicts()

    def _exchange_verdicts(self) -> None:
        """Have A/B tests take in the verdicts that were replaced, unless these wait to be moved into the store."""
        if not self._store.busy and self._store.degraded is None:
            timeouts = self.config.quality.timeouts
            self._errors.guard(lambda: within(SPARE_SECONDS, lambda: self._ab_tests.revise(timeouts)))

    def _on_new(self, task_type: str, model_id: str, entry: Entry) -> None:
        self._spending.on_outcome(task_type, model_id, entry.ended_ms, entry.outcome.cost_nano_usd)
        if self._measures and (telemetry := self._open_telemetry()):
            telemetry.on_outcome(task_type, model_id, entry.outcome)

    def record_many(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> int:
        """Write many outcomes, as :meth:`modelperf_plugin.ModelPerformanceTracker.record_many` does."""
        config = self._watch.poll().config
        if config.mode == "off":
            return 0
        entries = [_passing(entry, config) for entry in self.tracker.entries(outcomes)]
        if not entries:
            return 0
        new = self.store.outcomes.record_many(entries)
        for entry in entries:
            self._learner.pending.settle(None, entry.task_type, entry.model_id)
        self._has_recorded = True
        self._catch_up_briefly()
        return new

    def budgets(self) -> list[BudgetState]:
        """Return each budget as it stands: what is left of it, and what money costs.

        Raises:
            StoreError: what was spent could not be read.
        """
        return self._chooser.budgets(self.config)

    def explain(
        self, task_type: str, candidates: Iterable[str] | None = None, context: Mapping[str, Any] | None = None
    ) -> Decision | None:
        """Return the decision that :meth:`select` would most likely make now, whatever the mode; writes nothing.

        Without ``candidates`` it chooses among all models with outcomes of this task type; None if there are none.

        Raises:
            InvalidValueError: an argument is invalid.
            StoreError: the evidence could not be read.
        """
        if candidates is None:
            candidates = self.store.tallies.of(check_id("task_type", task_type))
        made = self._chooser.decide(self.config, task_type, candidates, context, None)
        return None if made is None else made[1]

    def close(self) -> None:
        """Write the rest of the decision log and release the store; closing twice is fine.

        Others that write are waited for as long as by one record.
        """
        within(self.patience, self._close)

    def _close(self) -> None:
        guard = self._errors.guard  # whatever fails, the rest is closed
        if self._has_recorded:  # read-only engines do not process outcomes
            guard(self._monitor.close)
        guard(self._decision_writer.close, "the rest of the decision log was not written")
        guard(self._ab_tests.close)
        guard(self.attached.close, "an attached database was not closed")
        guard(self.tracker.close, "the store was not closed")
        self._closed = True

    def _catch_up_briefly(self) -> None:
        """Do what a call that records does besides; what would have to wait for others is left to the next call."""
        within(NO_WAIT if self._store.busy else SPARE_SECONDS, self._catch_up)

    def _catch_up(self) -> None:
        """Process new outcomes: learn from them, detect changes, advance A/B tests, write the decision log."""
        self._new_outcomes = 0
        self._catch_up_at = time.monotonic() + _CATCH_UP_SECONDS
        self._errors.guard(self._learn)
        self._errors.guard(self._ab_tests.catch_up)
        self._exchange_verdicts()
        self._errors.guard(lambda: self._retention.step_if_due(self._now_ms))
        self._errors.guard(self.tracker.take_over)
        self._decision_writer.flush_if_due()

    def _learn(self) -> None:
        """Go on with the fit or with the watches: no call does both, and the next one does what is left.

        While slices of the fit are left, they take turns.
        """
        is_their_turn = self._has_fitted and self._learner.is_behind
        self._has_fitted = not is_their_turn and self._learner.refit_if_due()
        if self._has_fitted or self._monitor.process_new_outcomes() or self._learner.is_behind:
            self._catch_up_at = 0.0

    def _open_telemetry(self) -> Telemetry | None:
        """Return the telemetry, opened when first used; None if its packages are not installed."""
        if self._telemetry is None:
            try:
                self._telemetry = Telemetry(partial(self._errors.report, "a measurement is missing"))
            except ModelPerfError as error:
                self._measures = False
                self._errors.report("nothing is measured", error)
        return self._telemetry

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else self._clock()

    def _now_ms(self) -> int:
        return to_milliseconds(self._now())

    def _seconds(self) -> float:
        return time.time() if self._clock is None else self._now().timestamp()

    def _on_broken_config(self, error: ConfigError) -> None:
        logger.error("the configuration is invalid, the last valid one stays in force:\n%s", error)
        if self._on_config_error is not None:
            self._on_config_error(error)

    def _on_new_config(self) -> None:
        logger.info("the configuration was reloaded")
        ids = self._watch.current.config.canonical_ids
        if ids != self._aliases.ids:
            self._aliases.ids = ids
            self.tracker.rename(ids)
            self._errors.guard(self._begin_learning)  # what is in memory goes by other names
        self._learner.reset()
        new = self._watch.current.config.store
        if changed := [key for key in new.keys_that_differ(self._opened_with) if key not in self._overridden]:
            logger.warning(
                "[store] %s changed, but this process still uses %s as it was opened: restart it to apply the change",
                " and ".join(changed),
                self._store.location,
            )


def _passing(entry: Entry, config: Config) -> Entry:
    """Return an entry; one that came with a score alone is a success from the configured score on."""
    outcome = entry.outcome
    if outcome.score is None:
        return entry
    return entry._replace(outcome=outcome.passing(config.quality.pass_score))


def _decision_id(decision: Decision | str) -> str:
    return decision.decision_id if isinstance(decision, Decision) else check_id("decision", decision)
