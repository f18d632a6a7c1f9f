"""Reloads the configuration when its files change, while the host runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.config.load import ConfigSource, LoadedConfig, load, working_directory
from modelperf_plugin.errors import ConfigError, Problem

logger = logging.getLogger("modelperf_plugin")

CHECK_SECONDS: Final = 1.0
"""Minimum interval between two checks of the files, in seconds."""

_Stamps = tuple[tuple[int, int, int] | None, ...]


class ConfigWatch:
    """Holds the configuration in force. Any thread may call ``poll``, which never raises."""

    def __init__(
        self, config: ConfigSource = None, *, flags: Mapping[str, Any] | None = None, cwd: Path | None = None,
        environ: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[ConfigError], None] | None = None, on_change: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Read the configuration; the arguments are those of :func:`~modelperf_plugin.config.load`.

        Args:
            clock: a monotonic clock in seconds.
            on_error: called once for each broken version of a file; the last good one stays in force.
            on_change: called after a new version took effect.

        Raises:
            ConfigError: the initial configuration is not usable.
        """
        where = cwd or working_directory()  # the host may change its working directory later
        self._load: Callable[[], LoadedConfig] = partial(load, config, flags=flags, cwd=where, environ=environ)
        self._clock = clock
        self._on_error = on_error
        self._on_change = on_change
        self._lock = threading.Lock()
        self.current: LoadedConfig = self._load()
        self._stamps: _Stamps | None = None  # the first check finds a change that happened during the first load
        self._next_check = clock() + CHECK_SECONDS if self.current.watched else float("inf")

    def poll(self) -> LoadedConfig:
        """Return the configuration in force, after checking the files if the last check was a second ago."""
        if self._clock() >= self._next_check and self._lock.acquire(blocking=False):
            try:
                self._reload_if_changed()
            finally:
                self._lock.release()
        return self.current

    def renew(self) -> None:
        """Reset the lock in a forked process: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def _reload_if_changed(self) -> None:
        self._next_check = self._clock() + CHECK_SECONDS
        stamps = tuple(map(_file_stamp, self.current.watched))
        if stamps == self._stamps:
            return
        self._stamps = stamps
        before = self.current.config
        try:
            self.current = self._load()
        except ConfigError as error:
            self._notify(self._on_error, error)
        except Exception as error:  # noqa: BLE001 - decisions continue with the last good configuration
            self._notify(self._on_error, ConfigError([Problem(source="configuration", path="", message=str(error))]))
        else:
            if self.current.config != before:
                self._notify(self._on_change)

    @staticmethod
    def _notify(callback: Callable[..., None] | None, *arguments: Any) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            logger.exception("a configuration callback failed")


def _file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file is written, replaced, created or deleted."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
