"""Reading without waiting for a network, as choices do: their answers come from what this process has read before.

A store in a file answers at once, and takes no notice of this. One on a server keeps the answers to the questions of
recent choices and renews them beside the calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from math import inf
from typing import Final, TypeVar

KNOWN_SECONDS: Final = 0.05
"""How long a choice waits, all its questions together, for newer answers than it has."""
UNKNOWN_SECONDS: Final = 0.5
"""How long it waits for answers that it does not have at all."""
ASIDE_SECONDS: Final = 0.25
"""How long a question may take that is asked beside the calls, but by one who keeps them waiting."""

_T = TypeVar("_T")


class LocalRead:
    """What one choice may wait for, and what it went without."""

    __slots__ = ("_started", "is_direct", "lacks", "read_at")

    def __init__(self, *, is_direct: bool = False) -> None:
        self._started = 0.0
        self.is_direct = is_direct
        """Whether to ask the server itself, for :data:`ASIDE_SECONDS`: not a choice, but what choices may wait for."""
        self.read_at = inf
        """Since when the answers hold that were given, on the monotonic clock."""
        self.lacks = False
        """Whether something was needed that was never read, and could not be read in time."""

    def remaining(self, *, known: bool) -> float:
        """Return for how many seconds to wait for an answer, of which an older one is ``known`` or not."""
        now = time.monotonic()
        self._started = self._started or now  # most choices wait for nothing
        return self._started + (KNOWN_SECONDS if known else UNKNOWN_SECONDS) - now


_current: ContextVar[LocalRead | None] = ContextVar("modelperf_local_read", default=None)


def local_read() -> LocalRead | None:
    """Return what the calling choice may wait for; None if answers must include everything recorded before."""
    read = _current.get()
    return None if read is None or read.is_direct else read


def dated(ask: Callable[[], _T]) -> tuple[float, _T]:
    """Return since when what ``ask`` returns holds, on the monotonic clock, and what it returns.

    Who keeps answers does not replace them by older ones: a choice may have been given what another thread has already
    read anew.
    """
    started, read = time.monotonic(), local_read()
    if read is None:
        return started, ask()
    read.read_at = started
    found = ask()
    return read.read_at, found


def least_seconds(otherwise: float) -> float:
    """Return how long a question to the server may take at least: ``otherwise``, unless choices wait for the caller."""
    return otherwise if _current.get() is None else ASIDE_SECONDS


def locally(read: LocalRead, action: Callable[[], _T]) -> _T:
    """Return what ``action`` returns; it reads what is known, and waits no longer than ``read`` permits."""

    def run() -> _T:
        _current.set(read)
        return action()

    return copy_context().run(run)
