"""Following what other hosts record: one thread of a process keeps current what its choices depend on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

import psycopg

from modelperf_plugin.errors import StoreError
from modelperf_plugin.log import logger
from modelperf_plugin.store import forks
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.local import LocalRead
from modelperf_plugin.store.postgres.answers import CURRENT_SECONDS, Answers
from modelperf_plugin.store.postgres.asking import readable
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.postgres.local_counts import Covered, LocalCounts
from modelperf_plugin.store.postgres.reading import read_counts
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.tally_cache import Counts
from modelperf_plugin.values.backoff import Backoff

LOOK_SECONDS: Final = 0.02
"""How often the thread looks whether the database has told of news."""
POLL_SECONDS: Final = 0.5
"""How often everything is read that choices depend on, whether or not there is news."""
LONGEST_POLL_SECONDS: Final = 10.0
"""The same for a server that has so much to do that it takes long to answer."""
NEWS_SECONDS: Final = 0.05
"""The least time between two readings because of news."""
LATER_SECONDS: Final = 0.06
"""After this time news is looked for once more: the database tells of outcomes every 0.05 s at most."""
SHARE: Final = 10
"""The same time is at least so many times as long as a reading takes, so that the server has others to attend to."""
IDLE_SECONDS: Final = 60.0
"""After this time without a choice the thread ends, and its connection."""
BEHIND_SECONDS: Final = 2.0
"""After this time without an answer, decisions say so."""
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0
_NEVER: Final = -inf


class Follower:
    """Answers what choices ask, from memory. Any thread may call any method.

    Only questions that are new wait for the database, and not for long. The thread starts with the first of them. It
    listens to the notifications of the database; what a pooler withholds is found out by looking.
    """

    def __init__(self, location: str, connect: Callable[[], PatientConnection]) -> None:
        """Follow the database at ``location``; ``connect`` opens a connection, or raises."""
        self._location = location
        self._connect = connect
        self._sql = load_queries("postgres", "following.sql")
        self._is_closed = False
        self._background = Background(self, Follower._step, name="modelperf following", on_error=Follower._on_error)
        self._begin()
        forks.renew(self, Follower._begin_again)

    def _begin(self) -> None:
        self._connection: PatientConnection | None = None
        self.counts = LocalCounts()
        self._answers = Answers(self._location, self._background.wake)
        self._backoff = Backoff(_FIRST_RETRY, _LAST_RETRY)
        self._wanted_at, self._read_at = _NEVER, time.monotonic()
        self._poll_at = self._news_at = 0.0
        self._look_again_at = inf
        self._has_news = False

    def _begin_again(self) -> None:
        """Continue in a forked child, where the thread does not exist and the connection is the parent's."""
        if self._connection is not None:
            self._connection.abandon()
        self._begin()

    @property
    def behind(self) -> float | None:
        """For how many seconds nothing could be read of what others record; None if it can, or nobody has asked."""
        seconds = time.monotonic() - self._read_at
        return seconds if self._answers.is_failing and seconds >= BEHIND_SECONDS else None

    def ask(self, read: LocalRead, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """Return the rows of a query as choices need them; see :meth:`Answers.of`."""
        self._wanted_at = time.monotonic()
        return self._answers.of(read, statement, parameters)

    def counts_of(self, read: LocalRead, task_type: str) -> Counts:
        """Return the counts of a task type as choices need them, own outcomes included.

        Raises:
            StoreBusyError: they were never read, and cannot be in time.
        """
        self._wanted_at = now = time.monotonic()
        since = now - self._answers.current_seconds
        kept = self.counts.of(task_type)
        if kept is None or not kept.is_current(since):
            self.counts.ask(task_type)

            def is_read() -> bool:
                found = self.counts.of(task_type)
                return found is not None and found.is_current(since)

            self._answers.wait(read, is_read, known=kept is not None)
            kept = self.counts.of(task_type)
            if kept is None:
                self._answers.refuse(read)
        return kept.counts

    def learn(self, statement: str, parameters: Sequence[Any], rows: list[Any], read_at: float) -> None:
        """Take over the answer to a query that was read by another thread."""
        self._answers.learn(statement, parameters, rows, read_at)

    def void(self) -> None:
        """Note that this process has changed something else than by new outcomes."""
        self._answers.void()

    def close(self, seconds: float) -> None:
        """End the thread, and wait up to ``seconds`` for it."""
        self._is_closed = True
        self._background.close(seconds)
        self._disconnect()

    def _step(self) -> float | None:
        """Read what is due; return when to look again."""
        now = time.monotonic()
        if now - self._wanted_at > IDLE_SECONDS:
            self._disconnect()
            return None
        if not self._backoff.due:
            return LOOK_SECONDS
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._listen(self._connection)
            self._look(self._connection)
            if now >= self._look_again_at:
                self._has_news, self._look_again_at = True, inf
            everything = now >= self._poll_at
            if everything or self._are_asked() or (self._has_news and now >= self._news_at):
                self._read(self._connection, everything=everything)
        except (StoreError, psycopg.Error, OSError) as error:
            self._fail(error)
        if self._is_closed:  # while this step connected, which may take longer than closing waits
            self._disconnect()
        return LOOK_SECONDS

    def _listen(self, connection: PatientConnection) -> None:
        self._poll_at = 0.0
        if connection.is_pooled:
            return  # a session of its own is what it takes to listen
        (channel,) = connection.execute(self._sql["channel"]).fetchone() or ("",)
        connection.execute(f'LISTEN "{channel}"'.encode())

    def _look(self, connection: PatientConnection) -> None:
        """Find out what the database has told."""
        if readable(connection, 0.0):
            connection.pgconn.consume_input()
            while (told := connection.pgconn.notifies()) is not None:
                self._has_news, self._look_again_at = True, time.monotonic() + LATER_SECONDS
                if told.extra != b"outcomes":
                    self._poll_at = 0.0

    def _are_asked(self) -> bool:
        return bool(self.counts.asked or self._answers.due(everything=False))

    def _read(self, connection: PatientConnection, *, everything: bool) -> None:
        """Read the counts that are kept, and what is asked or, with ``everything``, was asked recently."""
        connection.execute(self._sql["fold"])
        noted, started, self._has_news = self.counts.noted, time.monotonic(), False
        questions = self._answers.due(everything=everything)
        counts, sent, rows = read_counts(
            connection, self.counts.followed(), self.counts.senders, [each.statement for each in questions]
        )
        self.counts.put(counts, Covered(noted, sent), started)
        self._answers.put(zip(questions, rows, strict=True), started)
        self._backoff.succeeded()
        self._read_at = now = time.monotonic()
        rest = SHARE * (now - started)
        self._news_at = now + max(NEWS_SECONDS, rest)
        if everything:
            interval = max(POLL_SECONDS, min(rest, LONGEST_POLL_SECONDS))
            self._poll_at = now + interval
            self._answers.current_seconds = max(CURRENT_SECONDS, 2 * interval)

    def _fail(self, error: Exception) -> None:
        """Connect again after a while."""
        if not self._answers.is_failing:
            logger.debug("%s is not followed: %s", self._location, error)
        self._backoff.failed()
        self._disconnect()
        self._answers.fail()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _on_error(self, error: Exception) -> None:
        logger.error("%s is not followed any more: %s", self._location, error)
        self._fail(error)
