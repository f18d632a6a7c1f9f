"""Watches models over time: silent changes, demotion by evidence, reinstatement.

Every outcome in the store is processed once, in the order of recording, whichever process recorded it: by a watch over
each model (has it changed?) and one over each pair (has it fallen below the threshold?). An outcome on a task that
others have failed is compared with what was to be expected after those failures. Findings are written to the store, so
that all processes act on them, and the states of the watches are saved from time to time, so that a restart resumes
where the last process stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.expectations import Expectations
from modelperf_plugin.engine.lateness import unless_late
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.lease import Lease
from modelperf_plugin.engine.watches import Watches, watch_from
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.log import logger
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.quality import is_informative
from modelperf_plugin.policy.sequential import FallWatch, LaterTry, Probation, shifted
from modelperf_plugin.store import Change, Demotion, Event
from modelperf_plugin.store.local import dated
from modelperf_plugin.store.roles import Changes, Demotions, Editing, Events, Tallies, WatchStates
from modelperf_plugin.values.locks import attempt

RELOAD_SECONDS: Final = 0.5
"""How often demotions and changes from other processes are reloaded."""
SAVE_OUTCOMES: Final = 500
SAVE_STATES: Final = 32
"""The states are saved after this many outcomes or changed states, and when the process ends."""
SAVE_MODELS: Final = 16
"""Number of models whose rows of the fit are saved each time, in turn."""
CALL_COST: Final = 32
BESIDE_COST: Final = 320
CLOSE_COST: Final = 10_000
"""How much one call processes, and the last: more than comes in, but not all of an import."""
OUTCOME_COST: Final = 3
"""An outcome costs this, and one for each model of its task type when that is read."""
CLOSE_SECONDS: Final = 5.0
"""How long the end of a process waits for a thread that processes outcomes."""
MAX_BACKLOG_OUTCOMES: Final = 5_000
"""Of a larger backlog (an import) only the newest are processed: present beliefs do not predict the older ones."""

_Pair = tuple[str, str]
_NO_DEMOTIONS: Final[Mapping[str, str]] = {}


class Monitor:
    """Runs the watches over one store. Any thread may call any method."""

    def __init__(
        self,
        learner: Learner,
        config: Callable[[], Config],
        *,
        tallies: Tallies,
        events: Events,
        editing: Editing,
        changes: Changes,
        demotions: Demotions,
        watch_states: WatchStates,
    ) -> None:
        """Start where the last process stopped; ``config`` returns the configuration in force."""
        self._learner = learner
        self._config = config
        self._events = events
        self._editing = editing
        self._stored_changes = changes
        self._stored_demotions = demotions
        self._lock = threading.Lock()
        self._notes_lock = threading.RLock()  # taken after _lock, if both are
        self._states = watch_states
        self._watches = Watches(watch_states, editing.last_edit())
        self._lease = Lease(watch_states.claim)
        self._in_force: dict[str, dict[str, str]] = {}
        self._demotions: dict[_Pair, Demotion] = {}
        self._last_turns: dict[_Pair, int] = {}
        self._changed: dict[str, int] = {}
        self._expected = Expectations(learner, tallies, config)
        self._newest_change = 0
        self._behind = self._save_next = False
        self._reload_at = 0.0
        self._read_at = 0.0
        """Since when what was reloaded holds, on the monotonic clock."""
        self._position = self._restore()
        self._saved = self._position
        self._revised = self._events.last_revision()

    def demoted(self, task_type: str) -> Mapping[str, str]:
        """Return why models are demoted on ``task_type``; the same object as long as nothing changes."""
        self._reload_if_due()
        return self._in_force.get(task_type, _NO_DEMOTIONS)

    def process_new_outcomes(self, cost: int = CALL_COST) -> bool:
        """Process outcomes since the last call, the oldest first, or save the states; return whether more is left.

        Returns False at once while another thread processes them.
        """
        return attempt(self._lock, lambda: self._take_step(cost)) and self._behind

    def close(self) -> None:
        """Process remaining outcomes, as far as that is quick, and save the states."""
        attempt(self._lock, self._process_the_rest)
        attempt(self._lock, self._save_if_new, CLOSE_SECONDS)
        attempt(self._lock, self._lease.end)

    def _process_the_rest(self) -> None:
        if self._lease.renew(self._take_over):
            self._process_up_to(CLOSE_COST)

    def _take_step(self, cost: int) -> None:
        if not self._lease.renew(self._take_over):
            self._behind = False
        elif self._save_next:
            self._save_next = False  # first: should it fail, outcomes are processed nevertheless
            self._save()
        else:
            self._process_up_to(cost)

    def _process_up_to(self, cost: int) -> None:
        self._start_over_if_edited()
        self._take_in_revisions()
        newest = self._events.last_id()
        self._position = max(self._position, newest - MAX_BACKLOG_OUTCOMES)
        while cost > 0 and self._position < newest:
            events = self._events.after(self._position, 1 + cost // OUTCOME_COST)
            if not events:
                break
            cost = self._process_some(events, cost)
        self._save_next = self._position - self._saved >= SAVE_OUTCOMES or self._watches.unsaved >= SAVE_STATES
        self._behind = self._save_next or (cost <= 0 and self._position < newest)

    def _take_over(self) -> None:
        """Go on where another process has stopped, if that is later."""
        watches = Watches(self._states, self._editing.last_edit())
        position, _ = watches.restore()
        if position is not None and position > self._position:
            self._reload()
            self._watches, self._position, self._saved = watches, position, position
            self._watches.drop_void(position, self._changed, self._last_turns)
            self._revised = self._events.last_revision()

    def _save_if_new(self) -> None:
        if self._position > self._saved:
            self._save()

    def _process_some(self, events: Iterable[Event], cost: int) -> int:
        """Process outcomes until ``cost`` is spent; return what is left of it."""
        self._reload_if_due()
        self._expected.clear()
        for event in events:
            if cost <= 0:
                break
            known, newest_change = len(self._expected), self._newest_change
            self._process(event)
            cost -= OUTCOME_COST
            if self._newest_change != newest_change:
                cost -= CALL_COST  # all rows have to be read again: by the next call
            if len(self._expected) > known:
                cost -= len(self._expected.of(event.task_type)[0])
        return cost

    def _process(self, event: Event) -> None:
        self._position = event.event_id
        config = self._config()
        timed_out = event.timed_out and event.score is None
        if not is_informative(event.blame, timed_out, config.quality.timeouts):
            return
        evidence, beliefs = self._expected.of(event.task_type)
        belief = beliefs.get(event.model_id)
        if belief is None or event.model_id in event.tried or not beliefs.keys() >= set(event.tried):
            return  # a repeated failure of the same model is not a matter of difficulty
        later = self._expected.later_try(event, beliefs)
        if config.drift.detect and event.event_id > self._changed.get(event.model_id, 0):
            self._watch_for_change(event, belief, later)
        pair = (event.task_type, event.model_id)
        if event.event_id > self._last_turns.get(pair, 0) and event.event_id > self._contained(pair):
            threshold = self._expected.threshold(event, beliefs, evidence, is_demoted=pair in self._demotions)
            if threshold is not None:
                self._watch_for_fall(event, pair, threshold, later)

    def _start_over_if_edited(self) -> bool:
        """Resume from the saved states if an operator has edited the store; return whether that is so."""
        if not self._watches.discard_if_edited():
            return False
        self._learner.reset()
        self._expected.clear()
        self._position = self._saved = min(self._position, self._restore())
        return True

    def _take_in_revisions(self) -> None:
        """Take back what was held against models by verdicts that were replaced since the last call."""
        for revision in self._events.revised_after(self._revised, CALL_COST):
            self._revised = revision.number
            if revision.after.event_id <= self._position:  # it was processed with the former verdict
                self._correct(revision.before, revision.after)

    def _correct(self, before: Event, after: Event) -> None:
        """Correct the watch over a pair for another verdict; see :meth:`FallWatch.excused` and the probation's."""
        pair = (after.task_type, after.model_id)
        timeouts = self._config().quality.timeouts
        was, now = (
            each.grade if is_informative(each.blame, each.timed_out and each.score is None, timeouts) else None
            for each in (before, after)
        )
        if was == now or after.event_id <= self._last_turns.get(pair, 0):
            return
        if pair in self._demotions:
            probation = self._watches.probations.get(pair)
            if probation is not None and not after.tried:
                self._watches.set_probation(pair, probation.revised(was, now))
            return
        watch = self._watches.falls.get(pair)
        if watch is None or was is None or (now is not None and now <= was):
            return
        evidence, beliefs = self._expected.of(after.task_type)
        if beliefs.keys() >= {after.model_id, *after.tried}:
            later = self._expected.later_try(after, beliefs)
            threshold = self._expected.threshold(after, beliefs, evidence, is_demoted=False)
            if threshold is not None:
                harder = None if later is None else later.lowest
                self._watches.set_fall(pair, watch.excused(was, now, threshold, harder))

    def _watch_for_change(self, event: Event, belief: Belief, later: LaterTry | None) -> None:
        watch = self._watches.changes.get(event.model_id) or watch_from(event.event_id - 1)
        lowest, highest = (belief.mean, None) if later is None else later.chances(belief.mean)
        watch = watch.updated(lowest, event.grade, event.event_id, highest)
        self._watches.set_change(event.model_id, watch)
        alarm = watch.alarm()
        if alarm is None:
            return
        beliefs = self._learner.beliefs_of(event.model_id)  # on the task types in use: the others start over
        rates = {task_type: shifted(belief.mean, alarm.direction) for task_type, belief in beliefs.items()}
        since = self._events.after(alarm.since, 1)
        moments_ms = (since[0].ended_ms if since else event.ended_ms, event.ended_ms)
        events = (alarm.since, event.event_id)
        ratio = alarm.likelihood_ratio
        if self._stored_changes.add(event.model_id, alarm.direction, events, moments_ms, ratio, rates):
            word = "better" if alarm.direction == "up" else "worse"
            logger.warning("%s has been doing %s since outcome %d", event.model_id, word, alarm.since + 1)
        self._watches.set_change(event.model_id, watch_from(event.event_id))
        self._reload()

    def _watch_for_fall(self, event: Event, pair: _Pair, threshold: float, later: LaterTry | None) -> None:
        if pair in self._demotions:
            probation = self._watches.probations.get(pair, Probation())
            if later is None:
                probation = probation.updated(event.grade)
            else:
                probation = probation.updated_later(event.grade, threshold, later.highest)
            self._watches.set_probation(pair, Probation() if probation.fails(threshold) else probation)
            if probation.reinstates(threshold):
                self.reinstate(*pair, event.ended_ms, "evidence")
            return
        harder = None if later is None else later.lowest
        watch = self._watches.falls.get(pair, FallWatch()).updated(event.grade, threshold, harder)
        self._watches.set_fall(pair, watch)
        if watch.demotes(self._config().policy_for(event.task_type).demotion.alpha):
            self._reload()
            if self._watches.falls.get(pair) is not watch:
                return  # demoted elsewhere, or demoted and reinstated: the watch starts over
            tally = self._expected.of(event.task_type)[0].get(event.model_id)
            what = "mean score" if tally is not None and tally.graded else "success rate"
            reason = f"{what} below {threshold:g} after {watch.outcomes} outcomes (e-value {watch.e_value:.3g})"
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
            unless_late(self._reload, None)

    def _reload(self) -> None:
        """Reload the demotions and changes of this and other processes, and of operators."""
        self._reload_at = time.monotonic() + RELOAD_SECONDS
        stored = self._stored_demotions, self._stored_changes, self._editing
        read_at, found = dated(lambda: (stored[0].all(), stored[1].all(), stored[2].last_edit()))
        with self._notes_lock:  # while it is read, others need not wait
            if read_at >= self._read_at:
                self._watches.note_edit(found[2])
                self._reload_demotions(found[0])
                self._reload_changes(found[1])
                self._read_at = read_at

    def _reload_demotions(self, stored: Iterable[Demotion]) -> None:
        demotions: dict[_Pair, Demotion] = {}
        last_turns: dict[_Pair, int] = {}
        for demotion in stored:
            pair = (demotion.task_type, demotion.model_id)
            last_turns[pair] = max(demotion.event_id, last_turns.get(pair, 0))
            if demotion.ended_ms is None:
                demotions[pair] = demotion
        changed = {pair for pair, _ in last_turns.items() ^ self._last_turns.items()}
        for pair in changed | (demotions.keys() ^ self._demotions):
            # demoted or reinstated, here or elsewhere: the watches start over
            self._watches.drop_pair(pair)
        self._last_turns = last_turns
        if demotions != self._demotions:
            in_force: dict[str, dict[str, str]] = {}
            for (task_type, model_id), demotion in demotions.items():
                in_force.setdefault(task_type, {})[model_id] = f"demoted: {demotion.reason}"
            self._demotions, self._in_force = demotions, in_force

    def _reload_changes(self, changes: Sequence[Change]) -> None:
        newest = changes[0].change_id if changes else 0
        if newest == self._newest_change:
            return
        changed = self._watches.after(changes)
        self._learner.reset()
        self._expected.clear()
        self._changed, self._newest_change = changed, newest  # last: should it be interrupted, it is done again

    def _restore(self) -> int:
        self._reload()
        position, fit = self._watches.restore()
        newest = self._events.last_id()
        if position is None or position > newest:
            self._watches.start_over()
            return newest
        if fit:
            with suppress(InvalidValueError):  # written by another version: learn from scratch
                self._learner.resume(fit)
        self._watches.drop_void(position, self._changed, self._last_turns)
        return position

    def _contained(self, pair: _Pair) -> int:
        """Return the last outcome that the watches over a pair have counted, if another process has saved them."""
        return self._watches.contained(pair, self._last_turns.get(pair, -1), is_demoted=pair in self._demotions)

    def _save(self) -> None:
        self._reload()  # findings of other processes void some states
        if self._start_over_if_edited():
            return
        self._watches.save(self._position, self._learner.fit_rows(SAVE_MODELS))
        self._saved = self._position
