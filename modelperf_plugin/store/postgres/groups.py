"""Group commit: what threads record while a statement is under way is sent together, in one transaction.

A thread that finds nothing under way sends its outcome at once. The others wait; whichever of them is first when that
is over sends all that have come meanwhile, in one round trip. Each returns once its own outcome is committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from threading import Lock, get_ident
from typing import Final

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store import forks
from modelperf_plugin.store.commit_queue import LOOK_SECONDS, CommitBatch, CommitQueue, Ticket
from modelperf_plugin.store.deadline import remaining
from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry, Recorded
from modelperf_plugin.values.locks import attempt

_LONG_SECONDS: Final = 0.25
"""How long an outcome waits for those under way, before it is sent beside them: one of them may wait for others."""

_INTERRUPTED: Final = StoreFailedError("an interrupt has come between an outcome and its answer")
"""Settles an outcome whose own thread was interrupted: nobody else may record it again."""


class ApartError(StoreError):
    """An outcome is to be recorded alone."""


class GroupCommit:
    """Records the outcomes of all threads of a process. Any thread may call any method."""

    def __init__(
        self, alone: Callable[[Entry, Joining | None], Recorded], together: Callable[[list[Ticket]], None]
    ) -> None:
        """Take what records one outcome, and what records several in one transaction.

        ``together`` sets the answers of all tickets or raises an error. It gives tickets errors of their own, with
        :class:`ApartError` for those that it leaves out, and sets their ``doubt`` before it sends anything.
        """
        self._alone = alone
        self._together = together
        self._begin_again()
        forks.renew(self, GroupCommit._begin_again)

    def _begin_again(self) -> None:
        """Begin without tickets: in a forked child their threads do not exist."""
        self._lock, self._queue, self._holder = Lock(), CommitQueue(), 0
        self._seconds = 0.0
        """How long the last group took."""

    def record(self, entry: Entry, joining: Joining | None, patience: float) -> Recorded:
        """Record one outcome, for which others may wait for ``patience`` seconds.

        Raises:
            StoreBusyError: others were in the way for longer.
            StoreError: it was not recorded, or nobody knows.
        """
        if self._holder == get_ident():  # a signal handler of the thread that writes
            return self._alone(entry, joining)
        queue = self._queue
        if not queue.crowded:
            recorded: list[Recorded] = []
            try:
                if attempt(self._lock, lambda: recorded.append(self._lead(entry, joining))):
                    return recorded[0]
            finally:
                queue.wake_first()
        ticket = Ticket(entry, joining)
        try:
            is_settled = self._wait(ticket, remaining(patience))
        except BaseException:
            queue.leave(ticket)
            raise
        finally:
            queue.wake_first()
        if not is_settled or isinstance(ticket.error, ApartError):
            return self._alone(entry, joining)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    def _lead(self, entry: Entry, joining: Joining | None) -> Recorded:
        """Record one outcome, under the lock."""
        try:
            self._holder = get_ident()
            return self._alone(entry, joining)
        finally:
            self._holder = 0

    def _wait(self, ticket: Ticket, seconds: float) -> bool:
        """Wait until a ticket is served, by this thread or another one; False if it is better recorded alone."""
        queue, started = self._queue, time.monotonic()
        queue.join(ticket)
        while not ticket.served and not attempt(self._lock, partial(self._serve, ticket)):
            waited = time.monotonic() - started
            left = min(seconds, _LONG_SECONDS) - waited
            ticket.wait(left if left > 0 else LOOK_SECONDS)
            if left <= 0 and not ticket.served and queue.leave(ticket):
                if waited >= seconds:
                    raise StoreBusyError(f"other threads have kept the store busy for more than {seconds:g} s")
                return False
        return ticket.served

    def _serve(self, own: Ticket | None = None) -> None:
        """Record the outcomes of all waiting threads, under the lock; ``own`` is that of this one."""
        queue = self._queue
        try:
            self._holder = get_ident()
            queue.done()  # of a batch whose thread was interrupted
            if queue.waiting:
                queue.gather(self._seconds / 2)
                started = time.monotonic()
                self._write(queue.take(), own)
                self._seconds = time.monotonic() - started
        finally:
            self._holder = 0
            queue.done()

    def _write(self, batch: CommitBatch, own: Ticket | None) -> None:
        tickets = batch.tickets
        try:
            if own is not None and tickets == [own]:
                own.doubt = _INTERRUPTED
                own.answer = self._alone(own.entry, own.joining)
            else:
                self._together(tickets)
            batch.complete = True
        except Exception as error:  # noqa: BLE001 - each thread raises its own
            for ticket in tickets:
                ticket.error = ticket.error or error
