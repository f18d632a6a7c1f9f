"""Failures of work that no caller waits for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from modelperf_plugin.errors import ModelPerfError

logger = logging.getLogger("modelperf_plugin")

MAX_LOGGED_ERRORS: Final = 100


class BackgroundErrors:
    """Reports such failures to the host's callback; without one, logs each of them once."""

    def __init__(self, on_error: Callable[[Exception], None] | None = None) -> None:
        self._on_error = on_error
        self._logged: set[str] = set()

    def report(self, consequence: str, error: Exception) -> None:
        """Report an error; ``consequence`` says in the log what it means."""
        if self._on_error is not None:
            self._on_error(error)
        elif str(error) not in self._logged and len(self._logged) < MAX_LOGGED_ERRORS:
            self._logged.add(str(error))
            logger.error("%s: %s", consequence, error)

    def guard(self, action: Callable[[], None]) -> None:
        """Run ``action``; an error of this package is reported."""
        try:
            action()
        except ModelPerfError as error:
            self.report("change detection and A/B tests are suspended", error)
