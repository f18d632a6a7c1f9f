"""How long a call may wait for other threads, processes and programs that write.

One deadline covers all waits of a call together: for other threads, for the lock file, and for SQLite's own lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Final, TypeVar

BUSY_SECONDS: Final = 5.0
"""How long a call waits unless a deadline is set."""
PATIENCE_SECONDS: Final = 1.0
"""How long a host waits before it spools an outcome."""
SPARE_SECONDS: Final = 0.05
"""How long work that can be done later waits within a call, unless others are known to keep the store busy."""
NO_WAIT: Final = 0.0
"""For :func:`within`: try once, and raise StoreBusyError if others are writing."""

_T = TypeVar("_T")
_deadline: ContextVar[float | None] = ContextVar("modelperf_deadline", default=None)
"""On the monotonic clock."""


def remaining(seconds: float = BUSY_SECONDS) -> float:
    """Return for how long the caller may still wait: until its deadline, but no longer than ``seconds``."""
    at = _deadline.get()
    return seconds if at is None else min(seconds, max(0.0, at - time.monotonic()))


def within(seconds: float, action: Callable[[], _T]) -> _T:
    """Return what ``action`` returns; all store calls in it together wait for at most ``seconds``.

    Inside another action that has a deadline, the earlier one counts.
    """

    def run() -> _T:
        _deadline.set(time.monotonic() + remaining(seconds))
        return action()

    return copy_context().run(run)  # not set and reset, between which an interrupt could come
