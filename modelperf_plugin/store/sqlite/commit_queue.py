"""Standing in line for a lock, so that whoever gets it serves all who wait."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from modelperf_plugin.store.roles import Entry

LONGEST_GATHERING_SECONDS: Final = 0.002


class Batch:
    """Tickets that are written in one transaction."""

    __slots__ = ("committed", "complete", "tickets")

    def __init__(self, tickets: list[Ticket]) -> None:
        self.tickets = tickets
        self.complete = False
        """Whether all of them are written, and only the commit is missing."""
        self.committed = False


class Ticket:
    """One outcome that waits to be written, and what became of it."""

    __slots__ = ("_turn", "answer", "batch", "entry", "error")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.batch: Batch | None = None
        """With whom it is written."""
        self.answer = False
        """Whether it was new, once its batch is committed."""
        self.error: Exception | None = None
        """Why it could not be written."""
        self._turn = threading.Lock()
        self._turn.acquire()

    @property
    def served(self) -> bool:
        """Whether it was written, or could not be."""
        return self.error is not None or (self.batch is not None and self.batch.committed)

    def wait(self, seconds: float) -> bool:
        """Wait to be woken; return False if that did not happen in time."""
        return self._turn.acquire(timeout=max(0.0, seconds))

    def wake(self) -> None:
        """Let its thread go on, because it was served or is the next to serve."""
        with suppress(RuntimeError):  # woken already
            self._turn.release()


class Line:
    """The tickets of the threads that wait, in their order. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Ticket] = []
        self._taken: list[Ticket] = []
        self._crowd = 1
        self.crowded = False
        """Whether anybody waits, or more than one was served the last time: to go past them would be unfair."""
        self._wanted = 0
        self._gathered = threading.Event()

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def join(self, ticket: Ticket) -> None:
        """Stand in line."""
        with self._lock:
            self._waiting.append(ticket)
            self.crowded = True
            if len(self._waiting) == self._wanted:
                self._gathered.set()

    def gather(self, seconds: float) -> None:
        """Wait until as many stand in line as were served the last time, but not for long.

        Those who were served come back at about the same time. Without this the first of them would be served alone,
        and all others would wait for that.
        """
        with self._lock:
            if len(self._waiting) >= self._crowd:
                return
            self._wanted = self._crowd
            self._gathered.clear()
        self._gathered.wait(min(seconds, LONGEST_GATHERING_SECONDS))
        self._wanted = 0

    def leave(self, ticket: Ticket) -> bool:
        """Go away; return False if somebody is serving it."""
        with self._lock:
            if ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            self._look_around()
            return True

    def take(self) -> Batch:
        """Return all who wait, to serve them; whoever calls this also calls ``done``."""
        with self._lock:
            self._taken, self._waiting = self._waiting, []
            self._crowd = len(self._taken)
            batch = Batch(self._taken)
            for ticket in self._taken:
                ticket.batch = batch
            return batch

    def done(self) -> None:
        """Wake those who were served, and let the others wait on, at the head of the line."""
        with self._lock:
            served = [ticket for ticket in self._taken if ticket.served]
            self._waiting[:0] = [ticket for ticket in self._taken if not ticket.served]
            self._taken = []
            self._look_around()
        for ticket in served:
            ticket.wake()

    def wake_first(self) -> None:
        """Wake whoever waits longest: nobody is serving any more."""
        with self._lock:
            if self._waiting:
                self._waiting[0].wake()

    def start_afresh(self) -> None:
        """Forget all who wait: in a forked process their threads are not there."""
        self._lock = threading.Lock()
        self._waiting, self._taken, self._crowd = [], [], 1
        self._look_around()

    def _look_around(self) -> None:
        self.crowded = self._crowd > 1 or bool(self._waiting)
