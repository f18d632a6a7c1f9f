"""Counting what goes wrong inside a hook: the host must not notice, the operator should."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from modelperf_plugin.errors import InvalidValueError, ModelPerfError, brief
from modelperf_plugin.store import CountedProblem, Store

logger = logging.getLogger("modelperf_plugin")

_FLUSH_SECONDS = 1.0
_MOST_KINDS = 100


class Failures:
    """Logs each kind of failure once with its cause, and counts all of them for ``modelperf doctor``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str]] = set()
        self._unsaved: dict[tuple[str, str], CountedProblem] = {}
        self._saved_at = float("-inf")
        self.total = 0
        """How many failures there were."""

    def note(self, where: str, error: BaseException) -> None:
        """Log ``error`` if it is the first of its kind, and count it."""
        # the kind of a bad value is its field and rule: the value itself differs every time
        kind = f"{error.field}: {error.requirement}" if isinstance(error, InvalidValueError) else str(error)
        key = (where, f"{type(error).__name__}: {kind}"[:300])
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            self.total += 1
            first = key not in self._logged
            if first and len(self._logged) >= _MOST_KINDS:
                key, first = (where, "other failures"), False
            self._logged.add(key)
            known = self._unsaved.get(key) or CountedProblem(where, _message(error), 0, now_ms, now_ms)
            self._unsaved[key] = known._replace(times=known.times + 1, last_ms=now_ms)
        if first:
            unexpected = not isinstance(error, ModelPerfError)
            logger.error("%s failed: %s", where, _message(error), exc_info=error if unexpected else None)

    def save(self, store: Store, *, at_once: bool = False) -> None:
        """Hand the counts to ``store``, at most once a second unless ``at_once``; if it fails they stay here."""
        with self._lock:
            now = time.monotonic()
            if not self._unsaved or (now - self._saved_at < _FLUSH_SECONDS and not at_once):
                return
            self._saved_at = now
            unsaved = dict(self._unsaved)
        for key, problem in unsaved.items():
            with suppress(ModelPerfError):
                store.add_problem(problem)
                self._forget(key, problem)

    def _forget(self, key: tuple[str, str], saved: CountedProblem) -> None:
        with self._lock:
            left = self._unsaved[key].times - saved.times
            if left:
                self._unsaved[key] = self._unsaved[key]._replace(times=left)
            else:
                del self._unsaved[key]


def _message(error: BaseException) -> str:
    return str(error)[:1000] or brief(error)
