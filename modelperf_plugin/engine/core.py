"""The engine: chooses, records and explains. All front ends (hooks, adapters, command line) call it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from modelperf_plugin.config import Config, ConfigSource, ConfigWatch, LoadedConfig
from modelperf_plugin.engine.ab_tests import ABTests
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.budget_state import BudgetState
from modelperf_plugin.engine.catching_up import CatchingUp
from modelperf_plugin.engine.choosing import Chooser, Parts
from modelperf_plugin.engine.clock import Clock, HostClock
from modelperf_plugin.engine.decision_writer import DecisionWriter
from modelperf_plugin.engine.findings import Findings
from modelperf_plugin.engine.learning import Learning
from modelperf_plugin.engine.list_prices import ListPrices
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.engine.recording import Followers, Recording
from modelperf_plugin.engine.retention import Retention
from modelperf_plugin.engine.telemetry import Measurements
from modelperf_plugin.engine.timed import Timed
from modelperf_plugin.engine.tries import Tries
from modelperf_plugin.errors import ConfigError
from modelperf_plugin.exchange.attached.databases import AttachedDatabases, from_configuration
from modelperf_plugin.log import logger
from modelperf_plugin.recorder.link import EngineLink
from modelperf_plugin.recorder.methods import CallRecorder
from modelperf_plugin.recorder.ticket import Ticket, is_ticket
from modelperf_plugin.store import Store, forks
from modelperf_plugin.store.aliases.store import with_aliases
from modelperf_plugin.store.attached import with_attached
from modelperf_plugin.store.deadline import within
from modelperf_plugin.values import DAY_MS, Decision, Outcome, check_id, to_milliseconds
from modelperf_plugin.values.names import Aliases


class ModelPerf(CallRecorder):
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
            MissingExtraError: the library for such a URL is not installed.
            StoreError: the store cannot be used.
        """
        self._on_config_error = on_config_error
        self._errors = BackgroundErrors(on_background_error)
        self._watch = ConfigWatch(config, on_error=self._on_broken_config, on_change=self._on_new_config)
        if clock is not None:
            clock = HostClock(clock, partial(self._errors.report, "the machine's time is used"))
        self._opened_with = configured = self._watch.current.config.store
        self._overridden = set() if store is None else {"path", "url"}
        location = configured.location if store is None else store
        self.patience = configured.patience_seconds
        """For how many seconds a record, and closing, wait for other writers."""
        self.tracker = ModelPerformanceTracker(
            location, durability=configured.durability, patience=self.patience, spool=configured.path, clock=clock
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
        self._link = EngineLink(
            self, now_ms=self._now_ms, note=self._errors.report, cost_of=self._cost_of,
            hand_out=lambda decision_id: self._decision_writer.hand_out(decision_id),  # noqa: PLW0108 - a fork has another
        )  # fmt: skip
        self.findings = Findings(self._store, self._errors)
        self._begin()
        forks.renew(self, ModelPerf._renew)

    def _begin(self) -> None:
        """Start with what the store holds, and with nothing in memory."""
        self._decision_writer = DecisionWriter(
            self._store.decisions,
            lambda: self._in_force().log,
            on_error=partial(self._errors.report, "the decision log could not be written"),
            on_joined=lambda joined: self._ab_tests.on_joined(joined, self._in_force().quality.timeouts),
        )
        self._ab_tests = ABTests(
            self._store.ab_tests,
            self._store.decisions,
            write_decisions=self._decision_writer.flush,
            now_ms=self._now_ms,
        )
        self._prices = ListPrices(self._store.spending, self._in_force, self._errors)
        self._tries = Tries(self._store.decisions, self._store.unmatched, self._errors)
        self._measurements = Measurements(self._errors, are_wanted=self._in_force().telemetry.metrics)
        retention = Retention(self._store.events, self._in_force().store.retention_days)
        self._catching_up = CatchingUp(
            self._store, self.tracker, self._ab_tests, self._decision_writer, retention, self._errors,
            config=self._newest, now_ms=self._now_ms,
        )  # fmt: skip
        self._catching_up.findings = self.findings
        followers = Followers(self._tries, self._ab_tests, self._decision_writer, self._measurements, self._errors)
        self._recording = Recording(
            self._store, self.tracker, self._aliases, followers, self._catching_up,
            config=self._newest, now_ms=self._now_ms, prices=self._prices,
        )  # fmt: skip
        self._begin_learning()

    def _begin_learning(self) -> None:
        """Learn from what the store holds, under the names that are configured."""
        learning = Learning.of(
            self._store, self._in_force, seconds=self._seconds, now_ms=self._now_ms, number=self._random.random
        )
        timed = Timed(self._store.tallies, self._in_force, lambda: self._now_ms() // DAY_MS)
        parts = Parts(
            self._store.tallies, *learning, self._ab_tests, self._tries, timed, self._prices, self._store.connection
        )
        self._chooser = Chooser(parts, now=self._now, errors=self._errors)
        self._learner, self._monitor, self._availability, _ = learning
        self._catching_up.learning = self._recording.learning = learning

    def _in_force(self) -> Config:
        return self._watch.current.config

    def _newest(self) -> Config:
        return self._watch.poll().config

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
        made = self._chooser.choose(config, task_type, candidates, context, self._random)
        self._catching_up.after_choice()
        if made is None:
            return None
        decision, for_host = made
        self._prices.expect(decision.order)
        self._decision_writer.on_decision(decision)
        self._measurements.on_decision(decision)
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
            Whether the store has changed: the outcome is new, or its verdict replaces a different one that was
            recorded under its ``outcome_id``.

        ``decision`` is the decision that chose the model, its id, or None. What has failed before on its task makes
        this a later try; without a decision it is a first try.
        """
        return self._recording.record(task_type, model_id, outcome, decision)

    def report(self, decision: Decision | str, *, success: bool | None = None, score: float | None = None) -> bool:
        """Give the last outcome of a decision its verdict, or another one; return whether that changed the store.

        Or to the attempt of a ticket, :attr:`modelperf_plugin.recorder.Task.ticket`, which needs neither decision nor
        log. The rest is about decisions.

        The short form of :meth:`record` for callers that know only the decision, in any process and at any time. It
        replaces ``success`` and ``score`` of the outcome, whichever model of the decision it is from; a success clears
        the error kind. Without an outcome the verdict is recorded as that of the chosen model, and the rest is added
        when the outcome arrives. If another process has yet to log the decision, the verdict waits for it. The
        decision must be in the log (``[log] share``): otherwise use an ``outcome_id``.

        Raises:
            InvalidValueError: an argument is invalid, or there is neither ``success`` nor ``score``.
            StoreError: the store cannot be used.
        """
        if is_ticket(decision):
            ticket = Ticket.read(decision)
            return ticket.report(
                lambda outcome: self.record(ticket.task_type, ticket.model_id, outcome, ticket.decision_id),
                success, score,
            )  # fmt: skip
        return self._recording.report(decision, success=success, score=score)

    def record_many(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> int:
        """Write many outcomes, as :meth:`modelperf_plugin.ModelPerformanceTracker.record_many` does."""
        return self._recording.record_many(outcomes)

    def budgets(self) -> list[BudgetState]:
        """Return the state of each budget: what is left of it, and the price of money.

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

    def settle(self) -> None:
        """Learn from all outcomes now rather than when it is due, so that a simulation does not depend on its speed."""
        self._catching_up.after_many()
        self._errors.guard(self._availability.refresh)

    def close(self) -> None:
        """Write the rest of the decision log and release the store; closing twice is fine.

        It waits for other writers no longer than one record does.
        """
        within(self.patience, self._close)

    def _close(self) -> None:
        if self._closed:
            return
        guard = self._errors.guard  # whatever fails, the rest is closed
        self._catching_up.close()
        if self._catching_up.has_recorded:  # read-only engines do not process outcomes
            guard(self._monitor.close)
        guard(self.findings.close, "what was found last was not told")
        guard(self._decision_writer.close, "the rest of the decision log was not written")
        guard(self._ab_tests.close)
        guard(self.attached.close, "an attached database was not closed")
        guard(self.tracker.close, "the store was not closed")
        self._closed = True

    def _cost_of(self, model_id: str, tokens: int, output: int | None, served: str | None) -> float:
        return self._prices.cost_of(model_id, tokens, output, served)

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
            self.findings.start_over()
            self._errors.guard(self._begin_learning)  # what is in memory goes by other names
        self._learner.reset()
        new = self._watch.current.config.store
        if changed := [key for key in new.keys_that_differ(self._opened_with) if key not in self._overridden]:
            logger.warning(
                "[store] %s changed, but this process still uses %s as it was opened: restart it to apply the change",
                " and ".join(changed),
                self._store.location,
            )
