"""Writes the decision log in bulk, so that no choice and no outcome waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final
from zlib import crc32

from modelperf_plugin.config import LogConfig
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import DAY_MS, Decision, Outcome, to_milliseconds
from modelperf_plugin.values.backoff import Backoff

BATCH_ENTRIES: Final = 100
MAX_AGE_SECONDS: Final = 1.0
"""How long an entry waits for others while outcomes are recorded."""
IDLE_SECONDS: Final = 5.0
"""How long an entry waits while no outcome is recorded; then a thread of its own writes it."""
MAX_WAITING_ENTRIES: Final = 10_000
"""Maximum number of entries that wait for a failing store; the oldest are dropped."""
CLEANING_SECONDS: Final = 3600.0
"""How often decisions older than ``log.keep_days`` are deleted."""

_Entries = deque[Decision | DecisionOutcome]


class DecisionWriter:
    """Writes decisions and their outcomes to the decision log. Any thread may call any method; none of them raises.

    A choice only appends to a buffer. The buffer is written in one transaction when an outcome is recorded and it
    holds a hundred entries or the oldest is a second old; without outcomes, by a short-lived thread every five
    seconds; and by :meth:`close`. So a process that crashes loses up to a second (or five) of the decision log, but
    never an outcome: those are in the store, and in the tallies, before ``record`` returns.

    If the store fails, the entries wait here, up to ten thousand, and writing backs off.
    """

    def __init__(
        self,
        log: DecisionLog,
        settings: Callable[[], LogConfig] = LogConfig,
        *,
        on_error: Callable[[Exception], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to ``log``; ``on_error`` is called whenever that fails, and by default logs each error once."""
        self._log = log
        self._settings = settings
        self._on_error = on_error or partial(BackgroundErrors().report, "the decision log could not be written")
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: _Entries = deque()
        self._oldest_at = 0.0
        self._idle_at = 0.0
        self._backoff = Backoff(clock=clock)
        self._clean_at = 0.0
        self.dropped = 0
        """How many entries were discarded because they could not be written."""

    def on_decision(self, decision: Decision) -> None:
        """Log a decision, if its id is within the configured share."""
        share = self._settings().share
        if share < 1.0 and not is_in_share(decision.decision_id, share):
            return
        self._append(decision)
        if self._clock() >= self._idle_at:
            self._flush_in_thread()

    def on_outcome(self, decision_id: str, model_id: str, outcome: Outcome, ended_ms: int) -> None:
        """Log the outcome of a decision, with the model that was used in the end."""
        if self._settings().share > 0.0:
            self._append(DecisionOutcome(decision_id, model_id, outcome, ended_ms))

    def flush_if_due(self) -> None:
        """Write the waiting entries if there are enough, or one is old enough; called after an outcome was recorded."""
        if not self._waiting:
            return
        now = self._clock()
        is_due = len(self._waiting) >= BATCH_ENTRIES or now - self._oldest_at >= MAX_AGE_SECONDS
        if is_due and self._backoff.due and self._writing.acquire(blocking=False):
            self._flush()

    def close(self) -> None:
        """Write the waiting entries."""
        self._writing.acquire()
        self._flush()

    def _append(self, entry: Decision | DecisionOutcome) -> None:
        with self._lock:
            if not self._waiting:
                self._oldest_at = self._clock()
                self._idle_at = self._oldest_at + IDLE_SECONDS
            self._waiting.append(entry)
            self._drop_surplus()

    def _drop_surplus(self) -> None:
        while len(self._waiting) > MAX_WAITING_ENTRIES:
            self._waiting.popleft()
            self.dropped += 1

    def _flush_in_thread(self) -> None:
        self._idle_at = self._clock() + IDLE_SECONDS
        if not self._backoff.due or not self._writing.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._flush, name="modelperf-decisions", daemon=True).start()
        except RuntimeError:  # the interpreter is about to end: close() writes it
            self._writing.release()

    def _flush(self) -> None:
        """Write the waiting entries and release the writing lock, which the caller holds."""
        try:
            with self._lock:
                entries, self._waiting = self._waiting, deque()
            if entries:
                self._write(entries)
        finally:
            self._writing.release()

    def _write(self, entries: _Entries) -> None:
        decisions = [entry for entry in entries if isinstance(entry, Decision)]
        share = self._settings().share
        outcomes = [
            entry
            for entry in entries
            if isinstance(entry, DecisionOutcome) and (share >= 1.0 or is_in_share(entry.decision_id, share))
        ]
        try:
            self._log.write(map(DecisionRecord.of, decisions), outcomes)
        except StoreError as error:
            with self._lock:
                entries.extend(self._waiting)
                self._waiting = entries
                self._drop_surplus()
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a retry would fail as well, and block the entries after these
            with self._lock:
                self.dropped += len(entries)
            self._fail(error)
        else:
            self._backoff.succeeded()
            self._clean(decisions)

    def _clean(self, decisions: list[Decision]) -> None:
        """Delete old decisions, a step at a time, by the host's own clock: the time of its decisions."""
        if not decisions or self._clock() < self._clean_at:
            return
        newest_ms = to_milliseconds(max(decision.created_at for decision in decisions))
        try:
            deleted = self._log.forget(newest_ms - self._settings().keep_days * DAY_MS)
        except Exception as error:  # noqa: BLE001 - the decisions were written: deleting old ones can wait
            self._fail(error)
            return
        if deleted < DECISIONS_PER_STEP:  # otherwise the next write deletes more
            self._clean_at = self._clock() + CLEANING_SECONDS

    def _fail(self, error: Exception) -> None:
        self._backoff.failed()
        with suppress(Exception):  # a handler of the host's own logging may raise, too
            self._on_error(error)


def is_in_share(decision_id: str, share: float) -> bool:
    """Return whether a decision is in the ``share`` that is logged.

    The id decides, not the random numbers of the choice, so the share changes no choice and all processes agree.
    """
    return crc32(decision_id.encode("utf-8", "surrogatepass")) < share * 2**32
