"""What this process spools: batches that it appends to, and moves into the database once it can be written."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.files import create_private, sync_folder, try_lock
from modelperf_plugin.log import logger
from modelperf_plugin.paths import absolute
from modelperf_plugin.store import forks
from modelperf_plugin.store.entries import Entry, Verdict
from modelperf_plugin.store.fallback.batches import FORMAT, Batch, group_of, read_batch, set_aside
from modelperf_plugin.store.fallback.owner import this_process
from modelperf_plugin.store.fallback.spool import Place, places
from modelperf_plugin.store.fallback.summary import remove_summary, write_summary
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.store.tally_cache import NO_COUNTS, Counts
from modelperf_plugin.values import Tally
from modelperf_plugin.values.locks import is_held_here

MAX_BATCH_OUTCOMES: Final = 250
"""A batch takes no more outcomes, so that moving it into the database takes a few milliseconds."""
_LOCK_SECONDS: Final = 0.1
_ID_BYTES: Final = 8
_FIELDS: Final = (
    "success", "timeout", "tokens_used", "cost_usd", "duration_seconds", "error_kind", "outcome_id", "score",
    "retry_after_seconds", "served_model",
)  # fmt: skip


class Spool:
    """The batches of this process, oldest first. Any thread may call any method.

    A child of a fork begins without batches: those of the parent stay the parent's.
    """

    def __init__(self, database: str, *, sync: bool) -> None:
        """Take the path of the database; nothing is written before the first outcome.

        With ``sync`` every outcome is on the disk before ``append`` returns. Nothing here fails for the lack of a disk:
        where nothing can be written, outcomes wait in memory.
        """
        self._header = {"database": str(absolute(database)), "reason": ""}
        self._all_places = places(database)
        self._sync = sync
        self._start_over()
        forks.renew(self, Spool._begin_in_child)

    @property
    def is_empty(self) -> bool:
        """Whether there is no batch."""
        return not self._batches

    @property
    def outcomes(self) -> int:
        """How many outcomes wait."""
        return sum(batch.outcomes for batch in self._batches.copy())

    def begin(self, reason: str) -> str:
        """Begin a batch, whose file gives the reason why the database is not used; return where it is."""
        with self._lock:
            self._header["reason"] = reason
            self._begin_batch()
            return self._batches[-1].where

    def append(self, entries: Sequence[Entry], revised: Sequence[bool] = (), *, batch_id: str | None = None) -> None:
        """Spool outcomes: all of them or, if the process dies meanwhile, none.

        Those that are ``revised`` verdicts of known ones count when they are moved: until then the former ones do. With
        ``batch_id`` they are a batch of their own.
        """
        with self._lock:
            if batch_id or not self._batches or self._batches[-1].is_closed or self._batches[-1].is_gone:
                self._begin_batch(batch_id)
            while True:
                try:
                    self._batches[-1].append(entries, revised)
                except OSError:
                    self._places.pop(0)
                    self._begin_batch(batch_id)
                    logger.error("outcomes now wait in %s", self._batches[-1].where)
                else:
                    self._batches[-1].is_closed |= batch_id is not None
                    return

    def counts(self) -> list[tuple[str, Mapping[str, Counts]]]:
        """Return the id of each batch with the counts of its outcomes by task type."""
        return [(batch.batch_id, batch.counts) for batch in self._batches.copy()]

    def verdict_of(self, outcome_id: str) -> Verdict | None:
        """Return the newest verdict that waits under this id."""
        for batch in reversed(self._batches.copy()):
            if outcome_id in batch.verdicts:
                return batch.verdicts[outcome_id]
        return None

    def in_memory(self) -> list[Entry]:
        """Return the outcomes that could not be written to any file."""
        return [entry for batch in self._batches.copy() for entry in batch.in_memory]

    def ingest_next(self, store: MainStore) -> list[Entry]:
        """Move the oldest batch into ``store``, once; return its outcomes.

        One thread at a time may do this, and only if there is a batch.

        Raises:
            StoreBusyError: others are writing, or this thread is adding to a batch, which a signal handler interrupted;
                nothing was moved.
            StoreError: ``store`` does not work. The failed commit may have happened after all, so the batch stays as it
                is, and later outcomes go into another one.
        """
        if is_held_here(self._lock):
            raise StoreBusyError("an outcome is being spooled")
        batch = self._batches[0]
        if not self._discard_empty(batch):
            store.outcomes.ingest_batch(batch.batch_id, self._close_and_read(batch))
            batch.set_aside()
            self._discard(batch)
        if not self._batches:
            self._remove_summaries()
        return batch.read

    def _discard_empty(self, batch: _OwnBatch) -> bool:
        with self._lock:
            if not batch.outcomes:
                self._discard(batch)
            return not batch.outcomes

    def _discard(self, batch: _OwnBatch) -> None:
        with self._lock:
            batch.discard()
            self._batches.remove(batch)

    def _close_and_read(self, batch: _OwnBatch) -> Iterator[Entry]:
        """Yield the outcomes of a batch, which takes no more from the moment in which the first is asked for."""
        with self._lock:
            batch.is_closed = True
        yield from batch.entries()

    def summarise(self, tallies: Iterable[Tally]) -> None:
        """Write the counts that wait, for people and other tools."""
        if self._places:
            write_summary(self._places[0].summary, tallies)

    def release(self) -> None:
        """Close all files, and leave them to the next process that can use the database."""
        with self._lock:
            for batch in self._batches:
                batch.release()
            self._batches.clear()

    def _start_over(self) -> None:
        self._lock = threading.RLock()  # a signal handler may record, too
        self._places = list(self._all_places)
        self._batches: list[_OwnBatch] = []

    def _begin_in_child(self) -> None:
        for batch in self._batches:
            batch.close()
        self._start_over()

    def _begin_batch(self, batch_id: str | None = None) -> None:
        header = {**self._header, **this_process(), "since_ms": time.time_ns() // 1_000_000}
        while self._places:
            try:
                self._batches.append(_OwnBatch(self._places[0], header, sync=self._sync, batch_id=batch_id))
            except OSError:
                self._places.pop(0)
            else:
                return
        self._batches.append(_OwnBatch(None, header, sync=False, batch_id=batch_id))

    def _remove_summaries(self) -> None:
        for place in self._all_places:
            if not place.batches():
                remove_summary(place.summary)


class _OwnBatch:
    """A batch that this process appends to: a file that it keeps locked, or a list where nothing can be written."""

    def __init__(self, place: Place | None, header: dict[str, Any], *, sync: bool, batch_id: str | None = None) -> None:
        self.batch_id = batch_id or _new_id()
        self.is_closed = False
        """Whether it takes no more outcomes: it is full, or there was an attempt to move it."""
        self.outcomes = 0
        self.verdicts: dict[str, Verdict] = {}
        """The newest by outcome id."""
        self.counts: dict[str, Counts] = {}
        """Of the outcomes, by task type."""
        self.in_memory: list[Entry] = []
        self.read: list[Entry] = []
        """The outcomes as they were read from the file."""
        self._unreadable: Batch | None = None
        self._path: Path | None = None
        self._sync = sync
        self._descriptor = -1
        if place is None:
            return
        place.make_private()
        try:
            self._create(place, batch_id)
            self._write([{"modelperf": FORMAT, "batch": self.batch_id, **header}])
            if sync:
                sync_folder(place.folder)
        except BaseException:
            self.discard()
            raise

    @property
    def where(self) -> str:
        return "memory only" if self._path is None else str(self._path)

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted: by another process that took it for one left behind, and has moved it."""
        return self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0

    def append(self, entries: Sequence[Entry], revised: Sequence[bool]) -> None:
        """Add outcomes; raise OSError if there is no room: then nothing of them stays."""
        if self._path is None:
            self.in_memory.extend(entries)
        else:
            self._write([*group_of(len(entries)), *map(_line, entries)])
        self.outcomes += len(entries)
        self.is_closed = self.is_closed or self.outcomes >= MAX_BATCH_OUTCOMES
        for entry, is_revised in zip(entries, chain(revised, repeat(False)), strict=False):
            self._count(entry, is_revised=is_revised)

    def entries(self) -> list[Entry]:
        """Return the outcomes, from the file if there is one."""
        if self._path is None:
            self.read = self.in_memory
        elif (batch := read_batch(self._path)) is not None:
            self.read, self._unreadable = batch.entries, batch
        return self.read

    def set_aside(self) -> None:
        """Keep what was changed in the file and can no longer be read; raise StoreFailedError if it cannot be."""
        if self._unreadable is not None and self._path is not None:
            set_aside(self._path, self._unreadable)

    def release(self) -> None:
        """Close the file; delete it if it holds no outcomes."""
        if self.in_memory:
            logger.error("%d outcomes are lost: they could not be written anywhere", len(self.in_memory))
        if self.outcomes:
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

    def _count(self, entry: Entry, *, is_revised: bool) -> None:
        outcome_id = entry.outcome.outcome_id
        if outcome_id is not None:
            known = self.verdicts.get(outcome_id)
            self.verdicts[outcome_id] = Verdict.of(entry) if known is None else known.revised_by(entry) or known
        if not is_revised:
            self.counts[entry.task_type] = self.counts.get(entry.task_type, NO_COUNTS).plus(entry)

    def _create(self, place: Place, batch_id: str | None) -> None:
        """Create the file and lock it. Until it is locked, another process may take it for one left behind."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            self.batch_id = batch_id or _new_id()
            self._path = place.batch(self.batch_id)
            self._descriptor = create_private(self._path, os.O_RDWR | os.O_APPEND)
            while try_lock(self._descriptor) is False and time.monotonic() < deadline:
                time.sleep(_LOCK_SECONDS / 100)
            if self._path.exists():
                return
            self.close()

    def _write(self, lines: list[Any]) -> None:
        text = "".join([json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines])
        data = text.encode()
        size = os.lseek(self._descriptor, 0, os.SEEK_END)
        if size and not self._ends_with_line(size):  # an interrupt came before a part of a line could be cut off
            data = b"\n" + data
        try:
            if os.write(self._descriptor, data) < len(data):
                raise OSError("there was room for a part only")  # noqa: TRY301 - cleaned up as every other
            if self._sync:
                os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def _ends_with_line(self, size: int) -> bool:
        os.lseek(self._descriptor, size - 1, os.SEEK_SET)
        return os.read(self._descriptor, 1) == b"\n"


def _new_id() -> str:
    return os.urandom(_ID_BYTES).hex()


def _line(entry: Entry) -> list[Any]:
    outcome = entry.outcome
    values = {name: getattr(outcome, name) for name in _FIELDS if getattr(outcome, name) is not None}
    if entry.tried:
        values["tried"] = entry.tried
    return [entry.task_type, entry.model_id, entry.ended_ms, values]
