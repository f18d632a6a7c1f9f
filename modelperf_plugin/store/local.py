"""Reading without waiting for a network, as choices do: their answers come from what this process has read before.

A store in a file answers at once, and takes no notice of this. One on a server keeps the answers to the questions of
recent choices and renews them beside the calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Final, TypeVar

KNOWN_SECONDS: Final = 0.05
"""How long a choice waits, all its questions together, for newer answers than it has."""
UNKNOWN_SECONDS: Final = 0.5
"""How long it waits for answers that it does not have at all."""

_T = TypeVar("_T")


class LocalRead:
    """What one choice may wait for, and what it went without."""

    __slots__ = ("_started", "lacks")

    def __init__(self) -> None:
        self._started = 0.0
        self.lacks = False
        """Whether something was needed that was never read, and could not be read in time."""

    def remaining(self, *, known: bool) -> float:
        """Return for how many seconds to wait for an answer, of which an older one is ``known`` or not."""
        now = time.monotonic()
        self._started = self._started or now  # most choices wait for nothing
        return self._started + (KNOWN_SECONDS if known else UNKNOWN_SECONDS) - now


_current: ContextVar[LocalRead | None] = ContextVar("modelperf_local_read", default=None)


def local_read() -> LocalRead | None:
    """Return what the caller may wait for; None if it wants answers that include everything recorded before."""
    return _current.get()


def locally(read: LocalRead, action: Callable[[], _T]) -> _T:
    """Return what ``action`` returns; it reads what is known, and waits no longer than ``read`` permits."""

    def run() -> _T:
        _current.set(read)
        return action()

    return copy_context().run(run)
