"""The engine: chooses, records and explains. Every front end (hooks, adapters, command line) calls this."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

from modelperf_plugin.config import Config, ConfigSource, ConfigWatch
from modelperf_plugin.errors import ConfigError, InvalidValueError
from modelperf_plugin.policy import assess, choose
from modelperf_plugin.store import Store
from modelperf_plugin.tracker import Clock, ModelPerformanceTracker
from modelperf_plugin.types import Context, Decision, Outcome, check_id, check_ids

logger = logging.getLogger("modelperf_plugin")

_DECISION_ID_BYTES: Final = 10


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
    ) -> None:
        """Read the configuration and open the store.

        Args:
            config: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
            store: a path, a URL or ``":memory:"``; overrides the configured one.
            clock: returns an aware datetime; by default the time of the machine.
            seed: makes exploration repeatable.
            on_config_error: called when a new version of the file is broken; the last good one stays in force.

        Raises:
            ConfigError: the configuration is not usable; every problem is in the message.
            InvalidValueError: this version has no store for such a URL.
            StoreError: the store cannot be used.
        """
        self._on_config_error = on_config_error
        self._watch = ConfigWatch(config, on_error=self._config_is_broken, on_change=self._config_has_changed)
        configured = self._watch.current.config.store
        location = configured.path if store is None else store
        self.tracker = ModelPerformanceTracker(location, durability=configured.durability, clock=clock)
        self._clock = clock
        # not the seed itself: a host may draw its own tasks from the same one, and would move in step
        self._random = random.Random() if seed is None else random.Random(f"modelperf/{seed}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._watch.poll().config

    @property
    def store(self) -> Store:
        """Where outcomes are kept."""
        return self.tracker.store

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
        if config.mode == "apply" or decision is None:
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
        if decision is not None and not isinstance(decision, Decision):
            check_id("decision", decision)
        if self._watch.poll().config.mode == "off":
            return False
        return self.tracker.record_outcome(task_type, model_id, outcome)

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
            candidates = self.store.evidence(check_id("task_type", task_type))
        return self._decide(self.config, task_type, candidates, context, None)

    def close(self) -> None:
        """Let go of the store; closing twice is fine."""
        self.tracker.close()

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
        policy = config.policy_for(task_type)
        assessment = assess(policy, task_type, offered, self.store.evidence(task_type), said)
        if not assessment.ranking:
            logger.info("no candidate is left for %s: %s", task_type, assessment.excluded)
            return None
        choice = choose(policy, assessment, said, None if numbers is None else numbers.random())
        return Decision(
            order=choice.order,
            decision_id=os.urandom(_DECISION_ID_BYTES).hex(),
            task_type=task_type,
            ranking=assessment.ranking,
            probabilities=choice.probabilities,
            reason=choice.reason,
            explored=choice.explored,
            excluded=assessment.excluded,
            policy_id=policy.policy_id,
            mode=config.mode,
            created_at=self._now(),
        )

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

    def _config_has_changed(self) -> None:
        logger.info("the configuration was read again")
