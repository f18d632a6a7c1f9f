"""What only the PostgreSQL store has to keep: the order of events, shared connections, the documented relations."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from modelperf_plugin.errors import (
    MissingExtraError,
    NotATrackerError,
    StoreBusyError,
    StoreError,
    StoreFailedError,
    StoreOutdatedError,
    StoreVersionError,
)
from modelperf_plugin.store import Step, Store, open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.deadline import within
from modelperf_plugin.store.edits import Selection
from tests.postgres import Server
from tests.store.contract.examples import NEW_YEAR_MS, entry, unsound

psycopg = pytest.importorskip("psycopg")

from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres  # noqa: E402
from modelperf_plugin.store.urls import without_secrets  # noqa: E402


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty schema."""
    return postgres.new_schema()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Return a new, empty store."""
    with closing(open_postgres(url)) as opened:
        yield opened


def test_an_outcome_that_is_committed_late_is_numbered_late(store: PostgresStore, url: str) -> None:
    """A reader that has read all events misses none that was begun earlier and is committed later."""
    with psycopg.connect(url) as other:
        slow = "INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'slow', 1)"
        other.execute(slow)
        for _ in range(5):  # what was folded before is not looked for again
            store.outcomes.record(entry("quick", task_type="t"))
            read = store.events.after(0, 10)
        assert [each.model_id for each in read] == ["quick"] * 5
        other.commit()
    assert [each.model_id for each in store.events.after(read[-1].event_id, 10)] == ["slow"]
    assert unsound(store) == []


def test_what_was_folded_is_not_looked_for_again(store: PostgresStore) -> None:
    """The queue is read from the first number that may still be in it, however many rows were deleted before."""
    for number in range(20):
        store.outcomes.record(entry())
        store.outcomes.record_many([entry()] * 99)
        assert store.events.last_id() == 100 * (number + 1)
    ((folded, newest),) = store.connection.fetch("SELECT folded, last_value FROM progress, outcome_number")
    assert newest >= folded >= newest // 2


def test_several_hosts_lose_and_invent_nothing(store: PostgresStore, url: str) -> None:
    """Stores that record, replace verdicts, fold and drop at once end with every outcome counted exactly once."""
    each = 60
    failures: list[BaseException] = []

    def work(host: int) -> None:
        try:
            with closing(open_postgres(url)) as mine:
                for number in range(each):
                    mine.outcomes.record(entry(f"model-{number % 3}", outcome_id=f"shared-{number}"))
                    mine.outcomes.record_many(
                        [
                            entry("bulk", outcome_id=f"bulk-{number}", success=host % 2 == 0),
                            entry("bulk", outcome_id=f"{host}-{number}")._replace(tried=("a",)),
                        ]
                    )
                    mine.tallies.of("execute-task")
                    if number % 10 == host:
                        mine.events.last_id()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=work, args=(host,)) for host in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(tally.samples for tally in store.tallies.all()) == each * (1 + 1 + 4)
    assert [event.event_id for event in store.events.after(0, 1000)] == list(range(1, each * 6 + 1))
    assert unsound(store) == []


GUIDE = [
    (
        "SELECT model_id, ROUND(100.0 * successes / (successes + failures), 1) as success_rate, total_tokens, "
        "total_cost FROM model_stats WHERE task_type = %s ORDER BY success_rate DESC;"
    ),
    (
        "SELECT DATE(timestamp) as day, model_id, COUNT(*) as attempts, SUM(success) as wins, "
        "ROUND(100.0 * SUM(success) / COUNT(*), 1) as daily_success_rate FROM model_outcomes "
        "WHERE task_type = %s AND timestamp > date('now', '-30 days') GROUP BY day, model_id ORDER BY day DESC;"
    ),
    (
        "SELECT model_id, COUNT(*) as trials, SUM(success) as wins, ROUND(AVG(tokens_used), 0) as avg_tokens, "
        "ROUND(AVG(cost_usd), 4) as avg_cost FROM model_outcomes WHERE task_type = %s AND timestamp > '2026' "
        "GROUP BY model_id;"
    ),
    "SELECT * FROM model_stats WHERE successes + failures >= 2 AND task_type = %s ORDER BY success_rate DESC",
    (
        "SELECT model_id, successes, failures, total_tokens, total_cost, last_used FROM model_stats "
        "WHERE task_type = %s AND (successes + failures) >= 2 "
        "ORDER BY (CAST(successes AS FLOAT) / (successes + failures)) DESC"
    ),
]


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("query", GUIDE)
def test_the_queries_of_the_migration_guide_run_unchanged(
    store: PostgresStore, url: str, query: str, folded: bool
) -> None:
    """They see every outcome, whether it was added up or not."""
    with psycopg.connect(url) as other:
        for success in (1, 0):
            other.execute(
                "INSERT INTO model_outcomes (task_type, model_id, success, tokens_used, cost_usd) "
                "VALUES ('t', 'm', %s, 100, 0.25)",
                (success,),
            )
        other.commit()
        if folded:
            assert store.events.last_id() == 2
        ((*found,),) = other.execute(query, ("t",)).fetchall()
    assert "m" in found
    assert store.tallies.of("t")["m"].total_cost_usd == 0.5


def test_outcomes_of_the_documented_view_are_checked(store: PostgresStore, url: str) -> None:
    """What no outcome can be is refused, with the rule."""
    with psycopg.connect(url, autocommit=True) as other:
        for values, rule in [
            ("'', 'm', 1, 0, 0, 0, NULL", "task_type must be text of 1 to 512"),
            ("E't\\u0007', 'm', 1, 0, 0, 0, NULL", "free of control characters"),
            ("'t', 'm', 2, 0, 0, 0, NULL", "success must be 1 or 0"),
            ("'t', 'm', 1, 0, -1, 0, NULL", "tokens_used must be"),
            ("'t', 'm', 1, 0, 0, 'NaN', NULL", "cost_usd must be"),
            ("'t', 'm', 1, 0, 0, 0, 'soon'", "ISO 8601"),
            ("'t', 'm', 1, 0, 0, 0, '2026-13-01'", "ISO 8601"),
        ]:
            statement = (
                "INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp) "
                f"VALUES ({values})"
            )
            with pytest.raises(psycopg.Error, match=rule):
                other.execute(statement)
        other.execute(
            "INSERT INTO model_outcomes (task_type, model_id, success, timestamp) "
            "VALUES ('t', 'm', 1, '2026-01-01T00:00:00.125Z')"
        )
        other.execute(
            "INSERT INTO model_stats (task_type, model_id, successes, failures, total_cost, last_used) "
            "VALUES ('t', 'm', 3, 1, 0.5, '2025-01-01')"
        )
        assert other.execute("SELECT timestamp FROM model_outcomes").fetchone() == ("2026-01-01T00:00:00.125Z",)
    tally = store.tallies.of("t")["m"]
    assert (tally.successes, tally.failures, tally.last_used_ms) == (4, 1, NEW_YEAR_MS + 125)
    assert unsound(store) == []


def test_a_reader_sees_what_is_not_added_up(store: PostgresStore, url: str) -> None:
    """A store that is open for reading only sees every outcome, writes nothing, and cannot be made to."""
    store.outcomes.record(entry(duration_seconds=2.0)._replace(tried=("a",)))
    with closing(open_postgres(url, read_only=True)) as reader:
        assert reader.tallies.of("execute-task")["gpt-4o"].later_successes == 1
        assert reader.tallies.later("execute-task")["gpt-4o"]["a",].successes == 1
        assert reader.tallies.durations(("", "z"), 0, 0.0)
        assert reader.events.last_id() == 0
        with pytest.raises(StoreError, match="for reading only"):
            reader.outcomes.record(entry())
        with pytest.raises(StoreError, match="read-only"):
            reader.connection.fetch("INSERT INTO progress DEFAULT VALUES RETURNING 1")


def test_a_lost_connection_costs_nothing_once_it_was_idle(url: str) -> None:
    """After the server has closed all connections, as a restart does, the next calls open new ones."""
    with closing(open_postgres(f"{url}&application_name={url[-12:]}")) as store:
        store.outcomes.record(entry())
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", (url[-12:],)
            )
        store.outcomes.record(entry())
        assert store.tallies.of("execute-task")["gpt-4o"].successes == 2


def test_who_waits_too_long_for_others_is_told(store: PostgresStore, url: str) -> None:
    """Replacing a verdict has to wait for another transaction that does so; an outcome waits for nobody."""
    store.outcomes.record(entry(outcome_id="a"))
    with psycopg.connect(url) as other:
        other.execute("SELECT lock_sums()")
        within(1.0, lambda: store.outcomes.record(entry(outcome_id="b")))
        assert within(1.0, lambda: store.tallies.of("execute-task"))["gpt-4o"].successes == 2
        with pytest.raises(StoreBusyError, match="busy"):
            within(0.1, lambda: store.outcomes.record(entry(outcome_id="a", success=False)))
    assert store.outcomes.record(entry(outcome_id="a", success=False))


def test_a_forked_child_has_connections_of_its_own(store: PostgresStore) -> None:
    """Parent and child both go on recording; neither disturbs the other's session."""
    store.outcomes.record(entry())
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            store.outcomes.record(entry())
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    store.outcomes.record(entry())
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 3


def test_processes_that_open_a_new_schema_at_once_agree(url: str) -> None:
    """The tables are created once."""
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(open_postgres(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in stores:
        each.outcomes.record(entry())
    assert stores[0].tallies.of("execute-task")["gpt-4o"].successes == len(stores) == 4
    for each in stores:
        each.close()


def test_other_schemas_are_refused(url: str) -> None:
    """A newer one, one of another program, and, for reading, one that is empty: nothing is changed."""
    with pytest.raises(StoreOutdatedError, match="is empty"):
        open_postgres(url, read_only=True)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE event (x integer)")
        with pytest.raises(NotATrackerError, match="another program"):
            open_postgres(url)
        assert other.execute("SELECT count(*) FROM pg_class WHERE relname = 'tally'").fetchone()
        other.execute("DROP TABLE event")
        open_postgres(url).close()
        other.execute("INSERT INTO migration (version, name) VALUES (9999, 'later')")
        with pytest.raises(StoreVersionError, match="9999"):
            open_postgres(url)
        with pytest.raises(StoreVersionError, match="9999"):
            open_postgres(url, read_only=True)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:secret@h1:1,h2:2/db?sslmode=require", "postgresql://me@h1:1,h2:2/db?sslmode=require"),
        ("postgresql://:secret@host/db?password=secret&sslpassword=secret", "postgresql://host/db"),
        (
            "postgres:///db?host=/run/pg&options=-csearch_path%3Dx",
            "postgres:///db?host=/run/pg&options=-csearch_path=x",
        ),
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    """Neither in the location nor in an error, whatever is wrong with the URL."""
    assert without_secrets(given) == shown
    for broken in ("secret%zz", "secret/@", "secret?@", "secret#"):
        with pytest.raises(StoreError) as caught:
            open_postgres(f"postgresql://me:{broken}@[::1/db")
        assert "secret" not in str(caught.value)


def test_a_url_opens_the_store(url: str) -> None:
    """Every way to open a store knows the URL of a database, and what it can be used for."""
    with closing(open_store(url)) as one, closing(open_with_fallback(url)) as two, closing(open_to_read(url)) as reader:
        one.outcomes.record(entry())
        two.outcomes.record(entry())
        assert reader.tallies.of("execute-task")["gpt-4o"].successes == 2
        assert (one.read_only, two.read_only, reader.read_only) == (False, False, True)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install; nothing else needs it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r'pip install "modelperf-plugin\[postgres\]"'):
        open_store("postgresql://localhost/db")


def test_a_server_that_is_away_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One line says which server and why."""
    with pytest.raises(StoreFailedError, match=r"cannot be used") as caught:
        open_postgres(f"postgresql://me:secret@/db?host={tmp_path_factory.mktemp('none')}")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_text_that_cannot_be_stored_is_refused(store: PostgresStore) -> None:
    """U+0000 and lone surrogates are a StoreError; nothing is recorded."""
    for name in ("a\x00b", "\ud800"):
        with pytest.raises(StoreError):
            store.outcomes.record(entry(name))
    names = "文" * 512
    store.outcomes.record(entry(names, task_type=names, outcome_id="x"))
    assert store.tallies.of(names)[names].successes == 1


def test_a_verdict_on_a_dropped_outcome_is_logged(store: PostgresStore, caplog: pytest.LogCaptureFixture) -> None:
    """Its id is known, its event is gone: nothing is changed, and the log says so."""
    store.outcomes.record(entry(outcome_id="a", ended_ms=0))
    store.outcomes.record(entry())
    assert store.events.drop(NEW_YEAR_MS).dropped == 1
    assert not store.outcomes.record(entry(outcome_id="a", success=False))
    assert "the outcome a came after its details were dropped" in caplog.text
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 2
    assert unsound(store) == []


def test_an_import_is_told_from_what_is_recorded_meanwhile(store: PostgresStore, url: str) -> None:
    """Forgetting it leaves all that others have recorded between its outcomes, and nothing else."""
    recorded: list[None] = []
    is_over = threading.Event()

    def record() -> None:
        with closing(open_store(url)) as own:
            while not is_over.is_set():
                own.outcomes.record(entry("host", task_type="t"))
                recorded.append(None)

    thread = threading.Thread(target=record, daemon=True)
    thread.start()
    row = (store.imports.pair_id("t", "host"), 5, 1, 0, 7, 0, None, None, None, ())
    step, import_id = Step("csv", "history.csv", "0", 0, 0, 0, 1000), None
    for number in range(1, 20):
        step = step._replace(digest=str(number), position=number, from_position=step.position, import_id=import_id)
        added = store.imports.add_events(step, [row] * 300)
        assert added is not None
        import_id = added[0]
    is_over.set()
    thread.join()
    assert store.editing.forget(Selection(import_id=import_id), 1).outcomes == 19 * 300
    assert store.tallies.of("t")["host"].samples == len(recorded) > 0
    assert unsound(store) == []
