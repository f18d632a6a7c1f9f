"""Values that take seconds to compute: computed beside the requests, and kept, so that no page waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.errors import ModelPerfError
from modelperf_plugin.log import logger
from modelperf_plugin.store.background import Background

MAX_KEPT: Final = 16
"""Values kept, those used last, and values that wait to be computed, those asked for last."""
FRESH_SECONDS: Final = 60.0
MIN_REST: Final = 20.0
"""A value is computed again after so many seconds at the earliest, and this many times as long as it took."""
MAX_YIELD_SECONDS: Final = 2.0
"""How long a computation rests, each time that it can, while requests are answered."""

Make = Callable[[Progress], Any]


class Computed(NamedTuple):
    """A value that was computed."""

    value: Any
    """None if that has failed."""
    made_at: datetime
    failure: str | None = None
    """Why it has failed, for people."""
    stale_at: float = 0.0
    """When to compute it again, by the monotonic clock."""


class Later:
    """Computes one value at a time in a thread. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Computed] = {}
        self._wanted: dict[Hashable, Make] = {}
        self._computing: Hashable = None
        self._requests = 0
        self._background = Background(self, Later._step, name="modelperf-dashboard", on_error=Later._fail)

    def get(self, key: Hashable, make: Make) -> Computed | None:
        """Return what ``make`` returned the last time; None until there is something.

        ``make`` is called in a thread if the value is missing or old. It should call what it is passed now and then,
        and is ended by what that raises once the process ends.
        """
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found  # the last one used
            is_due = (found is None or found.stale_at <= time.monotonic()) and key != self._computing
            if is_due:
                self._wanted.pop(key, None)
                self._wanted[key] = make  # the first one to be computed
                _shorten(self._wanted)
        if is_due:
            self._background.wake()
        return found

    def counting(self, app: ASGIApp) -> ASGIApp:
        """Return ``app`` in a form that has computations rest while it answers a request."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._requests += 1
            try:
                await app(scope, receive, send)
            finally:
                self._requests -= 1

        return counted

    def _step(self) -> float | None:
        """Compute the value that was asked for last; return when to continue."""
        with self._lock:
            if not self._wanted:
                return None
            key, make = self._wanted.popitem()
            self._computing = key
        started, value, failure = time.monotonic(), None, None
        try:
            self._rest()
            value = make(self._rest)
        except _StoppedError:
            self._computing = None
            return None
        except ModelPerfError as error:
            failure = str(error)
        except Exception:  # noqa: BLE001 - there is no caller, and pages say that it failed
            logger.exception("%r could not be computed for the dashboard", key)
            failure = "it could not be computed: the log of the dashboard says why"
        now = time.monotonic()
        computed = Computed(value, datetime.now(UTC), failure, now + max(FRESH_SECONDS, MIN_REST * (now - started)))
        with self._lock:
            self._computing = None
            self._kept[key] = computed
            _shorten(self._kept)
        return 0.0

    def _rest(self, done: int = 0, total: int = 0) -> None:  # noqa: ARG002 - called with the progress
        """Leave the interpreter to requests for a while; end the computation if the thread is to end."""
        until = time.monotonic() + MAX_YIELD_SECONDS
        while self._requests and time.monotonic() < until and not self._background.stopping:
            time.sleep(0.01)
        if self._background.stopping:
            raise _StoppedError

    def _fail(self, error: Exception) -> None:
        logger.error("computing for the dashboard failed: %s", error)


def _shorten(values: dict[Hashable, Any]) -> None:
    while len(values) > MAX_KEPT:
        del values[next(iter(values))]


class _StoppedError(Exception):
    """The thread is to end."""
