"""What is done beside the calls for a store on a server: trying it again, and keeping its evidence on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelperf_plugin.files import read_regular, write_whole
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.log import logger
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.beside import beside
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.interim import prepare_interim
from modelperf_plugin.store.fallback.plain import from_plain, to_plain

SUFFIX: Final = "-evidence.json"
COPY_SECONDS: Final = 60.0
"""How often the copy is written."""
MAX_BYTES: Final = 1 << 28
_PREPARE_SECONDS: Final = 0.2
"""How long after opening the stand-in is prepared, which takes longer than a call may at the moment it is needed."""
_FORMAT: Final = 1


class ServerUpkeep:
    """A thread that is woken by choices, which wait for none of this."""

    def __init__(self, path: str, check: Callable[[], None], known: Callable[[], Snapshot | None]) -> None:
        """Call ``check`` when woken, and keep what is ``known`` in a file beside ``path``."""
        self._path = beside(path, SUFFIX)
        self._check = check
        self._known = known
        self._written: Snapshot | None = None
        self._write_at = 0.0
        self._background = Background(
            self, ServerUpkeep._step, name="modelperf reconnecting", on_error=ServerUpkeep._on_error
        )
        self._is_prepared = False
        self._background.wake(_PREPARE_SECONDS)

    def wake(self) -> bool:
        """Have the thread take a step; return False if there can be none."""
        return self._background.wake()

    def read(self) -> tuple[Snapshot, float] | None:
        """Return the copy and its age in seconds; None if there is none."""
        try:
            content = parse_json(read_regular(self._path, MAX_BYTES))
            if content["format"] != _FORMAT:
                return None
            return from_plain(Snapshot, content["evidence"]), max(0.0, time.time() - float(content["at"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None  # another version's, or damaged: it is written anew

    def close(self, seconds: float) -> None:
        """End the thread, and write the copy for the next process."""
        self._background.close(seconds)
        self._write()

    def _step(self) -> None:
        if not self._is_prepared:
            prepare_interim()
            self._is_prepared = True
        self._check()
        if time.monotonic() >= self._write_at:
            self._write()

    def _write(self) -> None:
        self._write_at = time.monotonic() + COPY_SECONDS
        known = self._known()
        if known is None or known == self._written or not (known.tallies or known.demotions or known.changes):
            return
        content = {"format": _FORMAT, "at": time.time(), "evidence": to_plain(known)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
            self._written = known

    def _on_error(self, error: Exception) -> None:
        logger.debug("%s: %s", Path(self._path).name, error)
