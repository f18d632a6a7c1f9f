"""Watches models over time: silent changes, demotion by evidence, reinstatement.

Every outcome in the store is processed once, in the order of recording, whichever process recorded it: by a watch over
each model (has it changed?) and one over each pair (has it fallen below the threshold?). Their findings are written to
the store, so that all processes act on them, and their states are saved from time to time, so that a restart resumes
where the last process stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from math import floor
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import beta_interval
from modelperf_plugin.policy.quality import is_informative
from modelperf_plugin.policy.sequential import ChangeWatch, FallWatch, Probation, shifted
from modelperf_plugin.store import Demotion, Event, WatchState
from modelperf_plugin.store.roles import Changes, Demotions, Events, Tallies, WatchStates
from modelperf_plugin.values import Tally

logger = logging.getLogger("modelperf_plugin")

RELOAD_SECONDS: Final = 1.0
"""How often demotions and changes from other processes are reloaded."""
SAVE_OUTCOMES: Final = 500
"""The states are saved after this many outcomes, and when the process ends."""
BATCH_OUTCOMES: Final = 2000
MAX_BACKLOG_OUTCOMES: Final = 5_000
"""Of a larger backlog (an import) only the newest are processed: present beliefs do not predict the older ones."""
Z_LOWER: Final = 1.2815515655446004
"""The success rate of a model is compared with the rate that the best one exceeds with a probability of 0.9."""

_Pair = tuple[str, str]


class Monitor:
    """Runs the watches over one store. Any thread may call any method."""

    def __init__(
        self,
        learner: Learner,
        config: Callable[[], Config],
        *,
        tallies: Tallies,
        events: Events,
        changes: Changes,
        demotions: Demotions,
        watch_states: WatchStates,
    ) -> None:
        """Start where the last process stopped; ``config`` returns the configuration in force."""
        self._learner = learner
        self._config = config
        self._tallies = tallies
        self._events = events
        self._stored_changes = changes
        self._stored_demotions = demotions
        self._watch_states = watch_states
        self._lock = threading.Lock()
        self._notes_lock = threading.Lock()  # taken after _lock, if both are
        self._changes: dict[str, ChangeWatch] = {}
        self._falls: dict[_Pair, FallWatch] = {}
        self._probations: dict[_Pair, Probation] = {}
        self._in_force: dict[str, dict[str, str]] = {}
        self._demotions: dict[_Pair, Demotion] = {}
        self._last_turns: dict[_Pair, int] = {}
        self._changed: dict[str, int] = {}
        self._evidence: dict[str, tuple[Mapping[str, Tally], Mapping[str, Belief]]] = {}
        self._lower_of: Mapping[str, Belief] | None = None
        self._lower: dict[str, float] = {}
        self._newest_change = 0
        self._reload_at = 0.0
        self._position = self._restore()
        self._saved = self._position

    def demoted(self, task_type: str) -> Mapping[str, str]:
        """Return why models are demoted on ``task_type``; the same object as long as nothing changes."""
        self._reload_if_due()
        return self._in_force.get(task_type, _NO_DEMOTIONS)

    def process_new_outcomes(self) -> None:
        """Process the outcomes since the last call; returns at once while another thread does."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._position = max(self._position, self._events.last_id() - MAX_BACKLOG_OUTCOMES)
            while events := self._events.after(self._position, BATCH_OUTCOMES):
                self._reload_if_due()
                self._evidence.clear()
                for event in events:
                    self._process(event)
                if self._position - self._saved >= SAVE_OUTCOMES:
                    self._save()
                if len(events) < BATCH_OUTCOMES:
                    break
        finally:
            self._lock.release()

    def close(self) -> None:
        """Process the remaining outcomes and save the states."""
        self.process_new_outcomes()
        with self._lock:
            if self._position > self._saved:
                self._save()

    def _process(self, event: Event) -> None:
        self._position = event.event_id
        config = self._config()
        if not is_informative(event.blame, event.timed_out, config.quality.timeouts):
            return
        evidence, beliefs = self._evidence.get(event.task_type) or self._read_evidence(event.task_type)
        belief = beliefs.get(event.model_id)
        if belief is None:
            return
        if config.drift.detect and event.event_id > self._changed.get(event.model_id, 0):
            self._watch_for_change(event, belief)
        pair = (event.task_type, event.model_id)
        if event.event_id > self._last_turns.get(pair, 0):
            threshold = self._threshold(event, beliefs, evidence)
            if threshold is not None:
                self._watch_for_fall(event, pair, threshold)

    def _read_evidence(self, task_type: str) -> tuple[Mapping[str, Tally], Mapping[str, Belief]]:
        """Read the evidence of a task type, and keep it for a batch of outcomes."""
        evidence = self._tallies.of(task_type)
        self._evidence[task_type] = (evidence, self._learner.know(task_type, evidence, evidence))
        return self._evidence[task_type]

    def _watch_for_change(self, event: Event, belief: Belief) -> None:
        watch = self._changes.get(event.model_id) or _watch_from(event.event_id - 1)
        self._changes[event.model_id] = watch = watch.updated(belief.mean, event.success, event.event_id)
        alarm = watch.alarm()
        if alarm is None:
            return
        rates = {}
        for task_type in {tally.task_type for tally in self._tallies.all() if tally.model_id == event.model_id}:
            known = self._read_evidence(task_type)[1].get(event.model_id)
            if known is not None:
                rates[task_type] = shifted(known.mean, alarm.direction)
        since = self._events.after(alarm.since, 1)
        moments_ms = (since[0].ended_ms if since else event.ended_ms, event.ended_ms)
        events = (alarm.since, event.event_id)
        ratio = alarm.likelihood_ratio
        if self._stored_changes.add(event.model_id, alarm.direction, events, moments_ms, ratio, rates):
            word = "better" if alarm.direction == "up" else "worse"
            logger.warning("%s has been doing %s since outcome %d", event.model_id, word, alarm.since + 1)
        self._changes[event.model_id] = _watch_from(event.event_id)
        self._reload()

    def _threshold(self, event: Event, beliefs: Mapping[str, Belief], tried: Container[str]) -> float | None:
        demotion = self._config().policy_for(event.task_type).demotion
        if beliefs is not self._lower_of:
            self._lower_of = beliefs
            self._lower = {
                model_id: beta_interval(belief.alpha, belief.beta, Z_LOWER)[0]
                for model_id, belief in beliefs.items()
                if model_id in tried
            }
        best = max([rate for model_id, rate in self._lower.items() if model_id != event.model_id], default=None)
        threshold = demotion.effective_threshold(best)
        rounded = None if threshold is None else floor(threshold * 100) / 100 or None
        if rounded is None and demotion.alpha > 0 and (event.task_type, event.model_id) in self._demotions:
            return 0.0  # the threshold was removed: probe and reinstate models demoted under it
        return rounded

    def _watch_for_fall(self, event: Event, pair: _Pair, threshold: float) -> None:
        if pair in self._demotions:
            probation = self._probations.get(pair, Probation()).updated(event.success)
            self._probations[pair] = Probation() if probation.fails(threshold) else probation
            if probation.reinstates(threshold):
                self.reinstate(*pair, event.ended_ms, "evidence")
            return
        watch = self._falls.get(pair, FallWatch()).updated(event.success, threshold)
        self._falls[pair] = watch
        if watch.demotes(self._config().policy_for(event.task_type).demotion.alpha):
            self._reload()
            if self._falls.get(pair) is not watch:
                return  # demoted elsewhere, or demoted and reinstated: the watch starts over
            reason = f"success rate below {threshold:g} after {watch.outcomes} outcomes (e-value {watch.e_value:.3g})"
            if self._stored_demotions.add(*pair, event.ended_ms, threshold, watch.e_value, reason):
                logger.warning("%s is demoted on %s: %s", event.model_id, event.task_type, reason)
            self._reload()

    def reinstate(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model; return False if it was not demoted."""
        ended = self._stored_demotions.end(task_type, model_id, ended_ms, ended_by)
        self._reload()
        return ended

    def _reload_if_due(self) -> None:
        if time.monotonic() >= self._reload_at:
            self._reload()

    def _reload(self) -> None:
        """Reload the demotions and changes of this and other processes, and of operators."""
        with self._notes_lock:
            self._reload_at = time.monotonic() + RELOAD_SECONDS
            self._reload_demotions()
            self._reload_changes()

    def _reload_demotions(self) -> None:
        demotions: dict[_Pair, Demotion] = {}
        last_turns: dict[_Pair, int] = {}
        for demotion in self._stored_demotions.all():
            pair = (demotion.task_type, demotion.model_id)
            last_turns[pair] = max(demotion.event_id, last_turns.get(pair, 0))
            if demotion.ended_ms is None:
                demotions[pair] = demotion
        changed = {pair for pair, _ in last_turns.items() ^ self._last_turns.items()}
        for pair in changed | (demotions.keys() ^ self._demotions):
            # demoted or reinstated, here or elsewhere: the watches start over
            self._falls.pop(pair, None)
            self._probations.pop(pair, None)
        self._last_turns = last_turns
        if demotions != self._demotions:
            self._demotions = demotions
            in_force: dict[str, dict[str, str]] = {}
            for (task_type, model_id), demotion in demotions.items():
                in_force.setdefault(task_type, {})[model_id] = f"demoted: {demotion.reason}"
            self._in_force = in_force

    def _reload_changes(self) -> None:
        changes = self._stored_changes.all()
        newest = changes[0].change_id if changes else 0
        if newest == self._newest_change:
            return
        self._newest_change = newest
        self._changed = {}
        for change in changes:
            noticed = max(change.noticed_event_id, self._changed.get(change.model_id, 0))
            self._changed[change.model_id] = noticed
            watch = self._changes.get(change.model_id)
            if watch is not None and _start_of(watch) < noticed:
                self._changes.pop(change.model_id, None)
        self._learner.reset()
        self._evidence.clear()

    def _restore(self) -> int:
        self._reload()
        position, states = self._watch_states.load()
        newest = self._events.last_id()
        if position is None or position > newest:
            return newest
        parts = [(state.task_type, state.model_id, state.state) for state in states if state.kind == "pool"]
        if parts:
            with suppress(InvalidValueError):  # written by another version: learn from scratch
                self._learner.resume(parts)
        for state in states:
            if state.kind != "pool":
                with suppress(InvalidValueError):  # written by another version: that watch starts over
                    self._resume(state, position)
        return position

    def _resume(self, saved: WatchState, position: int) -> None:
        """Resume a saved watch, unless the model was demoted, reinstated or found to have changed since."""
        kind, task_type, model_id, numbers = saved
        pair = (task_type, model_id)
        if kind == "change":
            watch = ChangeWatch.from_list(numbers)
            if _start_of(watch) >= self._changed.get(model_id, 0):
                self._changes[model_id] = watch
        elif self._last_turns.get(pair, -1) >= position or (kind == "probation") != (pair in self._demotions):
            return
        elif kind == "fall":
            self._falls[pair] = FallWatch.from_list(numbers)
        else:
            self._probations[pair] = Probation.from_list(numbers)

    def _save(self) -> None:
        self._reload()  # findings of other processes void some states
        states = [WatchState("pool", *part[:2], tuple(part[2])) for part in self._learner.fit_rows()]
        # copies: other threads may reload meanwhile
        states += [WatchState("change", "", key, tuple(watch.as_list())) for key, watch in self._changes.copy().items()]
        states += [WatchState("fall", *pair, tuple(fall.as_list())) for pair, fall in self._falls.copy().items()]
        for pair, probation in self._probations.copy().items():
            states.append(WatchState("probation", *pair, tuple(probation.as_list())))
        self._watch_states.save(self._position, states)
        self._saved = self._position


_NO_DEMOTIONS: Final[Mapping[str, str]] = {}


def _watch_from(event_id: int) -> ChangeWatch:
    return ChangeWatch(up_since=event_id, down_since=event_id)


def _start_of(watch: ChangeWatch) -> int:
    """Return the outcome before the first one that counts in ``watch``."""
    return min(watch.up_since, watch.down_since)
