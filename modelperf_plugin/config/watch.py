"""Reloads the configuration when its files change, while the host runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.config.load import ConfigSource, LoadedConfig, load, working_directory
from modelperf_plugin.errors import ConfigError, Problem
from modelperf_plugin.log import logger
from modelperf_plugin.values.locks import attempt

CHECK_SECONDS: Final = 1.0
"""Minimum interval between two checks of the files, in seconds."""

_TICK_NS: Final = 100_000_000
"""File systems stamp changes with the time of their last tick: two within this time may have the same stamp."""

_Stamp = tuple[int, int, int, int]
"""Time of change, time of modification, size, number of the file."""


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
        self._stamps: list[_Stamp | None] = []  # the first check finds a change that happened during the first load
        self._settled = True
        """Whether the stamps would differ after another change."""
        self._last_error = ""
        self._announced = self.current.config
        """The configuration of which ``on_change`` knows."""
        self._next_check = clock() + CHECK_SECONDS if self.current.watched else float("inf")

    def poll(self) -> LoadedConfig:
        """Return the configuration in force, after checking the files if the last check was a second ago."""
        if self._clock() >= self._next_check:
            attempt(self._lock, self._reload_if_changed)
        return self.current

    def renew(self) -> None:
        """Reset the lock in a forked process: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def _reload_if_changed(self) -> None:
        self._next_check = self._clock() + CHECK_SECONDS
        stamps = [_file_stamp(path) for path in self.current.watched]
        is_new_version = stamps != self._stamps
        if self._settled and not is_new_version:
            return
        try:
            loaded = self._load()
        except ConfigError as error:
            self._report(error, is_new_version=is_new_version)
        except Exception as error:  # noqa: BLE001 - decisions continue with the last good configuration
            problem = Problem(source="configuration", path="", message=str(error))
            self._report(ConfigError([problem]), is_new_version=is_new_version)
        else:
            self._last_error = ""
            if loaded != self.current:
                self.current = loaded
            if loaded.config != self._announced:
                self._notify(self._on_change)
                self._announced = loaded.config
        # last: a check that is interrupted is made again
        self._stamps, self._settled = stamps, not _may_change_unnoticed(stamps)

    def _report(self, error: ConfigError, *, is_new_version: bool) -> None:
        """Report a broken version, once."""
        if is_new_version or str(error) != self._last_error:
            self._last_error = str(error)
            self._notify(self._on_error, error)

    @staticmethod
    def _notify(callback: Callable[..., None] | None, *arguments: Any) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - it is the host's code
            logger.exception("a configuration callback failed")


def _file_stamp(path: Path) -> _Stamp | None:
    """Return a value that changes when the file is written, replaced, created or deleted."""
    try:
        status = path.stat()
    except OSError:
        return None
    # The time of change cannot be set back, unlike that of modification, which `cp -p` and archives preserve.
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _may_change_unnoticed(stamps: Iterable[_Stamp | None]) -> bool:
    """Return whether a file changed so recently that its next change may have the same stamp."""
    now = time.time_ns()
    return any(stamp is not None and 0 <= now - stamp[0] < _TICK_NS for stamp in stamps)
