"""The answers to what choices ask a server: kept, and renewed beside the calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Condition
from typing import Any, Final, NoReturn

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store.local import LocalRead
from modelperf_plugin.store.postgres.reading import Statement

CURRENT_SECONDS: Final = 1.0
"""How old an answer may be that a choice takes without waiting."""
KEEP_SECONDS: Final = 0.2
"""How much longer than that an answer is renewed that no choice has asked for."""
FORGET_SECONDS: Final = 60.0
"""How long it is kept after that."""
MAX_ANSWERS: Final = 1000
"""How many answers are kept; the rest is asked again."""
_NO_TIME: Final = float("-inf")

Key = tuple[str, str]


class Answer:
    """The rows of a query, as far as they were read."""

    __slots__ = ("read_at", "rows", "statement", "wanted_at")

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.rows: list[Any] = []
        self.read_at = _NO_TIME
        """When they were read, on the monotonic clock."""
        self.wanted_at = time.monotonic()


class Answers:
    """Answers by query. Choices take them, and one thread reads them."""

    def __init__(self, location: str, wake: Callable[[], bool]) -> None:
        """Keep answers of the database at ``location``; ``wake`` has the thread read what is missing, if it can."""
        self._location = location
        self._wake = wake
        self._known: dict[Key, Answer] = {}
        self._read = Condition()
        self._void_at = _NO_TIME
        self.current_seconds = CURRENT_SECONDS
        """The same for this database, which may be slow."""
        self.is_failing = False
        """Whether the database does not answer, so that waiting is of no use."""

    def of(self, read: LocalRead, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """Return the rows of a query, a second old at most or, if newer ones do not come in time, older ones.

        Raises:
            StoreBusyError: it was never asked, and the answer does not come in time.
        """
        key = (statement, repr(parameters))
        answer = self._known.get(key)
        if answer is None:
            answer = self._known[key] = Answer((statement, parameters))
        now = time.monotonic()
        answer.wanted_at = now
        since = max(now - self.current_seconds, self._void_at)
        if answer.read_at < since:
            self.wait(read, lambda: answer.read_at >= since, known=answer.read_at > _NO_TIME)
            if answer.read_at == _NO_TIME:
                self.refuse(read)
        read.read_at = min(read.read_at, answer.read_at)
        return answer.rows

    def wait(self, read: LocalRead, is_read: Callable[[], bool], *, known: bool) -> None:
        """Have the thread read, and wait for it as long as ``read`` permits."""
        if self._wake() and not self.is_failing:
            with self._read:
                self._read.wait_for(lambda: self.is_failing or is_read(), max(0.0, read.remaining(known=known)))

    def refuse(self, read: LocalRead) -> NoReturn:
        """Raise StoreBusyError, because something is not known and cannot be read in time."""
        read.lacks = True
        raise StoreBusyError(f"{self._location} has not answered in time")

    def learn(self, statement: str, parameters: Sequence[Any], rows: list[Any], read_at: float) -> None:
        """Take over what was read by another thread, if choices ask for it."""
        answer = self._known.get((statement, repr(parameters))) if self._known else None
        if answer is not None and answer.read_at < read_at:
            answer.rows, answer.read_at = rows, read_at

    def void(self) -> None:
        """Note that this process has changed something: answers from before are not current."""
        self._void_at = time.monotonic()

    def due(self, *, everything: bool) -> list[Answer]:
        """Return what to read: what is waited for or, with ``everything``, all that was asked for recently."""
        now = time.monotonic()
        kept_since = now - self.current_seconds - KEEP_SECONDS
        answers = list(self._known.items())
        wanted = [(key, each) for key, each in answers if each.wanted_at >= kept_since]
        if len(answers) > MAX_ANSWERS or any(each.wanted_at < now - FORGET_SECONDS for _, each in answers):
            wanted = wanted[-MAX_ANSWERS:]
            self._known = dict(wanted)
        since = now if everything else max(now - self.current_seconds, self._void_at)
        return [each for _, each in wanted if each.read_at < since]

    def put(self, answers: Iterable[tuple[Answer, list[Any]]], read_at: float) -> None:
        """Keep what was read, all at one moment, and tell those who wait."""
        for answer, rows in answers:
            answer.rows, answer.read_at = rows, read_at
        self.is_failing = False
        with self._read:
            self._read.notify_all()

    def fail(self) -> None:
        """Note that the database does not answer, and tell those who wait."""
        self.is_failing = True
        with self._read:
            self._read.notify_all()
