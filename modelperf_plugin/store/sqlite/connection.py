"""One SQLite file: the connections to it, the locks around them, and what happens to both at a fork."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NoReturn

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import forks
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.sqlite.commit_queue import CommitQueue
from modelperf_plugin.store.sqlite.file import (
    BUSY_SECONDS,
    MEMORY,
    Durability,
    connect,
    lock_path,
    prepare,
    transaction,
    translate,
    translated,
)
from modelperf_plugin.store.sqlite.tally_cache import TallyCache

logger = logging.getLogger("modelperf_plugin")


class SqliteConnection:
    """A connection that writes, under a lock, and one that reads, so that a choice never waits for a writer.

    Processes take turns by a lock file, because SQLite's own way of waiting lets some of them starve. The roles of the
    store share this object; its attributes are theirs to use.
    """

    read_only: bool = False
    """Whether the file was opened for reading only."""
    degraded: str | None = None
    """None: failures of SQLite are raised here."""
    note: str | None = None
    """What the answers do not include, if anything."""

    def __init__(self, path: str, *, durability: Durability = "normal") -> None:
        """Open the file at ``path`` (``":memory:"`` for none), creating it if need be.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        self.location = path
        """The path of the file."""
        self.closed = False
        """Whether it was closed, by its owner or because it could not be opened again after a fork."""
        self.queue = CommitQueue()
        self.cache = TallyCache()
        self.holder = 0
        """The thread that writes at the moment; 0 for none."""
        self.processes = ProcessLock(None)
        self.pair_ids: dict[tuple[str, str], int] = {}
        # Lock order: write_lock before read_lock. In memory both are one lock, because there is one connection.
        self.write_lock = threading.RLock()
        self.read_lock = self.write_lock if path == MEMORY else threading.RLock()
        self._durability: Durability = durability
        self._pid = os.getpid()
        self._connect()
        forks.watch(self)

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return all rows of a query; a single mapping among ``parameters`` binds them by name."""
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        with self.read_lock:
            try:
                return self.reader.execute(statement, named).fetchall()
            except sqlite3.Error as error:
                self.fail(error)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the locks for one transaction. Code that changes tallies clears the cache as well."""
        with self.locked():
            try:
                with transaction(self.writer):
                    yield self.writer
            except BaseException:
                self.cache.clear()  # it is unknown whether the transaction was committed
                raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the locks for statements that are transactions of their own."""
        if not self.write_lock.acquire(timeout=BUSY_SECONDS):
            raise StoreBusyError(self.busy_message)
        try:
            self.holder = get_ident()
            self.ensure_open()
            self.processes.acquire(BUSY_SECONDS)
            yield
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            self.fail(error)
        finally:
            self.processes.release()
            self.holder = 0
            self.write_lock.release()
            self.queue.wake_first()

    @property
    def busy_message(self) -> str:
        """Why a thread could not get its turn."""
        return f"other threads have kept {self.location} busy for more than {BUSY_SECONDS:g} s"

    def ensure_open(self) -> None:
        """Raise StoreError if the store is closed."""
        if self.closed:
            raise StoreError(f"the store {self.location} is closed")

    def fail(self, error: BaseException) -> NoReturn:
        """Raise ``error``, one of SQLite's as a StoreError; of a closed store, say that it is closed."""
        self.ensure_open()
        if isinstance(error, sqlite3.Error):
            raise translate(error, self.location) from error
        raise error

    def close(self) -> None:
        """Close the file; closing twice is fine, and any other call afterwards is a StoreError."""
        with self.write_lock, self.read_lock:
            self.closed = True
            self.cache.clear()
            self._disconnect()

    def before_fork(self) -> None:
        """Take the locks and close the file.

        A child would inherit SQLite's record of the locks that the process holds, but not the locks themselves, and
        even connections that it opens later would trust that record. So none may be open while a process forks.
        """
        self.write_lock.acquire()
        self.read_lock.acquire()
        if not self.closed and self.location != MEMORY:
            self._disconnect()

    def after_fork(self) -> None:
        """Open the file again, in the parent and in the child."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self.queue.reset()
        try:
            if not self.closed and self.location != MEMORY:
                self._connect()
        except StoreError:
            self.closed = True
            logger.exception("%s could not be opened again after a fork", self.location)
        finally:
            self.read_lock.release()
            self.write_lock.release()
            self.queue.wake_first()

    def _connect(self) -> None:
        self.writer = prepare(self.location, self._durability)
        try:
            with translated(self.location):
                in_memory = self.location == MEMORY
                self.reader = self.writer if in_memory else connect(self.location, self._durability, read_only=True)
        except BaseException:
            self.writer.close()
            raise
        self.execute = self.writer.cursor().execute
        self.look_up_version = self.reader.cursor().execute
        self.processes = ProcessLock(lock_path(self.location))
        self.pair_ids.clear()
        self.cache.clear()
        self.cache.others_version = data_version(self.writer)
        self.cache.read_version = data_version(self.reader)

    def _disconnect(self) -> None:
        self.reader.close()
        self.writer.close()
        self.processes.close()


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes whenever another connection has committed."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
