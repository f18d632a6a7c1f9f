"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

SOON = 20.0
"""No test waits so many seconds unless it fails."""


def wait_until(is_true: Callable[[], bool], seconds: float = SOON) -> None:
    """Wait until something is true, for up to ``seconds``."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.01)
