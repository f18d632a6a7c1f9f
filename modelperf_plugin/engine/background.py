"""Failures of work that no caller waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelperf_plugin.errors import HostCodeError, StoreBusyError
from modelperf_plugin.log import logger
from modelperf_plugin.text import describe_error

MAX_LOGGED_ERRORS: Final = 100


class BackgroundErrors:
    """Reports such failures to the host's callback; without one, logs each of them once. No method raises."""

    def __init__(self, on_error: Callable[[Exception], None] | None = None) -> None:
        self._on_error = on_error
        self._logged: set[str] = set()

    def report(self, consequence: str, error: Exception) -> None:
        """Report an error; ``consequence`` says in the log what it means."""
        if self._on_error is None:
            self._log(consequence, error)
            return
        try:
            self._on_error(error)
        except Exception as raised:  # noqa: BLE001 - it is the host's code
            self._log(consequence, error)
            self._log(
                "a failure was not reported", HostCodeError("on_background_error", raised, "it is logged instead")
            )

    def guard(
        self, action: Callable[[], None], consequence: str = "change detection and A/B tests are suspended"
    ) -> None:
        """Run ``action``; an error is reported, except that others are writing: it is tried again."""
        try:
            action()
        except StoreBusyError:
            pass
        except Exception as error:  # noqa: BLE001 - what the caller asked for was done
            self.report(consequence, error)

    def _log(self, consequence: str, error: Exception) -> None:
        text = describe_error(error)
        if text not in self._logged and len(self._logged) < MAX_LOGGED_ERRORS:
            self._logged.add(text)
            logger.error("%s: %s", consequence, text)
