"""The queue of outcomes that are not added up yet: long ones are folded in parts, and nobody looks through old rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store import Store, open_to_read
from modelperf_plugin.store.deadline import within
from modelperf_plugin.store.trends import Days
from tests.postgres import Server
from tests.store.contract.examples import entry, unsound

psycopg = pytest.importorskip("psycopg")

from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres  # noqa: E402

BACKLOG = 30_000
_RECORD = f"""
INSERT INTO fresh (number, ended_ms, tokens, cost_nano_usd, tally_id, success, timeout, is_referred)
SELECT next_number(), 1000, 3, 0, number_of_pair('t', 'm'), true, false, false FROM generate_series(1, {BACKLOG})
"""
_PART = "SELECT fold_until('-infinity', true)"


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty schema."""
    return postgres.new_schema()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Return a new, empty store."""
    with closing(open_postgres(url)) as opened:
        yield opened


@pytest.fixture
def other(store: PostgresStore, url: str) -> Iterator[Any]:
    """Return a connection of another program."""
    assert not store.connection.closed
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def waiting(connection: Any) -> int:
    """Return how many outcomes are in the queue."""
    (number,) = connection.execute("SELECT count(*) FROM fresh").fetchone()
    return int(number)


def test_a_long_queue_is_folded_in_parts(store: PostgresStore, other: Any, url: str) -> None:
    """Each part is a transaction, and the sums with what is left are right after each of them."""
    other.execute(_RECORD)
    parts, is_complete = 0, False
    with closing(open_to_read(url)) as reader:
        while not is_complete:
            (is_complete,) = other.execute(_PART).fetchone()
            parts += 1
            assert [tally.successes for tally in reader.tallies.all()] == [BACKLOG]
            assert len(reader.trends.totals(Days(0, 1))) == 1
    assert parts == BACKLOG // 5000 + 1
    assert store.tallies.of("t")["m"].successes == BACKLOG
    assert unsound(store) == []


def test_whoever_has_no_time_folds_a_part(store: PostgresStore, other: Any) -> None:
    """A caller that cannot wait until a long queue is folded is told so; the calls together get to its end."""
    other.execute(_RECORD)
    other.execute("SET synchronous_commit = off")
    calls = 0
    last_id = 0
    while not last_id:
        calls += 1
        before = waiting(other)
        try:
            last_id = within(0.0, store.events.last_id)
        except StoreBusyError:
            assert waiting(other) < before
    assert (last_id, waiting(other)) == (BACKLOG, 0)
    assert [event.event_id for event in store.events.after(BACKLOG - 2, 10)] == [BACKLOG - 1, BACKLOG]
    assert unsound(store) == []


def test_a_statement_timeout_ends_no_folding_for_ever(store: PostgresStore, other: Any) -> None:
    """However short it is compared with the queue, as long as a part of that fits."""
    for _ in range(4):
        other.execute(_RECORD)
    other.execute("SET statement_timeout = '3s'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        other.execute("SELECT fold(), pg_sleep(3)")
    assert waiting(other) == 4 * BACKLOG
    while not other.execute("SELECT fold_some()").fetchone()[0]:
        pass
    assert (waiting(other), store.events.last_id()) == (0, 4 * BACKLOG)


def test_what_is_committed_while_a_part_is_folded(store: PostgresStore, other: Any, url: str) -> None:
    """It is not overlooked, though later numbers are folded already, and the queue is not read from its beginning."""
    with psycopg.connect(url) as slow:
        for number in range(3):
            slow.execute(b"INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'slow', 1)")
            other.execute(_RECORD)
            for _ in range(number + 1):
                other.execute(_PART)
            slow.commit()
            other.execute(_PART)
    assert store.events.last_id() == 3 * BACKLOG + 3
    counts = {tally.model_id: tally.successes for tally in store.tallies.all()}
    assert counts == {"m": 3 * BACKLOG, "slow": 3}
    assert unsound(store) == []


def test_a_long_transaction_elsewhere_keeps_nothing_in_the_queue(store: PostgresStore, other: Any, url: str) -> None:
    """What is folded is not looked through again, unless that transaction has recorded an outcome itself."""
    with psycopg.connect(url) as writes, psycopg.connect(url) as records:
        writes.execute("CREATE TEMPORARY TABLE something (x integer)")
        for _ in range(4):
            store.outcomes.record_many([entry("m")] * 6000)
            store.events.last_id()
        (folded,) = other.execute("SELECT folded FROM progress").fetchone()
        assert folded == 18_000
        records.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'late', 1)")
        for _ in range(3):
            store.outcomes.record_many([entry("m")] * 6000)
            store.events.last_id()
        (folded,) = other.execute("SELECT folded FROM progress").fetchone()
        assert folded == 24_000
        records.commit()
    assert store.events.last_id() == 42_001
    assert unsound(store) == []


def test_a_connection_takes_another_name_from_time_to_time(store: Store, other: Any) -> None:
    """So the row of each has few versions; whatever its name, every outcome is there once."""
    for number in range(2500):
        store.outcomes.record(entry("m", outcome_id=str(number)))
        store.outcomes.record(entry("m"))
    names = [name for (name,) in other.execute("SELECT sender FROM fresh WHERE sender IS NOT NULL GROUP BY sender")]
    assert len(names) == 5
    locked = other.execute(
        "SELECT count(*) FROM pg_locks JOIN unnest(%s::bigint[]) AS name "
        "ON (classid::bigint << 32) | objid::bigint = name WHERE locktype = 'advisory'",
        (names,),
    ).fetchone()
    assert locked == (1,), "whoever waits for the end of a former name gets it"
    ((longest,),) = other.execute("SELECT max(sent) FROM sender").fetchall()
    assert longest <= 1001
    assert store.tallies.all()[0].successes == 5000
