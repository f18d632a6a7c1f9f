"""The health of a PostgreSQL database: sums that do not add up, and what the operator of its server should know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from modelperf_plugin.store import CountedProblem, Entry, Finding, Merged, Store, Sums
from modelperf_plugin.values import Outcome, Tally
from tests.postgres import Server
from tests.store.contract.examples import NEW_YEAR_MS, by_hand, unsound
from tests.store.contract.test_imports import FIRST

psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres import maintenance  # noqa: E402 - it needs psycopg
from modelperf_plugin.store.postgres.health import Holder, ServerState, examine  # noqa: E402
from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres  # noqa: E402

DAY_MS = 86_400_000
SOUND = ServerState("18.1", 9, 10**6, 0, False, True, 0, (), (), "on", (), (), (), 5, 90, 10**6, (), True)


def outcomes(days: range) -> list[Entry]:
    """Return outcomes of all kinds, one pair of them on each day."""
    return [
        Entry(
            "t", "m",
            Outcome(success=bool(day % 3), timeout=day % 3 == 0, cost_usd=day, duration_seconds=day, score=None),
            NEW_YEAR_MS + day * DAY_MS, tried,
        )
        for day in days for tried in ((), ("x",), ("x", "y"))
    ]  # fmt: skip


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of a schema of the test's own."""
    return postgres.new_schema()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Return a store in it."""
    with closing(open_postgres(url)) as opened:
        yield opened


def execute(url: str, *statements: str) -> None:
    """Execute statements as an operator or another program would."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def finding(store: Store, name: str) -> Finding:
    """Return one finding."""
    (found,) = [each for each in store.maintenance.check() if each.name == name]
    return found


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ("UPDATE tally SET successes = successes + 1", "tallies"),
        ("UPDATE tally SET cost_nano_usd = 0", "tallies"),
        ("DELETE FROM daily WHERE day = (SELECT min(day) FROM daily)", "daily roll-up"),
        ("DELETE FROM later", "later tries"),
        ("UPDATE later SET failures = failures + 1", "later tries"),
        ("UPDATE duration SET outcomes = outcomes + 1", "durations"),
        ("DELETE FROM duration", "durations"),
    ],
)
@pytest.mark.parametrize("dropped", [False, True])
def test_sums_that_are_wrong_are_found_and_recounted(
    store: PostgresStore, url: str, damage: str, name: str, *, dropped: bool
) -> None:
    """Whatever is wrong has a finding with the pair, and is right after a recount; what was right stays as it was."""
    recorded = outcomes(range(1, 5))
    store.outcomes.record_many(recorded)
    assert store.imports.add_sums(FIRST, [Sums("t", "m", 3, 1, 0, 100, 5, 7)])
    assert store.events.last_id() == len(recorded)
    if dropped:
        assert store.events.drop(NEW_YEAR_MS + 2 * DAY_MS).dropped == 3
    assert (unsound(store), store.maintenance.rebuild()) == ([], 0)
    before = store.tallies.all()
    execute(url, damage)
    assert name in unsound(store)
    assert "t / m" in finding(store, name).message
    assert store.maintenance.rebuild() == 1
    assert (unsound(store), store.maintenance.rebuild()) == ([], 0)
    assert store.tallies.all() == before
    assert store.imports.add_sums(FIRST._replace(digest="none", newest=1), [])
    assert store.tallies.of("t")["m"] == by_hand(recorded)["t", "m"]


def test_what_events_say_goes(store: PostgresStore, url: str) -> None:
    """If an event is gone that nothing has added to the dropped ones, the sums follow."""
    recorded = outcomes(range(1, 5))
    store.outcomes.record_many(recorded)
    assert store.events.last_id() == len(recorded)
    execute(url, "DELETE FROM event WHERE id = 1")
    assert unsound(store) == ["tallies", "durations"]
    assert store.maintenance.rebuild() == 1
    assert unsound(store) == []
    assert store.tallies.all() == list(by_hand(recorded[1:]).values())


def test_a_store_that_only_reads_is_checked_as_it_is(store: PostgresStore, url: str) -> None:
    """What waits in the queue is not wrong: it is in neither the sums nor the events."""
    store.outcomes.record_many(outcomes(range(3)))
    with closing(open_postgres(url, read_only=True)) as reader:
        assert unsound(reader) == []
        assert "9 outcomes not added up yet" in finding(reader, "size").message
    assert unsound(store) == []
    assert "0 outcomes not added up yet" in finding(store, "size").message


def test_an_old_transaction_is_found(store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps deleted rows from being cleared away, and the finding says so."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM event")
        assert finding(store, "transactions").ok
        monkeypatch.setattr(maintenance, "LONG_SECONDS", 0)
        found = finding(store, "transactions")
    assert not found.ok
    assert "pg_terminate_backend" in found.message


@pytest.mark.parametrize(
    ("change", "name", "word"),
    [
        ("ALTER TABLE fresh SET (autovacuum_enabled = off)", "autovacuum", "RESET"),
        ("GRANT SELECT ON tally TO PUBLIC", "permissions", "REVOKE"),
        ("INSERT INTO migration (version, name) VALUES (9999, 'of the future')", "schema", "upgrade"),
    ],
)
def test_what_an_operator_has_changed_is_found(
    store: PostgresStore, url: str, change: str, name: str, word: str
) -> None:
    """A finding says what was changed, and how to take it back."""
    assert finding(store, name).ok
    execute(url, change)
    found = finding(store, name)
    assert not found.ok
    assert word in found.message


def test_a_role_that_owns_nothing_can_do_all_a_host_does(store: PostgresStore, url: str) -> None:
    """Rights to the rows are enough once the tables exist; the check says what such a role cannot see."""
    schema, role = url.rpartition("%3D")[2], f"host_{uuid4().hex[:12]}"
    execute(
        url,
        f"CREATE ROLE {role}",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    )
    try:
        with closing(open_postgres(f"{url}%20-crole%3D{role}")) as host:
            assert host.connection.fetch("SELECT current_user") == [(role,)]
            host.outcomes.record_many(outcomes(range(3)))
            assert host.changes.add("m", "down", (0, 1), (0, 0), 1.0, {"t": 0.5})
            assert host.demotions.add("t", "m", 1, 0.7, 20.0, "why")
            assert host.imports.add_sums(FIRST, [Sums("t", "m", 3, 1)])
            host.merged.add(Merged(0, "alpha", None, "digest", 10.0, 1, 1, 4), [Tally("t", "m", 3, 1)])
            host.problems.add(CountedProblem("select_model", "broken", 1, 1, 1))
            assert host.maintenance.rebuild() == 0
            assert unsound(host) == []
            assert "pg_read_all_stats" in finding(host, "transactions").message
    finally:
        execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_limit_of_connections_is_known(store: PostgresStore) -> None:
    """How many are open, and how many more can be, is said where all is well."""
    found = finding(store, "connections")
    assert found.ok
    assert "more possible" in found.message


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"checksum_failures": 2}, "integrity", "2 damaged pages"),
        ({"invalid_indexes": ("tally_by_pair",)}, "integrity", "REINDEX"),
        ({"schema": 10}, "schema", "upgrade"),
        ({"is_standby": True}, "standby", "target_session_attrs=read-write"),
        ({"unsafe": ("fsync",)}, "durability", "ALTER SYSTEM SET fsync = on"),
        ({"synchronous_commit": "off"}, "durability", "pooler"),
        ({"no_vacuum": ("autovacuum", "track_counts")}, "autovacuum", "ALTER SYSTEM SET track_counts = on"),
        ({"no_vacuum_tables": ("event",)}, "autovacuum", "ALTER TABLE event RESET"),
        ({"dead_tables": ("fresh",)}, "autovacuum", "VACUUM fresh"),
        ({"free": 7}, "connections", "max_connections"),
        ({"free": -1}, "connections", "only 0 more"),
        ({"xid_age": 1_500_000_000}, "transaction ids", "1,500 million"),
        ({"public_tables": ("tally", "a", "b", "c")}, "permissions", "tally, a, b and others"),
    ],
)
def test_each_danger_is_one_finding_with_a_remedy(change: dict[str, Any], name: str, words: str) -> None:
    """A sound server has none."""
    assert all(each.ok for each in examine(SOUND, [], newest_schema=9, durability="full", read_only=False))
    findings = examine(SOUND._replace(**change), [], newest_schema=9, durability="full", read_only=False)
    assert [(each.name, words in each.message) for each in findings if not each.ok] == [(name, True)]


def test_what_is_no_danger_here_is_none() -> None:
    """A standby is enough for who only reads, and synchronous_commit may be off where no more was asked for."""
    state = SOUND._replace(is_standby=True, synchronous_commit="off", has_checksums=False, sees_all=False)
    findings = examine(state, [], newest_schema=9, durability="normal", read_only=True)
    assert [each.name for each in findings if not each.ok] == []
    assert "standby" in {each.name for each in findings}


def test_what_keeps_deleted_rows_is_named_with_its_remedy() -> None:
    """The first is named, and how many more there are."""
    holders = [Holder("the transaction of process 7", "end it"), Holder("another", "drop it")]
    findings = examine(SOUND, holders, newest_schema=9, durability="full", read_only=False)
    (found,) = [each for each in findings if not each.ok]
    assert found.name == "transactions"
    assert "process 7 and 1 more" in found.message
    assert found.message.endswith("end it")
