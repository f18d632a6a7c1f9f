"""Writes the decision log, so that no choice waits for it and no process takes its part of it along when it ends."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final
from zlib import crc32

from modelperf_plugin.config import LogConfig
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Entry, Joining
from modelperf_plugin.store.background import Background, at_process_end, is_ending
from modelperf_plugin.store.deadline import BUSY_SECONDS, NO_WAIT, within
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import DAY_MS, Decision, Outcome, to_milliseconds
from modelperf_plugin.values.backoff import Backoff
from modelperf_plugin.values.locks import attempt, first

BATCH_ENTRIES: Final = 16
"""Maximum number of entries of one transaction: outcomes of other threads wait for it."""
MAX_AGE_SECONDS: Final = 0.5
"""How long a decision waits for its outcome before it is written without."""
MAX_BACKLOG: Final = 256
"""If more decisions wait although the store works, choices are faster than the thread, and write some themselves."""
BACKLOG_BATCH: Final = 8
MAX_WAITING_ENTRIES: Final = 10_000
"""Maximum number of entries that wait for a failing store; the oldest are dropped."""
CLEANING_SECONDS: Final = 3600.0
"""How often decisions older than ``log.keep_days`` are deleted."""
CLEANING_DECISIONS: Final = 32
"""How many of them one step deletes."""
CALL_WAIT_SECONDS: Final = 0.05
STEP_WAIT_SECONDS: Final = 0.2
END_WAIT_SECONDS: Final = 1.0
"""How long a recording call, the thread, and the end of the process wait for other writers.

A choice does not wait for them, but for as long as a recording call if another thread of this process is writing
decisions: that thread needs the interpreter, which a host that only chooses would hardly ever leave to it.
"""
PAUSE_SECONDS: Final = 0.02
"""The time between two steps of the thread that other writers may use."""

_OWN_ID: Final = re.compile("[0-9a-f]{20}")
"""The ids of decisions. Another text of a host is not kept, only that there was one."""

_Joined = Callable[[Sequence[DecisionOutcome]], None]


class DecisionWriter:
    """Writes decisions and their outcomes to the decision log. Any thread may call any method; none of them raises.

    A choice only appends to a buffer, unless a host chooses faster than decisions can be written. A recorded outcome is
    written before its call returns, together with its decision if that still waits: whatever ends the process, a
    decision is kept if its outcome was acknowledged, or its id was handed out. Others without an outcome are written by
    a thread within a second, and when the process ends. A crash loses those of that second.

    An entry stays in the buffer until it is written. If the store fails, up to ten thousand entries wait there, and
    writing backs off.
    """

    def __init__(
        self,
        log: DecisionLog,
        settings: Callable[[], LogConfig] = LogConfig,
        *,
        on_error: Callable[[Exception], None] | None = None,
        on_joined: _Joined = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to ``log``.

        Args:
            log: the decision log of a store.
            settings: returns the configuration in force.
            on_error: called whenever writing fails; by default each error is logged once.
            on_joined: called with outcomes that were joined to their decisions other than by :meth:`on_outcome`.
            clock: a monotonic clock in seconds.
        """
        self._log = log
        self._settings = settings
        self._on_error = on_error or partial(BackgroundErrors().report, "the decision log could not be written")
        self._on_joined = on_joined
        self._clock = clock
        self._lock = threading.RLock()
        self._turn = threading.RLock()
        """Held while a batch is selected and written: two threads never write the same one."""
        self._decisions: dict[str, Decision] = {}
        self._outcomes: dict[int, DecisionOutcome] = {}
        """By identity: a model may try a task twice, with equal outcomes."""
        self._wake_at = 0.0
        self._busy_since: float | None = None
        self._backoff = Backoff(clock=clock)
        self._newest_ms: int | None = None
        self._clean_at = 0.0
        self._background = Background(
            self, DecisionWriter._step, name="modelperf-decisions", on_error=DecisionWriter._fail
        )
        self.dropped = 0
        """How many entries were discarded because they could not be written."""
        self._reported = 0
        at_process_end(self, DecisionWriter.flush)

    def on_decision(self, decision: Decision) -> None:
        """Log a decision, if its id is within the configured share."""
        share = self._settings().share
        if share < 1.0 and not is_in_share(decision.decision_id, share):
            return
        with self._lock:
            self._decisions[decision.decision_id] = decision
            if len(self._decisions) > MAX_WAITING_ENTRIES:
                self._decisions.pop(first(self._decisions, ""), None)
                self.dropped += 1
        if self._clock() >= self._wake_at:
            self._wake_at = self._clock() + MAX_AGE_SECONDS
            self._background.wake(MAX_AGE_SECONDS)
        if is_ending():
            self.flush()
        elif len(self._decisions) > MAX_BACKLOG and self._backoff.due and self._busy_since is None:
            within(NO_WAIT, lambda: self._flush_batch(NO_WAIT, BACKLOG_BATCH))

    def hand_out(self, decision_id: str) -> None:
        """Write a decision that still waits, because others are about to learn its id."""
        decision = self._decisions.get(decision_id)
        if decision is not None and self._backoff.due:
            seconds = CALL_WAIT_SECONDS if self._busy_since is None else NO_WAIT
            within(seconds, lambda: self._write([decision], []))

    def joining(self, decision_id: str, entry: Entry) -> Joining | None:
        """Return what the transaction of an outcome adds to the log; None if :meth:`on_outcome` is to do that."""
        decision = self._decisions.get(decision_id)
        if not self._backoff.due or (decision is None and not self._is_known(decision_id)):
            return None
        try:
            outcome_id = entry.outcome.outcome_id
            outcome = DecisionOutcome(decision_id, entry.model_id, entry.outcome, entry.ended_ms, outcome_id)
            return Joining(None if decision is None else DecisionRecord.of(decision), outcome)
        except Exception:  # noqa: BLE001 - reported when it is written without its outcome
            return None

    def waiting(self, decision_id: str) -> Decision | None:
        """Return a decision of this process that is not in the log yet."""
        return self._decisions.get(decision_id)

    def on_stored(self, joining: Joining) -> Sequence[DecisionOutcome]:
        """Note what was stored with an outcome; return the outcomes that were joined."""
        decision = self._decisions.get(joining.outcome.decision_id)
        # without the decision, it is another's, or the thread has written it
        self._succeed([] if decision is None or joining.decision is None else [decision], ())
        return joining.joined

    def on_outcome(self, decision_id: str, model_id: str, outcome: Outcome, ended_ms: int) -> Sequence[DecisionOutcome]:
        """Log the outcome of a decision, with the model that was used in the end; return it if it was joined."""
        share = self._settings().share
        if share < 1.0 and not is_in_share(decision_id, share):
            return ()
        decision = self._decisions.get(decision_id)
        if decision is None and not self._is_known(decision_id):
            decision_id = f"foreign-{os.urandom(8).hex()}"
        ended = DecisionOutcome(decision_id, model_id, outcome, ended_ms, outcome.outcome_id)
        if self._backoff.due:
            decisions = [] if decision is None else [decision]
            seconds = CALL_WAIT_SECONDS if self._busy_since is None else NO_WAIT
            joined = within(seconds, lambda: self._write(decisions, [ended]))
            if joined is not None:
                return joined
        with self._lock:
            self._outcomes[id(ended)] = ended
            if len(self._outcomes) > MAX_WAITING_ENTRIES:
                self._outcomes.pop(first(self._outcomes, -1), None)
                self.dropped += 1
        self._background.wake(PAUSE_SECONDS)
        return ()

    def _is_known(self, decision_id: str) -> bool:
        """Return whether some process may log a decision with this id."""
        share = self._settings().share
        return is_decision_id(decision_id) and (share >= 1.0 or is_in_share(decision_id, share))

    def flush_if_due(self) -> None:
        """Write some of the entries that wait for longer than they should, where no thread does it.

        Called after an outcome was recorded.
        """
        if (self._decisions or self._outcomes) and self._clock() >= self._wake_at + MAX_AGE_SECONDS:
            self._wake_at = self._clock()
            if not self._background.wake():
                self._step(CALL_WAIT_SECONDS)

    def flush(self) -> None:
        """Write the waiting entries, unless the store fails."""
        while (self._decisions or self._outcomes) and self._flush_batch(END_WAIT_SECONDS):
            pass

    def close(self) -> None:
        """End the thread, and write the waiting entries."""
        self._background.close()
        self.flush()
        self._clean()

    def _step(self, wait_seconds: float = STEP_WAIT_SECONDS) -> float | None:
        """Write some of the waiting entries; return when to continue."""
        self._report_dropped()
        if not self._backoff.due:
            return MAX_AGE_SECONDS
        if not (self._decisions or self._outcomes):
            return PAUSE_SECONDS if self._clean() else None
        if not self._flush_batch(wait_seconds):
            return MAX_AGE_SECONDS
        waiting = len(self._decisions) + len(self._outcomes)
        if not waiting:
            return PAUSE_SECONDS if self._may_clean else None
        return PAUSE_SECONDS * min(1.0, BATCH_ENTRIES / waiting)  # no pause to speak of if very many wait

    def _flush_batch(self, wait_seconds: float, size: int = BATCH_ENTRIES) -> bool:
        """Write the entries that wait longest; return False if the store fails or another thread keeps writing."""
        written: list[Sequence[DecisionOutcome] | None] = []
        seconds = max(wait_seconds, CALL_WAIT_SECONDS)
        if not attempt(self._turn, lambda: written.append(self._write_oldest(wait_seconds, size)), seconds):
            self._busy_since = self._busy_since or self._clock()  # until it succeeds, no choice waits again
            return False
        joined = written[0]
        if joined:
            self._on_joined(joined)
        return joined is not None

    def _write_oldest(self, wait_seconds: float, size: int) -> Sequence[DecisionOutcome] | None:
        with self._lock:
            decisions = list(islice(self._decisions.values(), size))
            outcomes = list(islice(self._outcomes.values(), size - len(decisions)))
        return within(wait_seconds, lambda: self._write(decisions, outcomes))

    def _write(
        self, decisions: Sequence[Decision], outcomes: Sequence[DecisionOutcome]
    ) -> Sequence[DecisionOutcome] | None:
        """Write entries and return the outcomes that were joined; None if the store fails, and the entries wait."""
        try:
            joined = self._log.write(list(map(DecisionRecord.of, decisions)), outcomes)
        except StoreBusyError as error:
            self._wait_for_others(error)
            return None
        except StoreError as error:
            self._fail(error)
            return None
        except Exception as error:  # noqa: BLE001 - a retry would fail as well, and block the entries after these
            return self._write_each(decisions, outcomes, error)
        self._succeed(decisions, outcomes)
        return joined

    def _succeed(self, decisions: Sequence[Decision], outcomes: Sequence[DecisionOutcome]) -> None:
        self._backoff.succeeded()
        self._busy_since = None
        self._remove(decisions, outcomes)
        if decisions:
            self._newest_ms = to_milliseconds(decisions[-1].created_at)

    def _write_each(
        self, decisions: Sequence[Decision], outcomes: Sequence[DecisionOutcome], error: Exception
    ) -> Sequence[DecisionOutcome] | None:
        """Write entries one by one after one of them cannot be written at all, which is dropped and reported."""
        if len(decisions) + len(outcomes) <= 1:
            self._remove(decisions, outcomes)
            self.dropped += 1
            self._reported += 1
            self._report(error)
            return ()
        parts = [self._write([decision], ()) for decision in decisions]
        parts += [self._write((), [outcome]) for outcome in outcomes]
        return None if None in parts else [outcome for part in parts if part for outcome in part]

    def _remove(self, decisions: Sequence[Decision], outcomes: Sequence[DecisionOutcome]) -> None:
        with self._lock:
            for decision in decisions:
                self._decisions.pop(decision.decision_id, None)
            for outcome in outcomes:
                self._outcomes.pop(id(outcome), None)

    @property
    def _may_clean(self) -> bool:
        return self._newest_ms is not None and self._clock() >= self._clean_at

    def _clean(self) -> bool:
        """Delete some decisions that are too old by the time of the newest; return whether there are more."""
        newest_ms = self._newest_ms
        if newest_ms is None or not self._may_clean:
            return False
        self._clean_at = self._clock() + CLEANING_SECONDS
        try:
            deleted = self._log.forget(newest_ms - self._settings().keep_days * DAY_MS, CLEANING_DECISIONS)
        except StoreBusyError:
            return False  # deleting old ones can wait
        except Exception as error:  # noqa: BLE001 - the decisions were written
            self._fail(error)
            return False
        if deleted >= CLEANING_DECISIONS:
            self._clean_at = 0.0
        return self._may_clean

    def _wait_for_others(self, error: StoreBusyError) -> None:
        """Try again soon if others are writing; report it if they have been for very long."""
        now = self._clock()
        if self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since > BUSY_SECONDS:
            self._fail(error)

    def _report_dropped(self) -> None:
        if self.dropped > self._reported:
            self._reported = self.dropped
            self._report(StoreError(f"decisions were dropped: more than {MAX_WAITING_ENTRIES:,} waited for the store"))

    def _fail(self, error: Exception) -> None:
        self._backoff.failed()
        self._report(error)

    def _report(self, error: Exception) -> None:
        with suppress(Exception):  # a callback of the host may raise
            self._on_error(error)


def is_decision_id(text: str) -> bool:
    """Return whether a text can be the id of a decision."""
    return _OWN_ID.fullmatch(text) is not None


def is_in_share(decision_id: str, share: float) -> bool:
    """Return whether a decision is in the ``share`` that is logged.

    The id decides, not the random numbers of the choice, so the share changes no choice and all processes agree.
    """
    return crc32(decision_id.encode("utf-8", "surrogatepass")) < share * 2**32
