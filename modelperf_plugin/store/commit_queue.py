"""Group commit: the thread that gets the lock writes for every waiting thread.

A thread that waits looks for itself from time to time, so that an interrupt which loses a wake-up, or the thread that
was to give it, costs a moment and no more.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry, Recorded

MAX_GATHERING_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.05
"""How long a thread waits to be woken before it looks whether it can write itself."""


class CommitBatch:
    """Tickets that are written in one transaction."""

    __slots__ = ("committed", "complete", "tickets")

    def __init__(self, tickets: list[Ticket]) -> None:
        self.tickets = tickets
        self.complete = False
        """Whether all are written; the transaction was committed then, unless it is still running."""
        self.committed = False


class Ticket:
    """One outcome waiting to be written, and the result."""

    __slots__ = ("_turn", "answer", "batch", "doubt", "entry", "error", "has_joined", "joining")

    def __init__(self, entry: Entry, joining: Joining | None = None) -> None:
        self.entry = entry
        self.joining = joining
        self.has_joined = False
        """Whether its decision was written, too; valid once the batch is committed."""
        self.batch: CommitBatch | None = None
        self.answer = Recorded.NOTHING
        """What recording it has changed; valid once the batch is committed."""
        self.error: Exception | None = None
        self.doubt: StoreFailedError | None = None
        """The error if the thread that writes is interrupted from now on: nobody would know what was committed then."""
        self._turn = threading.Lock()
        self._turn.acquire()

    @property
    def served(self) -> bool:
        """Whether it was written or failed."""
        return self.error is not None or (self.batch is not None and self.batch.committed)

    def wait(self, seconds: float) -> None:
        """Wait to be woken, for up to ``seconds``."""
        self._turn.acquire(timeout=max(0.0, min(seconds, LOOK_SECONDS)))

    def wake(self) -> None:
        """Wake the thread: its outcome was written, or it is the next to write."""
        with suppress(RuntimeError):  # woken already
            self._turn.release()


class CommitQueue:
    """The tickets of waiting threads, in order of arrival. Any thread may call any method.

    A ticket stays in the queue until it is served or withdrawn.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[Ticket, None] = {}
        self._batch: CommitBatch | None = None
        """The batch that is being written, or was when its thread was interrupted."""
        self._crowd = 1
        self.crowded = False
        """Whether a thread waits, or the last batch had more than one: overtaking them would be unfair."""
        self._wanted = 0
        self._gathered = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether a thread waits."""
        return bool(self._waiting)

    def join(self, ticket: Ticket) -> None:
        """Append a ticket."""
        with self._lock:
            self._waiting[ticket] = None
            self.crowded = True
            if len(self._waiting) == self._wanted:
                with suppress(RuntimeError):  # nobody gathers any more
                    self._gathered.release()

    def gather(self, seconds: float) -> None:
        """Wait briefly until as many tickets are queued as the last batch had.

        Threads of one batch return at about the same time. Without this, the first of them would get a commit of its
        own, and all others would wait for that.
        """
        with self._lock:
            self._gathered.acquire(blocking=False)
            if len(self._waiting) >= self._crowd:
                return
            self._wanted = self._crowd
        self._gathered.acquire(timeout=max(0.0, min(seconds, MAX_GATHERING_SECONDS)))
        self._wanted = 0

    def leave(self, ticket: Ticket) -> bool:
        """Withdraw a ticket; return False if it is being written."""
        with self._lock:
            if ticket.batch is not None and ticket.batch is self._batch:
                return False
            self._waiting.pop(ticket, None)
            self._update_crowded()
            return True

    def take(self) -> CommitBatch:
        """Return all waiting tickets; the caller holds the write lock, writes them, and calls :meth:`done`."""
        with self._lock:
            batch = CommitBatch(list(self._waiting))
            for ticket in batch.tickets:
                ticket.batch = batch
            self._batch = batch
            self._crowd = len(batch.tickets)
            return batch

    def done(self) -> None:
        """Wake the threads whose outcomes were written; the caller holds the write lock, and no transaction is open.

        Called before each batch as well: the thread of the last one may have been interrupted before it came here.
        """
        with self._lock:
            batch = self._batch
            if batch is None:
                return
            batch.committed = batch.complete
            for ticket in batch.tickets:
                if not ticket.served:
                    ticket.error = ticket.doubt
                if ticket.served:
                    self._waiting.pop(ticket, None)
                    ticket.wake()
            self._batch = None
            self._update_crowded()

    def wake_first(self) -> None:
        """Wake the thread that has waited longest, to write next."""
        if self._waiting:
            with self._lock:
                for ticket in self._waiting:
                    ticket.wake()
                    return

    def reset(self) -> None:
        """Discard all tickets: in a forked process their threads do not exist."""
        self._lock, self._gathered = threading.RLock(), threading.Lock()
        self._waiting, self._batch, self._crowd = {}, None, 1
        self._update_crowded()

    def _update_crowded(self) -> None:
        self.crowded = self._crowd > 1 or bool(self._waiting)
