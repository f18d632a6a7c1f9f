"""Group commit: the thread that gets the lock writes for every waiting thread."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from modelperf_plugin.store.entries import Entry

MAX_GATHERING_SECONDS: Final = 0.002


class CommitBatch:
    """Tickets that are written in one transaction."""

    __slots__ = ("committed", "complete", "tickets")

    def __init__(self, tickets: list[Ticket]) -> None:
        self.tickets = tickets
        self.complete = False
        """Whether all are written and only the commit is missing."""
        self.committed = False


class Ticket:
    """One outcome waiting to be written, and the result."""

    __slots__ = ("_turn", "answer", "batch", "entry", "error")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.batch: CommitBatch | None = None
        self.answer = False
        """Whether the outcome was new; valid once the batch is committed."""
        self.error: Exception | None = None
        self._turn = threading.Lock()
        self._turn.acquire()

    @property
    def served(self) -> bool:
        """Whether it was written or failed."""
        return self.error is not None or (self.batch is not None and self.batch.committed)

    def wait(self, seconds: float) -> bool:
        """Wait to be woken; return False after ``seconds``."""
        return self._turn.acquire(timeout=max(0.0, seconds))

    def wake(self) -> None:
        """Wake the thread: its outcome was written, or it is the next to write."""
        with suppress(RuntimeError):  # woken already
            self._turn.release()


class CommitQueue:
    """The tickets of waiting threads, in order of arrival. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Ticket] = []
        self._taken: list[Ticket] = []
        self._crowd = 1
        self.crowded = False
        """Whether a thread waits, or the last batch had more than one: overtaking them would be unfair."""
        self._wanted = 0
        self._gathered = threading.Event()

    @property
    def waiting(self) -> bool:
        """Whether a thread waits."""
        return bool(self._waiting)

    def join(self, ticket: Ticket) -> None:
        """Append a ticket."""
        with self._lock:
            self._waiting.append(ticket)
            self.crowded = True
            if len(self._waiting) == self._wanted:
                self._gathered.set()

    def gather(self, seconds: float) -> None:
        """Wait briefly until as many tickets are queued as the last batch had.

        Threads of one batch return at about the same time. Without this, the first of them would get a commit of its
        own, and all others would wait for that.
        """
        with self._lock:
            if len(self._waiting) >= self._crowd:
                return
            self._wanted = self._crowd
            self._gathered.clear()
        self._gathered.wait(min(seconds, MAX_GATHERING_SECONDS))
        self._wanted = 0

    def leave(self, ticket: Ticket) -> bool:
        """Withdraw a ticket; return False if it is being written."""
        with self._lock:
            if ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            self._update_crowded()
            return True

    def take(self) -> CommitBatch:
        """Return all waiting tickets for writing; the caller calls ``done`` afterwards."""
        with self._lock:
            self._taken, self._waiting = self._waiting, []
            self._crowd = len(self._taken)
            batch = CommitBatch(self._taken)
            for ticket in self._taken:
                ticket.batch = batch
            return batch

    def done(self) -> None:
        """Wake the threads whose outcomes were written; return the other tickets to the head of the queue."""
        with self._lock:
            served = [ticket for ticket in self._taken if ticket.served]
            self._waiting[:0] = [ticket for ticket in self._taken if not ticket.served]
            self._taken = []
            self._update_crowded()
        for ticket in served:
            ticket.wake()

    def wake_first(self) -> None:
        """Wake the thread that has waited longest, to write next."""
        with self._lock:
            if self._waiting:
                self._waiting[0].wake()

    def reset(self) -> None:
        """Discard all tickets: in a forked process their threads do not exist."""
        self._lock = threading.Lock()
        self._waiting, self._taken, self._crowd = [], [], 1
        self._update_crowded()

    def _update_crowded(self) -> None:
        self.crowded = self._crowd > 1 or bool(self._waiting)
