"""The spool: outcomes in files of JSON lines while the database cannot be written.

Each process appends to files of its own, one line per outcome, and never rewrites one. A file is a batch: it is
ingested by the database as a whole, once, and then deleted.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.paths import absolute, expanded, home, unreachable
from modelperf_plugin.store.beside import target_of
from modelperf_plugin.store.entries import Finding
from modelperf_plugin.store.fallback.batches import (
    UNREADABLE,
    WAITING,
    Batch,
    file_name,
    read_batch,
    set_aside,
    unreadable_lines,
)
from modelperf_plugin.store.fallback.owner import is_left
from modelperf_plugin.store.fallback.summary import remove_summary
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.text import count
from modelperf_plugin.values import from_milliseconds

_MAX_STEM_BYTES: Final = 150
"""Of a name to which more is added; the system allows 255 in all."""
_TEMPORARY: Final = "modelperf-"


class Place(NamedTuple):
    """Where the spool of one database may be."""

    folder: Path
    stem: str
    """How the names of the files begin."""

    @property
    def summary(self) -> Path:
        """The path of the summary."""
        return self.folder / f"{self.stem}.json"

    def batch(self, batch_id: str) -> Path:
        """Return the path of a batch."""
        return self.folder / file_name(self.stem, batch_id)

    def batches(self, kind: str = WAITING) -> list[Path]:
        """Return the paths of all batches, or with ``UNREADABLE`` those of their unreadable lines."""
        with suppress(OSError):
            if _is_trusted(self.folder):
                found = self.folder.glob(file_name(escape(self.stem), "*", kind))
                return sorted(path for path in found if path.is_file())
        return []

    def make_private(self) -> None:
        """Create the folder for its owner alone; raise OSError if it cannot be, or belongs to another user."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_trusted(self.folder):
            raise PermissionError(f"{self.folder} belongs to another user")


def places(database: str) -> list[Place]:
    """Return where outcomes may be spooled: beside the database, in the user's state folder, in the temporary one.

    If ``database`` leads over a link, those of the link follow: earlier versions spooled there.
    """
    found = []
    for file in dict.fromkeys((target_of(database), absolute(database))):
        stem = file.stem if len(os.fsencode(file.stem)) <= _MAX_STEM_BYTES else "database"
        elsewhere = f"{stem}-{sha256(os.fsencode(file)).hexdigest()[:12]}"
        found += [
            *([] if unreachable(file) else [Place(file.parent, file.stem)]),
            *(Place(folder, elsewhere) for folder in _folders_elsewhere()),
        ]
    return found


def _folders_elsewhere() -> list[Path]:
    """Return the folders of this user for what programs leave behind; none without a home and a temporary folder."""
    given, at_home = Path(os.environ.get("XDG_STATE_HOME", "")), home()
    state = given if given.is_absolute() else None if at_home is None else at_home / ".local" / "state"
    folders = [] if state is None else [state / "modelperf"]
    with suppress(OSError):  # no folder can be written to
        user = getattr(os, "getuid", lambda: "user")()
        folders.append(Path(tempfile.gettempdir()) / f"{_TEMPORARY}{user}")
    return folders


def spooled(database: str) -> Iterator[tuple[Path, Batch]]:
    """Yield what is spooled for ``database``, by any process."""
    for path in (path for place in places(database) for path in place.batches()):
        batch = read_batch(path)
        if batch is not None:
            yield path, batch


def count_waiting(database: str) -> int:
    """Return how many outcomes are spooled for ``database``."""
    return sum(len(batch.entries) for _, batch in spooled(database))


def ingest_left(store: MainStore, place: Place, path: Path) -> None:
    """Move a batch into ``store`` if its process has ended, or does without the file by now.

    Raises:
        StoreBusyError: others are writing; nothing was moved.
    """
    file = _opened(path)
    if file is None:
        return
    with file:  # which keeps it locked
        if is_left(file):
            _ingest(store, place, path)


def _ingest(store: MainStore, place: Place, path: Path) -> None:
    try:
        batch = read_batch(path)
        if batch is None:
            return
        new = store.outcomes.ingest_batch(batch.batch_id, batch.entries)
        aside = set_aside(path, batch)
        if place.batches() == [path]:
            remove_summary(place.summary)
        path.unlink()
        if aside:
            logger.warning("%d lines of %s could not be read: they are kept in %s", len(batch.unreadable), path, aside)
        if new:
            logger.warning("moved %s from %s into %s", count(new, "spooled outcome"), path, store.location)
    except StoreBusyError:
        raise
    except (OSError, StoreError) as error:
        logger.warning("%s could not be moved into %s: %s", path, store.location, error)


def waiting_for(database: str) -> list[Finding]:
    """Return a finding for each batch that waits for ``database``; none if it is not a file."""
    if database == ":memory:" or "://" in database:
        return []
    file = str(expanded(database))
    unreadable = [path for place in places(file) for path in place.batches(UNREADABLE)]
    return [*(_waiting(path, batch) for path, batch in spooled(file)), *map(unreadable_lines, unreadable)]


def _waiting(path: Path, batch: Batch) -> Finding:
    what_next = "a host runs without the database, and moves them once it can"
    file = _opened(path)
    if file is not None:
        with file:
            if is_left(file):
                what_next = "the next host moves them into the database"
    since = f"{from_milliseconds(batch.since_ms):%Y-%m-%d %H:%M:%S} UTC"
    wait = "waits" if len(batch.entries) == 1 else "wait"
    message = f"{count(len(batch.entries), 'outcome')} {wait} in {path} since {since}: {what_next}. {batch.reason}"
    return Finding("degraded", ok=False, message=message)


def _opened(path: Path) -> io.FileIO | None:
    try:
        return io.FileIO(path, "r+")
    except OSError:
        return None


def _is_trusted(folder: Path) -> bool:
    """Return whether a folder belongs to this user, if it is where every user can create one of its name."""
    if not folder.name.startswith(_TEMPORARY) or not hasattr(os, "getuid"):
        return True
    return folder.stat().st_uid == os.getuid() and not folder.is_symlink()
