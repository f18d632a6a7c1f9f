"""One SQLite file: the connections to it, the locks around them, and what happens to both at a fork."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from threading import get_ident
from typing import Any, NoReturn, TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.store import forks
from modelperf_plugin.store.commit_queue import CommitQueue
from modelperf_plugin.store.deadline import BUSY_SECONDS, remaining, within
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.sqlite import rows
from modelperf_plugin.store.sqlite.file import (
    MEMORY,
    begin,
    close_all,
    connect,
    lock_path,
    prepare,
    translate,
    translated,
)
from modelperf_plugin.store.sqlite.ownership import note_closed_here, note_open_here, opened_files
from modelperf_plugin.store.tally_cache import TallyCache
from modelperf_plugin.values import Tried
from modelperf_plugin.values.locks import entering, insist, is_held_here

_T = TypeVar("_T")


class SqliteConnection:
    """A connection that writes, under a lock, and one that reads, so that a choice never waits for a writer.

    Processes take turns by a lock file, because SQLite's own way of waiting lets some of them starve. The roles of the
    store share this object; its attributes are theirs to use.
    """

    read_only: bool = False
    """Whether the file was opened for reading only."""
    degraded: str | None = None
    """None: failures of SQLite are raised here."""
    is_remote: bool = False
    """False: answers come from a file."""
    behind: float | None = None
    """None: what others have written is in the file."""
    busy: bool = False
    """False: outcomes do not wait here, but fail."""
    note: str | None = None
    """What the answers do not include, if anything."""

    def __init__(self, path: str, *, durability: Durability = "normal", patience: float = BUSY_SECONDS) -> None:
        """Open the file at ``path`` (``":memory:"`` for none), creating it if need be.

        Args:
            path: where the file is.
            durability: what a committed transaction survives.
            patience: for how many seconds a call may wait for others that write, all its waits together.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        self.location = path
        """The path of the file."""
        self.patience = patience
        """For how many seconds a call may wait for others that write; a deadline of its thread may be earlier."""
        self.closed = False
        """Whether it was closed, by its owner or because it could not be opened again after a fork."""
        self.queue = CommitQueue()
        self.cache = TallyCache()
        self.holder = 0
        """The thread that writes at the moment; 0 for none."""
        self.has_unreadable_rows = False
        """Whether a query has left out rows whose text is not UTF-8."""
        self.processes = ProcessLock(None)
        self.pair_ids: dict[tuple[str, str], int] = {}
        self.tried_ids: dict[Tried, int] = {}
        # Lock order: write_lock before read_lock. In memory both are one lock, because there is one connection.
        self.write_lock = threading.RLock()
        self.read_lock = self.write_lock if path == MEMORY else threading.RLock()
        self._durability: Durability = durability
        self._opened: list[sqlite3.Connection] = []
        """All open connections to the file, also one that an interrupt kept from being assigned."""
        self._generation = self._connected_in = forks.generation()
        """The generation of processes that used this last, and that opened the file: -1 if closed for a fork."""
        self._connect()
        forks.watch(self)

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the readable rows of a query; a single mapping among ``parameters`` binds them by name."""
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        if self.is_at_rest:
            self.resume()
        with self.read_lock:
            try:
                return self.reader.execute(statement, named).fetchall()
            except sqlite3.OperationalError as error:
                return self._fetch_again(statement, named, error)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self.fail(error)

    def fetch_page(self, statement: str, last_number: str, after: int, limit: int, *first: Any) -> list[Any]:
        """Return up to ``limit`` rows with a number beyond ``after``; none only if there are no more.

        Args:
            statement: returns a page, each row with its number first.
            last_number: returns the last number of that page, readable or not.
            after: the number before the page.
            limit: the size of the page.
            first: parameters of the statement before these two.
        """
        while not (page := self.fetch(statement, *first, after, limit)) and self.has_unreadable_rows:
            (last,) = self.fetch(last_number, after, limit)[0]
            if last is None:
                break
            after = last
        return page

    def _fetch_again(self, statement: str, parameters: rows.Parameters, error: sqlite3.OperationalError) -> list[Any]:
        try:
            found = rows.fetch_again(self.reader, statement, parameters, error)
        except (sqlite3.Error, UnicodeDecodeError) as failure:
            self.fail(failure)
        if rows.is_undecodable(error) and not self.has_unreadable_rows:
            self.has_unreadable_rows = True
            logger.warning(
                "%s holds text that is not UTF-8; rows with it are left out: run `modelperf doctor`", self.location
            )
        return found

    @property
    def is_at_rest(self) -> bool:
        """Whether the file is closed for a fork or, while nothing is locked, not open because of an interrupt.

        Or it is still open as the parent process opened it, which this one must not use.
        """
        return self._connected_in != forks.generation()

    def write(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction: committed afterwards, or rolled back if it raises.

        An action that changes tallies clears the cache as well.
        """

        def transact(deadline: float) -> _T:
            with self.writer:  # commits or rolls back, in C
                begin(self.writer, deadline)
                return action(self.writer)

        return self.in_turn(transact)

    def in_turn(self, action: Callable[[float], _T]) -> _T:
        """Return what ``action`` returns, called with the deadline while no other thread or process writes.

        Its statements are transactions of their own.
        """
        self.refuse_interrupted()
        if self.is_at_rest:
            self.resume()
        seconds = remaining(self.patience)
        deadline = time.monotonic() + seconds
        try:
            with entering(self.write_lock, seconds, self.refuse), self.processes.released:
                self.holder = get_ident()
                try:
                    self.ensure_open()
                    self.processes.acquire(deadline)
                    return action(deadline)
                finally:
                    self.holder = 0
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            self.fail(error)
        finally:
            self.queue.wake_first()

    def refuse_interrupted(self) -> None:
        """Raise StoreBusyError if a signal handler calls from within a write of this thread."""
        if self.holder == get_ident() and is_held_here(self.write_lock):
            raise StoreBusyError(f"{self.location} is being written to by the code that was interrupted for this")

    def refuse(self, seconds: float) -> NoReturn:
        """Raise StoreBusyError: other threads held the lock for ``seconds``."""
        raise StoreBusyError(f"other threads have kept {self.location} busy for more than {seconds:g} s")

    def ensure_open(self) -> None:
        """Raise StoreError if the store is closed."""
        if self.closed:
            raise StoreError(f"the store {self.location} is closed")

    def fail(self, error: BaseException) -> NoReturn:
        """Raise ``error``, one of SQLite's as a StoreError; of a closed store, say that it is closed."""
        self.ensure_open()
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise translate(error, self.location, self.patience) from error
        raise error

    def close(self) -> None:
        """Close the file; closing twice is fine, and any other call afterwards is a StoreError."""
        with self.write_lock, self.read_lock:
            self.closed = True
            self.cache.clear()
            self._disconnect()

    def at_rest(self) -> Generator[None]:
        """Hold the locks and close the file, yield, and open it again, in the parent and in the child of a fork.

        A child would inherit SQLite's record of the locks that the process holds, but not the locks themselves, and
        even connections that it opens later would trust that record. So none may be open while a process forks.
        """
        with self.write_lock, self.read_lock:
            self._connected_in, self.holder = -1, get_ident()
            if not self.closed and self.location != MEMORY:
                self._disconnect()
            try:
                yield
            finally:
                insist(self._continue)
        self.queue.wake_first()

    def _continue(self) -> None:
        generation = forks.generation()
        if generation != self._generation:
            self.queue.reset()
            self._generation = generation
        try:
            if not self.closed and self.location != MEMORY:
                within(self.patience, self._connect)
        except StoreError:
            self.closed = True
            logger.exception("%s could not be opened again after a fork", self.location)
        self._connected_in, self.holder = generation, 0

    def resume(self) -> None:
        """Continue after a fork whose end was interrupted; the caller holds no lock."""
        self.refuse_interrupted()
        with self.write_lock, self.read_lock:
            if self.is_at_rest:
                self._continue()

    def _connect(self) -> None:
        self._disconnect()  # from what an interrupt left open
        try:
            about_to_open = partial(note_open_here, self.location, self)
            self.writer = self.reader = prepare(self.location, self._durability, self._opened, about_to_open)
            if self.location != MEMORY:
                with translated(self.location):
                    self.reader = connect(self.location, self._durability, self._opened, read_only=True)
        except Exception:
            self._disconnect()
            raise
        self._files = opened_files(self.location)
        self.execute = self.writer.cursor().execute
        self.processes = ProcessLock(lock_path(self.location))
        self.pair_ids.clear()
        self.tried_ids.clear()
        self.cache.clear()
        self.cache.others_version = data_version(self.writer)
        self.cache.read_version = data_version(self.reader)

    def _disconnect(self) -> None:
        close_all(self._opened)
        self.processes.close()
        note_closed_here(self)

    def is_at_its_path(self) -> bool:
        """Return whether the open file and its log are still those at the path: what is written to others is lost."""
        return self.location == MEMORY or opened_files(self.location) == self._files


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes whenever another connection has committed."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
