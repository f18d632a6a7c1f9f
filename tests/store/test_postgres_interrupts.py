"""Threads that share a transaction of the PostgreSQL store, when the one that writes for all is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from types import FrameType, TracebackType
from typing import Any

import pytest

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Entry, Recorded
from modelperf_plugin.store.commit_queue import Ticket
from modelperf_plugin.values import Outcome
from modelperf_plugin.values.locks import attempt
from tests.interrupting import _would_be_lost
from tests.postgres import Server
from tests.store.contract.examples import unsound
from tests.store.contract.test_decisions import NOON_MS

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres


@pytest.fixture
def store(postgres: Server) -> Iterator[PostgresStore]:
    """Return an empty store."""
    with closing(open_postgres(postgres.empty_schema())) as opened:
        yield opened


class InterruptAtLine:
    """Interrupts a block at the line of this package that is executed as the ``number``-th."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._before = sys.gettrace()

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        sys.settrace(self._before)
        return kind is KeyboardInterrupt

    @property
    def has_come(self) -> bool:
        """Whether there were so many lines."""
        return self._left <= 0

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if "/modelperf_plugin/store/" not in code.co_filename or code.co_name == "result" or _would_be_lost(frame):
            return None  # `result` calls nothing after it has begun, so no signal is looked for
        if event == "line":
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self._trace


def entry(number: int) -> Entry:
    """Return an outcome; its tokens are its number. Each third has an id, so that it takes another way."""
    outcome_id = None if number % 3 else str(number)
    return Entry("t", "m", Outcome(success=True, tokens_used=number, outcome_id=outcome_id), NOON_MS)


@pytest.mark.slow
@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize(("others", "has_own"), [(0, True), (1, False), (2, True)])
def test_at_any_line(store: PostgresStore, others: int, has_own: bool, is_connected: bool) -> None:
    """Interrupted at any line, it leaves each outcome of others recorded, or waiting for the next, or a receipt for it.

    Its own, if it writes one, is recorded at most once. All this holds if it has to connect before, too.
    """
    groups = store.outcomes._groups
    store.outcomes.record(entry(0))
    number, line, interrupt = 0, 0, None
    doubtful: list[tuple[str, Entry]] = []
    unknown: set[int] = set()
    while interrupt is None or interrupt.has_come:
        tickets = [Ticket(entry(number + each)) for each in range(1, others + 1)]
        number += others + 2
        for ticket in tickets:
            groups._queue.join(ticket)
        groups._queue.crowded = True
        if not is_connected:
            for slot in store.connection._pool._slots._slots:
                slot.close()
        line += 1
        interrupt = InterruptAtLine(line)
        with interrupt:
            if has_own:
                store.outcomes.record(entry(number - 1))
            else:
                attempt(groups._lock, groups._serve)
        unknown.add(number - 1)
        while groups._queue.waiting:
            attempt(groups._lock, groups._serve)
        for ticket in tickets:
            if ticket.error is None:
                assert ticket.answer is Recorded.NEW
            else:
                assert isinstance(ticket.error, StoreFailedError)
                assert ticket.error.receipt is not None
                doubtful.append((ticket.error.receipt, ticket.entry))
        store.outcomes.record(entry(number))
    for receipt, each in doubtful:
        store.outcomes.ingest_batch(receipt, [each])
    assert unsound(store) == []
    stored = [tokens for (tokens,) in store.connection.fetch_folded("SELECT tokens FROM event")]
    assert len(stored) == len(set(stored))
    assert set(stored) - unknown == set(range(number + 1)) - unknown
    assert line > 50
    assert bool(doubtful) is bool(others)
