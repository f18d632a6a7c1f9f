"""Counts and logs failures inside hooks: the host does not notice them, the operator does."""

from __future__ import annotations

import threading
import time
from typing import Final

from modelperf_plugin.errors import InvalidValueError, ModelPerfError
from modelperf_plugin.log import logger
from modelperf_plugin.store import CountedProblem, forks
from modelperf_plugin.store.roles import Problems
from modelperf_plugin.text import describe_error
from modelperf_plugin.values.backoff import Backoff

SAVE_SECONDS: Final = 1.0
MAX_KINDS: Final = 100
"""Maximum number of kinds of failures; further ones are counted together."""

_Kind = tuple[str, str]
"""Where it happened, and the error."""


class UnexpectedError(Exception):
    """Logged in place of an error that is not one of this package's: its own message may hold text of the host."""


class Failures:
    """Logs each kind of failure once with its cause, and counts all of them for ``modelperf doctor``."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._messages: dict[_Kind, str] = {}
        self.unsaved: dict[_Kind, CountedProblem] = {}
        """The counts that are not in the store yet."""
        self._save_at = 0.0
        self._backoff = Backoff()
        self.total = 0
        forks.renew(self, Failures._renew)

    def _renew(self) -> None:
        """Start over in a forked process: the parent saves what was counted so far."""
        self._lock = threading.RLock()
        self.unsaved = {}

    def note(self, where: str, error: BaseException, *, log: bool = True) -> None:
        """Count ``error``, and log it if it is the first of its kind, unless the caller has done so (``log=False``)."""
        message = describe_error(error)
        # the kind of a bad value is its field and rule: the value itself differs every time
        text = f"{error.field}: {error.requirement}" if isinstance(error, InvalidValueError) else message
        kind = (where, f"{type(error).__name__}: {text}"[:300])
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            self.total += 1
            if kind not in self._messages and len(self._messages) >= MAX_KINDS:
                kind, message = (where, "other failures"), f"other failures, the first of them: {message}"
            first = kind not in self._messages
            self._add(kind, CountedProblem(where, self._messages.setdefault(kind, message), 1, now_ms, now_ms))
        if first and log:
            unexpected = not isinstance(error, ModelPerfError)
            logged = (type(error), UnexpectedError(message), error.__traceback__) if unexpected else None
            logger.error("%s failed: %s", where, message, exc_info=logged)

    def save(self, problems: Problems, *, at_once: bool = False) -> None:
        """Add the counts to ``problems``, no more than once a second unless ``at_once``; backs off while that fails."""
        with self._lock:
            now = time.monotonic()
            if not self.unsaved or not (at_once or (now >= self._save_at and self._backoff.due)):
                return
            self._save_at = now + SAVE_SECONDS
            unsaved, self.unsaved = self.unsaved, {}
        saved = [self._save_one(problems, kind, problem) for kind, problem in unsaved.items()]
        if all(saved):
            self._backoff.succeeded()
        else:
            self._backoff.failed()

    def _save_one(self, problems: Problems, kind: _Kind, problem: CountedProblem) -> bool:
        try:
            problems.add(problem)
        except Exception:  # noqa: BLE001 - a count that cannot be saved must not disturb the host
            with self._lock:
                self._add(kind, problem)
            return False
        return True

    def _add(self, kind: _Kind, problem: CountedProblem) -> None:
        known = self.unsaved.get(kind)
        if known is not None:
            problem = problem._replace(
                times=known.times + problem.times,
                first_ms=min(known.first_ms, problem.first_ms),
                last_ms=max(known.last_ms, problem.last_ms),
            )
        self.unsaved[kind] = problem
