"""Events in partitions: made ahead, dropped as a whole, and nothing that counts changes by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from modelperf_plugin.engine.retention import STEP_SECONDS, Retention
from modelperf_plugin.store import Entry, Recorded, Store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.trends import Days
from modelperf_plugin.values import DAY_MS, Outcome
from tests.postgres import Server
from tests.store.contract.examples import NEW_YEAR_MS, unsound
from tests.store.together import at_once

psycopg = pytest.importorskip("psycopg")

from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres  # noqa: E402

SIZE = 100
HOSTS = 3
_SMALL = f"""
UPDATE progress SET partition_size = {SIZE};
UPDATE event_partition SET is_over = true;
SELECT follow_partitions();
INSERT INTO event_partition (first_id, end_id) VALUES (0, {SIZE});
SELECT follow_partitions();
"""


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of tables with partitions of a hundred events."""
    url = postgres.new_schema()
    open_postgres(url).close()
    ask(url, *_SMALL.strip().split("\n"))
    return url


@pytest.fixture
def stores(url: str) -> Iterator[list[PostgresStore]]:
    """Return a store for each host, all on one database."""
    with ExitStack() as opened:
        yield [opened.enter_context(closing(open_postgres(url))) for _ in range(HOSTS)]


@pytest.fixture
def store(stores: list[PostgresStore]) -> PostgresStore:
    """Return the store of one of them."""
    return stores[0]


def ask(url: str, *statements: str) -> list[Any]:
    """Return the rows of the last statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def partitions(url: str) -> list[int]:
    """Return where the partitions of events begin, which are those of served models, too."""
    found = [
        [
            int(name.rpartition("_")[2])
            for (name,) in ask(
                url, f"SELECT relid::regclass::text FROM pg_partition_tree('{table}') WHERE isleaf ORDER BY 1"
            )
        ]
        for table in ("event", "served")
    ]
    assert found[0] == found[1]
    return sorted(found[0])


def entry(day: float, number: int = 0, **details: Any) -> Entry:
    """Return an outcome of so many days after New Year, with an id if it has a number."""
    details = {"success": number % 3 > 0, "tokens_used": 5, "served_model": f"snapshot {number % 2}", **details}
    outcome = Outcome(outcome_id=f"id {number}" if number else None, **details)
    return Entry("t", f"m{number % 4}", outcome, NEW_YEAR_MS + round(day * DAY_MS))


def fill(store: Store, outcomes: int, *, days: float) -> None:
    """Record outcomes with ids, evenly spread from New Year on."""
    store.outcomes.record_many(entry(days * number / outcomes, number) for number in range(1, outcomes + 1))
    store.events.last_id()


def drop(store: Store, day: float) -> int:
    """Take the steps of a round; return how many outcomes were dropped."""
    dropped = after_id = 0
    for _ in range(200):
        step = store.events.drop(NEW_YEAR_MS + round(day * DAY_MS), after_id)
        dropped, after_id = dropped + step.dropped, step.last_id
        if step.at_end and not step.dropped:
            return dropped
    raise AssertionError


def test_partitions_are_made_before_they_are_needed(store: PostgresStore, url: str) -> None:
    """Once half of the last partition may soon be full there is a next one; events are in order across all of them."""
    for count in (1, 130, 400):
        store.outcomes.record_many(entry(0) for _ in range(count))
        last_id = store.events.last_id()
        assert max(partitions(url)) > last_id
    assert [event.event_id for event in store.events.after(0, 1000)] == list(range(1, 532))
    assert unsound(store) == []


def test_making_a_partition_waits_for_no_reader(store: PostgresStore, url: str) -> None:
    """Somebody who has read events, and an analysis that runs, stop neither fold nor record."""
    with psycopg.connect(url) as reader, psycopg.connect(url) as analysis:
        reader.execute("SELECT count(*) FROM event, served")
        fill(store, 2 * SIZE, days=1)
        reader.execute("SELECT count(*) FROM event, served")
        made = len(partitions(url))
        ask(url, "UPDATE progress SET partition_size = 1000000")
        fill_to = ask(url, "SELECT max(end_id) FROM event_partition")[0][0]
        ask(url, f"SELECT make_room({fill_to}, 1000000)")
        analysis.execute("LOCK TABLE event IN SHARE UPDATE EXCLUSIVE MODE")  # as ANALYZE does
        ask(url, "UPDATE progress SET last_event_id = (SELECT max(end_id) FROM event_partition) - 100000")
        store.outcomes.record(entry(1))
        assert store.events.after(1, 1)
        assert len(partitions(url)) == made + 1
        analysis.rollback()
        store.outcomes.record(entry(1))
        store.events.last_id()
        assert len(partitions(url)) == made + 2
    store.outcomes.record(entry(1, 3, success=True, error_kind=None))
    assert store.outcomes.verdicts_of(["id 3"])["id 3"].success


def test_old_partitions_are_dropped_and_the_rest_of_what_is_old_is_deleted(store: PostgresStore, url: str) -> None:
    """Nothing else goes, every sum stays, and what was dropped is still known by its id."""
    fill(store, 10 * SIZE, days=20)
    tallies, trend = store.tallies.all(), store.trends.totals(Days(0, 30_000))
    assert drop(store, 10.5) == 524
    assert partitions(url)[0] == 5 * SIZE
    (first,) = store.events.after(0, 1)
    assert first.event_id == 525
    assert (store.tallies.all(), store.trends.totals(Days(0, 30_000))) == (tallies, trend)
    assert store.outcomes.verdicts_of(["id 1", "id 524", "id 525"]).keys() == {"id 525"}
    assert store.outcomes.record(entry(0, 1, success=True)) is Recorded.NOTHING
    assert store.outcomes.record(entry(20, 526, success=False)) is Recorded.REVISED
    assert sum(store.served_models.counts().values()) == sum(
        event.success or event.blame == "model" for event in store.events.after(0, 1000)
    )
    assert ask(url, "SELECT count(*) FROM leaving") == [(0,)]
    assert unsound(store) == []


def test_what_is_old_within_a_day_waits_for_its_partition(store: PostgresStore, url: str) -> None:
    """A full partition of which the newest outcome is old a day later is not emptied before."""
    fill(store, 5 * SIZE, days=2)
    assert drop(store, 1) == 2 * SIZE - 1
    assert store.events.after(0, 1)[0].event_id == 2 * SIZE
    assert drop(store, 1.3) == SIZE
    assert unsound(store) == []


def test_one_young_outcome_keeps_its_partition(store: PostgresStore, url: str) -> None:
    """Wherever it is: the others are deleted one by one."""
    store.outcomes.record_many(entry(40 if number == 110 else 0) for number in range(3 * SIZE + 50))
    store.events.last_id()
    before = store.tallies.all()
    assert drop(store, 20) == 3 * SIZE + 49 - 1
    assert [event.event_id for event in store.events.after(0, 10)] == [111, 350]
    assert partitions(url)[0] == SIZE
    assert store.tallies.all() == before
    assert unsound(store) == []


def test_a_partition_that_is_being_read_is_dropped_later(store: PostgresStore, url: str) -> None:
    """Neither waits for the other for long, nothing is counted twice, and recording goes on meanwhile."""
    fill(store, 3 * SIZE, days=30)
    before = store.tallies.all()
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM event")
        drop(store, 25)
        assert partitions(url)[0] == 0
        fill(store, 3 * SIZE, days=30)
        assert (store.tallies.all(), unsound(store)) == (before, [])
    ask(url, "UPDATE event_partition SET tried = tried - interval '2 minutes'")
    drop(store, 25)
    assert partitions(url)[0] == 2 * SIZE
    assert (store.tallies.all(), unsound(store)) == (before, [])


def test_a_verdict_that_changes_while_its_partition_is_counted(store: PostgresStore, url: str) -> None:
    """It is counted as it is in the end."""
    fill(store, 3 * SIZE, days=30)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM event")
        drop(store, 25)  # counted, but not dropped
    assert ask(url, "SELECT sum(successes + failures) FROM leaving")[0][0] == 2 * SIZE - 1
    assert store.outcomes.record(entry(0, 3, success=True)) is Recorded.REVISED
    before = store.tallies.all()
    ask(url, "UPDATE event_partition SET tried = NULL")
    drop(store, 25)
    assert partitions(url)[0] == 2 * SIZE
    assert (store.tallies.all(), unsound(store)) == (before, [])
    assert store.events.last_revision() == 1


def test_a_host_drops_partitions_while_it_records(store: PostgresStore, url: str) -> None:
    """One round gets through old partitions and the rest of what is old, in a few steps."""
    fill(store, 8 * SIZE, days=16)
    now, steps = 0.0, 0
    retention = Retention(store.events, 10, clock=lambda: now)
    while store.events.after(0, 1)[0].event_id < 325:
        retention.step_if_due(lambda: NEW_YEAR_MS + round(16.5 * DAY_MS))
        now, steps = now + STEP_SECONDS, steps + 1
        assert steps < 10
    assert partitions(url)[0] == 3 * SIZE
    assert unsound(store) == []


def test_events_under_numbers_of_their_own_can_be_referred_to(store: PostgresStore, url: str) -> None:
    """Whoever writes them makes room for them, and they are found by what they are called."""
    ask(
        url,
        f"SELECT make_room({7 * SIZE}, {SIZE}), number_of_pair('t', 'm')",
        "INSERT INTO event (id, ended_ms, tokens, cost_nano_usd, tally_id, success, timeout) "
        f"VALUES ({7 * SIZE}, 1000, 0, 0, 1, true, false)",
        f"INSERT INTO event_ref (number, event_id) VALUES (-1, {7 * SIZE}) ON CONFLICT DO NOTHING",
        "INSERT INTO outcome_key (outcome_id, number) VALUES ('id', -1)",
    )
    assert store.outcomes.verdicts_of(["id"])["id"].success


def test_several_hosts_drop_together(stores: list[PostgresStore], url: str) -> None:
    """Each event is dropped once, while others record and correct."""
    fill(stores[0], 12 * SIZE, days=24)

    def act(store: Store, host: int) -> None:
        for number in range(1, 40):
            store.outcomes.record(entry(30, 5000 + 100 * host + number))
            store.outcomes.record(entry(30, 31 * number % 1200 + 1, success=bool(number % 2)))
            store.events.drop(NEW_YEAR_MS + 15 * DAY_MS)

    at_once(stores, act)
    ask(url, "UPDATE event_partition SET tried = NULL")
    drop(stores[0], 15)
    assert [event.event_id for event in stores[0].events.after(0, 1)] == [7 * SIZE], "the rest waits for its partition"
    assert sum(tally.samples for tally in stores[0].tallies.all()) == 12 * SIZE + 39 * HOSTS
    assert unsound(stores[0]) == []


def test_what_was_just_recorded_is_dropped_too(store: PostgresStore) -> None:
    """An import of old outcomes needs no reader before retention finds them."""
    store.outcomes.record_many([*[entry(0)] * 250, entry(30)])
    assert drop(store, 20) == 250
    assert unsound(store) == []


def test_tables_of_the_former_version_become_the_first_partition(postgres: Server) -> None:
    """Their events, and what refers to them, stay as they are, also for a host that was connected all the time."""
    url = postgres.new_schema()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE migration (version integer PRIMARY KEY, name text, migrated timestamptz DEFAULT now())"
        )
        for migration in load_migrations("postgres"):
            if migration.version <= 10:
                connection.execute(migration.script.encode())
                connection.execute("INSERT INTO migration VALUES (%s, %s)", (migration.version, migration.name))

        def record(outcome_id: str, *, success: bool) -> Any:
            return connection.execute(
                "SELECT answer FROM record('t', 'm', NULL, 'other', 1000, %s, false, 5, 0, NULL, 7, NULL, NULL, %s, "
                "false, NULL)",
                (success, outcome_id),
            ).fetchone()

        for outcome_id in ("a", "b", "c"):
            record(outcome_id, success=True)
        assert record("a", success=False) == (2,)
        with closing(open_postgres(url)) as store:
            assert [event.success for event in store.events.after(0, 10)] == [False, True, True]
            assert store.served_models.counts() == {("m", "other"): 3}
            assert record("b", success=False) == (2,)
            assert [event.success for event in store.events.after(0, 10)] == [False, False, True]
            assert [revision.after.event_id for revision in store.events.revised_after(0, 10)] == [1, 2]
            assert connection.execute("SELECT count(*) FROM model_outcomes").fetchone() == (3,)
            assert unsound(store) == []
