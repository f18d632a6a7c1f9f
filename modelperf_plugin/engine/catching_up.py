"""What a call that records does besides, in short steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_tests import ABTests
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.engine.decision_writer import DecisionWriter
from modelperf_plugin.engine.findings import Findings
from modelperf_plugin.engine.learning import Learning
from modelperf_plugin.engine.monitor import BESIDE_COST
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.engine.retention import Retention
from modelperf_plugin.store import Store
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.deadline import NO_WAIT, SPARE_SECONDS, within
from modelperf_plugin.store.local import LocalRead, locally

_OUTCOMES: Final = 8
_SECONDS: Final = 1.0
"""After this many outcomes, or this time, a recording call also processes the new outcomes."""
_PAUSE_SECONDS: Final = 0.002
"""The time between two steps of the thread that does it instead if the store is on a server."""
_MOST_BEHIND: Final = 16
"""From so many outcomes on that the thread has not seen, a recording call does it nevertheless.

Outcomes are judged by beliefs that may include later ones: if these were many, a model would seem to have changed.
"""


class CatchingUp:
    """Learns from new outcomes, detects changes, advances A/B tests and writes the decision log. Nothing raises.

    A call that records takes the steps, which are short. With a store on a server a thread takes them, because they ask
    it several times.
    """

    def __init__(
        self,
        store: Store,
        tracker: ModelPerformanceTracker,
        ab_tests: ABTests,
        decision_writer: DecisionWriter,
        retention: Retention,
        errors: BackgroundErrors,
        *,
        config: Callable[[], Config],
        now_ms: Callable[[], int],
    ) -> None:
        """Begin with nothing to do; ``config`` returns the configuration in force, read again if it has changed."""
        self._store = store
        self._tracker = tracker
        self._ab_tests = ab_tests
        self._decision_writer = decision_writer
        self._retention = retention
        self._errors = errors
        self._config = config
        self._now_ms = now_ms
        self._new_outcomes = 0
        self._next_at = 0.0
        self._has_fitted = self._is_behind = False
        self.has_recorded = False
        """Whether this process has recorded: read-only ones do not process outcomes."""
        self._beside = Background(
            self, CatchingUp._step_beside, name="modelperf catching up", on_error=CatchingUp._on_error
        )
        self.findings: Findings
        """Who tells the host what is found."""
        self.learning: Learning
        """What follows the outcomes; replaced when models get other names."""

    def after_choice(self) -> None:
        """Have the thread do what a choice leaves to it."""
        if self._store.connection.is_remote and self.learning.learner.is_due:
            self._beside.wake()
        self.findings.after_call()

    def after_outcome(self) -> None:
        """Process the new outcomes if there are several, or if it was not done for a while."""
        self.has_recorded = True
        self._new_outcomes += 1
        is_done_beside = self._store.connection.is_remote and self._beside.wake() and self._new_outcomes < _MOST_BEHIND
        if not is_done_beside and (self._new_outcomes >= _OUTCOMES or time.monotonic() >= self._next_at):
            self._step()
        self.findings.after_call()

    def after_many(self) -> None:
        """Process the new outcomes."""
        self.has_recorded = True
        if not (self._store.connection.is_remote and self._beside.wake()):
            self._step()
        self.findings.after_call()

    def close(self) -> None:
        """End the thread; what it leaves is done by others, or by the next process."""
        self._beside.close()

    def exchange_verdicts(self) -> None:
        """Have A/B tests take in the verdicts that were replaced, unless these wait to be moved into the store."""
        if not self._store.busy and self._store.degraded is None:
            timeouts = self._config().quality.timeouts
            self._errors.guard(lambda: within(SPARE_SECONDS, lambda: self._ab_tests.revise(timeouts)))

    def _step(self) -> None:
        """Take the next step; what would have to wait for others is left to the next call."""
        within(NO_WAIT if self._store.busy else SPARE_SECONDS, partial(self._catch_up, self._learn))

    def _step_beside(self) -> float | None:
        """Take the next step in the thread; return when to take another one."""
        if self._store.connection.behind is not None:
            return _SECONDS  # choices would wait for what it holds
        seen, self._is_behind = self._new_outcomes, False
        locally(LocalRead(is_direct=True), partial(self._errors.guard, self.learning.learner.advance_if_due))
        if self.has_recorded:
            within(_SECONDS, partial(self._catch_up, self._learn_beside))
        if self._is_behind:
            self._new_outcomes += seen
        learner = self.learning.learner
        return _PAUSE_SECONDS if self._is_behind or learner.is_behind or learner.is_due else None

    def _learn_beside(self) -> None:
        """Go on with the fit and the watches; nobody waits for it."""
        learner, monitor = self.learning.learner, self.learning.monitor
        self._is_behind = True
        locally(LocalRead(is_direct=True), learner.refit_if_due)
        self._is_behind = monitor.process_new_outcomes(BESIDE_COST)

    def _on_error(self, error: Exception) -> None:
        self._errors.report("change detection and A/B tests are suspended", error)

    def _catch_up(self, learn: Callable[[], None]) -> None:
        self._new_outcomes = 0
        self._next_at = time.monotonic() + _SECONDS
        self._errors.guard(learn)
        self._errors.guard(self._ab_tests.catch_up)
        self.exchange_verdicts()
        self._errors.guard(lambda: self._retention.step_if_due(self._now_ms))
        self._errors.guard(self._tracker.take_over)
        self._decision_writer.flush_if_due()

    def _learn(self) -> None:
        """Go on with the fit or with the watches: no call does both, and the next one does what is left.

        While slices of the fit are left, they take turns.
        """
        learner, monitor = self.learning.learner, self.learning.monitor
        is_their_turn = self._has_fitted and learner.is_behind
        self._has_fitted = not is_their_turn and learner.refit_if_due()
        if self._has_fitted or monitor.process_new_outcomes() or learner.is_behind:
            self._next_at = 0.0
