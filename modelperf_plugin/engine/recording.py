"""What happens when an outcome or a verdict comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_tests import ABTests
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.catching_up import CatchingUp
from modelperf_plugin.engine.decision_writer import DecisionWriter, is_decision_id, is_in_share
from modelperf_plugin.engine.learning import Learning
from modelperf_plugin.engine.list_prices import ListPrices
from modelperf_plugin.engine.outcome_ids import refuse_any_taken, refuse_taken
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.engine.spelling import as_logged
from modelperf_plugin.engine.telemetry import Measurements
from modelperf_plugin.engine.tries import Tries
from modelperf_plugin.log import logger
from modelperf_plugin.store import Joining, Store
from modelperf_plugin.store.entries import Entry, Recorded, id_by_decision
from modelperf_plugin.values import Decision, Outcome, check_id
from modelperf_plugin.values.names import Aliases


class Followers(NamedTuple):
    """Who is told of each outcome, besides those who learn from it."""

    tries: Tries
    ab_tests: ABTests
    decision_writer: DecisionWriter
    measurements: Measurements
    errors: BackgroundErrors


class Recording:
    """Writes outcomes and verdicts, and tells all who follow them. Any thread may call any method."""

    def __init__(
        self,
        store: Store,
        tracker: ModelPerformanceTracker,
        aliases: Aliases,
        followers: Followers,
        catching_up: CatchingUp,
        *,
        config: Callable[[], Config],
        now_ms: Callable[[], int],
        prices: ListPrices,
    ) -> None:
        """Record into ``store``; ``config`` returns the configuration in force, read again if it has changed."""
        self._store = store
        self._tracker = tracker
        self._aliases = aliases
        self._config = config
        self._now_ms = now_ms
        self._prices = prices
        self._tries, self._ab_tests, self._decision_writer, self._measurements, self._errors = followers
        self._catching_up = catching_up
        self.learning: Learning
        """What follows the outcomes; replaced when models get other names."""

    def record(
        self, task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any], decision: Decision | str | None
    ) -> bool:
        """See :meth:`~modelperf_plugin.engine.core.ModelPerf.record`."""
        decision_id = None if decision is None else _decision_id(decision)
        config = self._config()
        if config.mode == "off":
            return False
        (entry,) = self._prices.priced([self._tracker.entry(task_type, model_id, outcome)], self._store.outcomes)
        if entry.outcome.score is not None:
            entry = _passing(entry, config)
        model_id, joining = entry.model_id, None
        if decision is not None and decision_id is not None:
            if ids := self._aliases.ids:
                decision = as_logged(decision, ids)
            if tried := self._tries.before(decision, task_type, model_id, config.quality.timeouts):
                entry = entry._replace(tried=tried)
            joining = self._decision_writer.joining(decision_id, entry)
        recorded = self._tracker.store.outcomes.record(entry, joining)
        new = recorded is Recorded.NEW
        learning = self.learning
        if new:
            learning.spending.on_outcome(entry)
            self._measurements.on_outcome(entry)
        learning.learner.pending.settle(decision_id, task_type, model_id)
        refuse_taken(self._store.outcomes, entry, recorded)
        if new and decision is not None and decision_id is not None:
            self._on_tried(decision, decision_id, entry, joining, config)
        elif recorded is Recorded.REVISED:
            self._on_revised(task_type, decision_id, entry.outcome.outcome_id)
        if new and learning.availability.concerns(model_id, entry.outcome):
            self._errors.guard(learning.availability.refresh)
        self._catching_up.after_outcome()
        return recorded is not Recorded.NOTHING

    def record_many(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> int:
        """See :meth:`~modelperf_plugin.engine.core.ModelPerf.record_many`."""
        config = self._config()
        if config.mode == "off":
            return 0
        passing = [_passing(entry, config) for entry in self._tracker.entries(outcomes)]
        entries = self._prices.priced(passing, self._store.outcomes)
        if not entries:
            return 0
        refuse_any_taken(self._store.outcomes, entries)
        new = self._store.outcomes.record_many(entries)
        are_new = new == len(entries)
        self.learning.spending.on_many(each for each in entries if are_new or each.outcome.outcome_id is None)
        for entry in entries:
            self.learning.learner.pending.settle(None, entry.task_type, entry.model_id)
        self._catching_up.after_many()
        if self._ab_tests.are_live:  # any outcome with an id may have replaced a verdict that a test counts
            for entry in entries:
                if entry.outcome.outcome_id is not None:
                    self._ab_tests.on_revised(None, entry.outcome.outcome_id)
                    self._catching_up.exchange_verdicts()
        return new

    def report(self, decision: Decision | str, *, success: bool | None, score: float | None) -> bool:
        """See :meth:`~modelperf_plugin.engine.core.ModelPerf.report`."""
        decision_id, config = _decision_id(decision), self._config()
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

    def _on_revised(self, task_type: str, decision_id: str | None, outcome_id: str | None) -> None:
        """Take in that a verdict was replaced in the store, or will be once the store can be written to."""
        if decision_id is not None:
            self._tries.forget(decision_id)
        self._errors.guard(lambda: self.learning.learner.forget(task_type))
        self._ab_tests.on_revised(decision_id, outcome_id)
        self._catching_up.exchange_verdicts()


def _passing(entry: Entry, config: Config) -> Entry:
    """Return an entry; one that came with a score alone is a success from the configured score on."""
    outcome = entry.outcome
    passing = outcome.passing(config.quality.pass_score)
    return entry if passing is outcome else entry._replace(outcome=passing)


def _decision_id(decision: Decision | str) -> str:
    return decision.decision_id if isinstance(decision, Decision) else check_id("decision", decision)
