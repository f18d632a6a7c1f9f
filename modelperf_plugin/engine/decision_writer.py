"""The record of decisions: kept aside while hosts wait, and written in bulk while they do not."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from zlib import crc32

from modelperf_plugin.config import LogConfig
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decisions import DECISIONS_PER_STEP
from modelperf_plugin.store.roles import DecisionLog
from modelperf_plugin.values import DAY_MS, Decision, Outcome, to_milliseconds

logger = logging.getLogger("modelperf_plugin")

FULL: Final = 100
"""So many entries are written at once."""
OLDEST_SECONDS: Final = 1.0
"""An entry waits no longer for others than this, while outcomes are recorded."""
ALONE_SECONDS: Final = 5.0
"""Where no outcome is recorded for so long, the entries are written in a thread of their own."""
MOST: Final = 10_000
"""So many entries at most wait for a store that fails; the oldest are dropped."""
CLEANING_SECONDS: Final = 3600.0
"""How often decisions are looked for that are older than ``log.keep_days``."""

_SHORTEST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0

_Waiting = deque[Decision | DecisionOutcome]


class Journal:
    """Keeps decisions and what came of them. Any thread may call any method, and none of them raises.

    A choice only appends to a buffer. The buffer is written in one transaction on the recording side, as soon as
    it holds a hundred entries or the oldest is a second old; where nothing is recorded, by a short-lived thread
    every five seconds; and by :meth:`close`. So a process that crashes loses up to a second (or five) of this
    record - never an outcome: those are in the store, and in the tallies, before ``record`` returns.

    A store that fails keeps the entries here, up to ten thousand, and is left alone for longer each time.
    """

    def __init__(
        self,
        log: DecisionLog,
        settings: Callable[[], LogConfig] = LogConfig,
        *,
        on_error: Callable[[Exception], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the record in ``store``.

        Args:
            log: where the decisions go.
            settings: returns the section ``log`` of the configuration in force.
            on_error: called whenever they could not be written; by default the first such error is logged.
            clock: seconds that never go back.
        """
        self._log = log
        self._settings = settings
        self._on_error = on_error or _log_once()
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: _Waiting = deque()
        self._since = 0.0
        self._alone_at = 0.0
        self._retry_at = 0.0
        self._pause_seconds = _SHORTEST_PAUSE_SECONDS
        self._clean_at = 0.0
        self.dropped = 0
        """How many entries were given up, because the store failed for too long."""

    def made(self, decision: Decision) -> None:
        """Keep ``decision``, if its id is among the share that is kept."""
        share = self._settings().share
        if share < 1.0 and not is_kept(decision.decision_id, share):
            return
        self._append(decision)
        if self._clock() >= self._alone_at:
            self._write_aside()

    def ended(self, decision_id: str, model_id: str, outcome: Outcome, ended_ms: int) -> None:
        """Keep what came of a decision, with the model that was used in the end."""
        if self._settings().share > 0.0:
            self._append(DecisionOutcome(decision_id, model_id, outcome, ended_ms))

    def flush_if_due(self) -> None:
        """Write what waits, if that is enough or old enough; called on the recording side."""
        if not self._waiting:
            return
        now = self._clock()
        full_or_old = len(self._waiting) >= FULL or now - self._since >= OLDEST_SECONDS
        if full_or_old and now >= self._retry_at and self._writing.acquire(blocking=False):
            self._flush()

    def close(self) -> None:
        """Write what waits."""
        self._writing.acquire()
        self._flush()

    def _append(self, entry: Decision | DecisionOutcome) -> None:
        with self._lock:
            if not self._waiting:
                self._since = self._clock()
                self._alone_at = self._since + ALONE_SECONDS
            self._waiting.append(entry)
            self._bound()

    def _bound(self) -> None:
        while len(self._waiting) > MOST:
            self._waiting.popleft()
            self.dropped += 1

    def _write_aside(self) -> None:
        """Write in a thread of its own: a choice waits for no store."""
        now = self._clock()
        self._alone_at = now + ALONE_SECONDS
        if now < self._retry_at or not self._writing.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._flush, name="modelperf-journal", daemon=True).start()
        except RuntimeError:  # the interpreter is about to end: close() writes it
            self._writing.release()

    def _flush(self) -> None:
        """Write what waits, and let go of the writing lock, which is held by the caller."""
        try:
            with self._lock:
                taken, self._waiting = self._waiting, deque()
            if taken:
                self._write(taken)
        finally:
            self._writing.release()

    def _write(self, entries: _Waiting) -> None:
        try:
            made = [entry for entry in entries if isinstance(entry, Decision)]
            ended = [entry for entry in entries if isinstance(entry, DecisionOutcome)]
            self._log.write(map(DecisionRecord.of, made), self._kept(ended))
        except StoreError as error:
            self._put_back(entries)
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - what cannot be written now never can: it must not stand in the way
            with self._lock:
                self.dropped += len(entries)
            self._fail(error)
        else:
            self._pause_seconds = _SHORTEST_PAUSE_SECONDS
            self._clean(made)

    def _kept(self, ended: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        share = self._settings().share
        return [each for each in ended if share >= 1.0 or is_kept(each.decision_id, share)]

    def _clean(self, made: list[Decision]) -> None:
        """Forget what is too old, a step at a time, by the host's own clock: the time of its decisions."""
        if not made or self._clock() < self._clean_at:
            return
        newest_ms = to_milliseconds(max(decision.created_at for decision in made))
        try:
            forgotten = self._log.forget(newest_ms - self._settings().keep_days * DAY_MS)
        except Exception as error:  # noqa: BLE001 - the decisions were written: forgetting others can wait
            self._fail(error)
            return
        if forgotten < DECISIONS_PER_STEP:  # else the next step comes with the next writing
            self._clean_at = self._clock() + CLEANING_SECONDS

    def _put_back(self, entries: _Waiting) -> None:
        with self._lock:
            entries.extend(self._waiting)
            self._waiting = entries
            self._bound()

    def _fail(self, error: Exception) -> None:
        self._retry_at = self._clock() + self._pause_seconds
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        with suppress(Exception):  # a handler of the host's own logging may raise, too
            self._on_error(error)


def is_kept(decision_id: str, share: float) -> bool:
    """Return whether a decision is among the ``share`` that is kept.

    Its id decides, not the random numbers of the choice: those stay as they are, and every process agrees.
    """
    return crc32(decision_id.encode("utf-8", "surrogatepass")) < share * 2**32


def _log_once() -> Callable[[Exception], None]:
    said: set[str] = set()

    def log(error: Exception) -> None:
        if str(error) not in said and len(said) < 100:
            said.add(str(error))
            logger.error("the record of decisions could not be written: %s", error)

    return log
