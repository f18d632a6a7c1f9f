"""Exponential back-off between attempts at something that fails."""

from __future__ import annotations

import time
from collections.abc import Callable


class Backoff:
    """Doubles the wait after each failure in a row. Not locked: use it where attempts are serialized already."""

    def __init__(
        self, shortest: float = 1.0, longest: float = 60.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait ``shortest`` seconds after the first failure, ``longest`` at most; ``clock`` never goes back."""
        self._shortest = shortest
        self._longest = longest
        self._clock = clock
        self._seconds = shortest
        self._retry_at = 0.0

    @property
    def due(self) -> bool:
        """Whether the next attempt may be made."""
        return self._retry_at == 0.0 or self._clock() >= self._retry_at

    def failed(self) -> None:
        """Wait before the next attempt, twice as long as the last time."""
        self._retry_at = self._clock() + self._seconds
        self._seconds = min(2 * self._seconds, self._longest)

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._seconds = self._shortest
        self._retry_at = 0.0
