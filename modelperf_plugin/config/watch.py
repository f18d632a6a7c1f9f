"""Reading the configuration again when its files change, while the host runs."""

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
"""How often at most the files are looked at."""

_Stamp = tuple[tuple[int, int, int] | None, ...]


class ConfigWatch:
    """Holds the configuration in force. Any thread may call ``poll`` at any time; it never raises."""

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        flags: Mapping[str, Any] | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[ConfigError], None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Read the configuration; the arguments are those of :func:`~modelperf_plugin.config.load`.

        Args:
            clock: seconds that never go back.
            on_error: called once for each broken version of a file; the last good one stays in force.
            on_change: called after a new version came into force.

        Raises:
            ConfigError: what is there at the start is not usable.
        """
        where = cwd or working_directory()  # a host may change its working directory later
        self._load: Callable[[], LoadedConfig] = partial(load, config, flags=flags, cwd=where, environ=environ)
        self._clock = clock
        self._on_error = on_error
        self._on_change = on_change
        self._lock = threading.Lock()
        self.current: LoadedConfig = self._load()
        """The configuration in force."""
        self._stamp: _Stamp | None = None  # a change while it was read for the first time is found at the first look
        self._next_check = clock() + CHECK_SECONDS if self.current.watched else float("inf")

    def poll(self) -> LoadedConfig:
        """Return the configuration in force, after looking at the files if the last look was a second ago."""
        if self._clock() >= self._next_check and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self.current

    def renew(self) -> None:
        """Go on in a forked process: a thread that is not there may have held the lock."""
        self._lock = threading.Lock()

    def _look(self) -> None:
        self._next_check = self._clock() + CHECK_SECONDS
        stamp = _stamp(self.current.watched)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        before = self.current.config
        try:
            self.current = self._load()
        except ConfigError as error:
            self._tell(self._on_error, error)
        except Exception as error:  # noqa: BLE001 - a choice goes on with the last good configuration
            self._tell(self._on_error, ConfigError([Problem(source="configuration", path="", message=str(error))]))
        else:
            if self.current.config != before:
                self._tell(self._on_change)

    @staticmethod
    def _tell(callback: Callable[..., None] | None, *arguments: Any) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            logger.exception("a callback about the configuration failed")


def _stamp(paths: tuple[Path, ...]) -> _Stamp:
    """Return what changes when a file is written, replaced, made or deleted."""
    return tuple(_file_stamp(path) for path in paths)


def _file_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
