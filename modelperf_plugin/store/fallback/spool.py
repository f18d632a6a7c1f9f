"""The spool: outcomes in files of JSON lines while the database cannot be used.

Each process appends to files of its own, one line per outcome, and never rewrites one. A file is a batch: it is
ingested by the database as a whole, once, and then deleted.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store.entries import Entry, Finding
from modelperf_plugin.store.fallback.summary import remove_summary, write_summary
from modelperf_plugin.store.lock import claimed, try_lock
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.values import Outcome, Tally, check_id, from_milliseconds

logger = logging.getLogger("modelperf_plugin")

FORMAT: Final = 1
_TEMPORARY: Final = "modelperf-"
_ID_BYTES: Final = 8
_FIELDS: Final = ("success", "timeout", "tokens_used", "cost_usd", "duration_seconds", "error_kind", "outcome_id")


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
        return self.folder / f"{self.stem}.waiting-{batch_id}.jsonl"

    def batches(self) -> list[Path]:
        """Return the paths of all batches."""
        with suppress(OSError):
            if _is_trusted(self.folder):
                return sorted(self.folder.glob(f"{escape(self.stem)}.waiting-*.jsonl"))
        return []

    def make_private(self) -> None:
        """Create the folder for its owner alone; raise OSError if it cannot be, or belongs to another user."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_trusted(self.folder):
            raise PermissionError(f"{self.folder} belongs to another user")


class Batch(NamedTuple):
    """The contents of a spool file."""

    batch_id: str
    """Unique; the database remembers it."""
    since_ms: int
    """When it was begun, in milliseconds since the Unix epoch."""
    reason: str
    """Why the database could not be used."""
    entries: list[Entry]


def places(database: str) -> list[Place]:
    """Return where outcomes may be spooled: beside the database, in the user's state folder, in the temporary one."""
    file = Path(database).absolute()
    elsewhere = f"{file.stem}-{sha256(os.fsencode(file)).hexdigest()[:12]}"
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state")
    user = getattr(os, "getuid", lambda: "user")()
    return [
        Place(file.parent, file.stem),
        Place(Path(state).expanduser() / "modelperf", elsewhere),
        Place(Path(tempfile.gettempdir()) / f"{_TEMPORARY}{user}", elsewhere),
    ]


def spooled(database: str) -> Iterator[tuple[Path, Batch]]:
    """Yield what is spooled for ``database``, by any process."""
    for path in (path for place in places(database) for path in place.batches()):
        batch = read_batch(path)
        if batch is not None:
            yield path, batch


def read_batch(path: Path) -> Batch | None:
    """Return the contents of a spool file; None if it is gone, or not a spool file.

    A last line without its end is what a crash left of an outcome that was never acknowledged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        header = json.loads(lines[0])
        batch_id, since_ms, reason = header["batch"], int(header["since_ms"]), str(header["reason"])
        if header["modelperf"] != FORMAT:
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Batch(batch_id, since_ms, reason, [entry for entry in map(_parse, lines[1:]) if entry is not None])


def ingest_spooled(store: SqliteStore, database: str) -> None:
    """Move into ``store`` what processes that have ended, or do without their file by now, have spooled."""
    for place in places(database):
        for path in place.batches():
            with claimed(path) as is_ours:
                if is_ours:
                    _ingest(store, place, path)


def _ingest(store: SqliteStore, place: Place, path: Path) -> None:
    try:
        batch = read_batch(path)
        if batch is None:
            return
        new = store.outcomes.ingest_batch(batch.batch_id, batch.entries)
        if place.batches() == [path]:
            remove_summary(place.summary)
        path.unlink()
        if new:
            logger.warning("%d spooled outcomes were moved from %s into %s", new, path, store.location)
    except (OSError, StoreError) as error:
        logger.warning("%s could not be moved into %s: %s", path, store.location, error)


def waiting_for(database: str) -> list[Finding]:
    """Return a finding for each batch that waits for ``database``; none if it is not a file."""
    if database == ":memory:" or "://" in database:
        return []
    return [_waiting(path, batch) for path, batch in spooled(str(Path(database).expanduser()))]


def _waiting(path: Path, batch: Batch) -> Finding:
    with claimed(path) as is_left:
        what_next = "the next host moves them into the database" if is_left else "a host runs without the database"
    since = f"{from_milliseconds(batch.since_ms):%Y-%m-%d %H:%M:%S} UTC"
    message = f"{len(batch.entries):,} outcomes wait in {path} since {since}: {what_next}. {batch.reason}"
    return Finding("degraded", ok=False, message=message)


class Spool:
    """What this process has spooled. One thread at a time may use it."""

    def __init__(self, database: str, reason: str, *, sync: bool) -> None:
        """Begin the first batch; with ``sync`` every outcome is on the disk before ``append`` returns.

        Nothing here fails for the lack of a disk: where nothing can be written, outcomes wait in memory.
        """
        self._header = {"database": os.path.abspath(database), "reason": reason}  # noqa: PTH100 - the path may be gone
        self._all_places = places(database)
        self._sync = sync
        self.begin()

    @property
    def where(self) -> str:
        """Where outcomes are spooled, for messages."""
        return self._batches[-1].where

    def begin(self) -> None:
        """Begin without batches, as in a forked child: those of the parent stay the parent's."""
        self._places = list(self._all_places)
        self._batches: list[_OwnBatch] = []
        self._begin_batch()

    def append(self, entry: Entry) -> None:
        """Spool one outcome."""
        if self._sealed:
            self._begin_batch()
        while True:
            try:
                self._batches[-1].append(entry)
            except OSError:
                self._places.pop(0)
                self._begin_batch()
                logger.error("outcomes now wait in %s", self.where)  # noqa: TRY400 - the cause is the full disk
            else:
                return

    def ingest_into(self, store: SqliteStore) -> int:
        """Move all batches into ``store``, each once; return how many outcomes were new there.

        Raises:
            StoreError: ``store`` does not work yet. The failed commit may have happened after all, so the batches stay
                as they are, and later outcomes go into another one.
        """
        self._sealed = True
        new = 0
        while self._batches:
            batch = self._batches[0]
            new += store.outcomes.ingest_batch(batch.batch_id, batch.entries())
            batch.discard()
            del self._batches[0]
        for place in self._all_places:
            if not place.batches():
                remove_summary(place.summary)
        return new

    def summarise(self, tallies: Iterable[Tally]) -> None:
        """Write the counts that wait, for people and other tools."""
        if self._places:
            write_summary(self._places[0].summary, tallies)

    def release(self) -> None:
        """Close all files, and leave them to the next process that can use the database."""
        for batch in self._batches:
            batch.release()
        self._batches.clear()

    def close_files(self) -> None:
        """Close all files without a look at them."""
        for batch in self._batches:
            batch.close()

    def _begin_batch(self) -> None:
        header = {**self._header, "pid": os.getpid(), "since_ms": time.time_ns() // 1_000_000}
        self._sealed = False
        while self._places:
            try:
                self._batches.append(_OwnBatch(self._places[0], header, sync=self._sync))
            except OSError:
                self._places.pop(0)
            else:
                return
        self._batches.append(_OwnBatch(None, header, sync=False))


class _OwnBatch:
    """A batch that this process appends to: a file that it keeps locked, or a list where nothing can be written."""

    def __init__(self, place: Place | None, header: dict[str, Any], *, sync: bool) -> None:
        self.batch_id = os.urandom(_ID_BYTES).hex()
        self._path = None if place is None else place.batch(self.batch_id)
        self._in_memory: list[Entry] = []
        self._sync = sync
        self._size = 0
        self._descriptor = -1
        if place is None or self._path is None:
            return
        place.make_private()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            try_lock(self._descriptor)
            self._write({"modelperf": FORMAT, "batch": self.batch_id, **header})
        except BaseException:
            self.discard()
            raise

    @property
    def where(self) -> str:
        return "memory only" if self._path is None else str(self._path)

    def append(self, entry: Entry) -> None:
        """Add one outcome; raise OSError if there is no room: then nothing of it stays."""
        if self._path is None:
            self._in_memory.append(entry)
            return
        outcome = entry.outcome
        values = {name: getattr(outcome, name) for name in _FIELDS if getattr(outcome, name) is not None}
        self._write([entry.task_type, entry.model_id, entry.ended_ms, values])

    def entries(self) -> list[Entry]:
        if self._path is None:
            return self._in_memory
        batch = read_batch(self._path)
        return [] if batch is None else batch.entries

    def release(self) -> None:
        """Close the file; delete it if it holds no outcomes."""
        entries = self.entries()
        if self._path is None and entries:
            logger.error("%d outcomes are lost: they could not be written anywhere", len(entries))
        if entries:
            self.close()
        else:
            self.discard()

    def discard(self) -> None:
        """Delete the file; one that cannot be deleted is deleted later, as its batch is known to the database."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file once: its number may belong to another file afterwards."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError("there was room for a part only")  # noqa: TRY301 - cleaned up as every other
            if self._sync:
                os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)


def _parse(line: bytes) -> Entry | None:
    """Return the outcome in a line, or None."""
    try:
        task_type, model_id, ended_ms, values = json.loads(line)
        from_milliseconds(ended_ms)  # refuses what is not a moment
        return Entry(check_id("task_type", task_type), check_id("model_id", model_id), Outcome(**values), ended_ms)
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _is_trusted(folder: Path) -> bool:
    """Return whether a folder belongs to this user, if it is where every user can create one of its name."""
    if not folder.name.startswith(_TEMPORARY) or not hasattr(os, "getuid"):
        return True
    return folder.stat().st_uid == os.getuid() and not folder.is_symlink()
