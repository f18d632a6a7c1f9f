"""A host goes on while its PostgreSQL server is away; when that is back, every outcome is there once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, Recorded, Store, open_store, open_with_fallback
from modelperf_plugin.store.fallback.spool import count_waiting, waiting_for
from modelperf_plugin.store.opening import spool_of
from modelperf_plugin.values import Outcome
from tests.postgres import Server
from tests.store.contract.examples import unsound
from tests.store.faults import check_now, switch_of
from tests.waiting import SOON, wait_until

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from psycopg.conninfo import conninfo_to_dict

from modelperf_plugin.store.postgres.store import open_postgres
from tests.store.cutting import Line, line_to

PATIENCE = 0.5


def entry(model_id: str = "a", *, success: bool = True, outcome_id: str | None = None) -> Entry:
    """Return an outcome."""
    return Entry("t", model_id, Outcome(success=success, outcome_id=outcome_id), 1_000)


def counts(store: Store) -> dict[str, int]:
    """Return the number of outcomes of each model, as choices see it."""
    return {model_id: tally.samples for model_id, tally in store.tallies.of("t").items()}


def come_back(store: Store) -> None:
    """Wait until a host uses its server again, and everything that waited is moved."""
    switch = switch_of(store)

    def is_back() -> bool:
        check_now(store)
        store.decisions.write([], [])
        return store.degraded is None and not switch.backlog.waits

    wait_until(is_back)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings and errors in the log."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty schema."""
    return postgres.empty_schema()


@pytest.fixture
def line(url: str) -> Iterator[Line]:
    """Return a line to the server."""
    with line_to(url) as line:
        yield line


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return the path beside which outcomes are spooled."""
    return tmp_path / "local" / "outcomes.db"


@pytest.fixture
def host(line: Line, spool: Path) -> Iterator[Store]:
    """Return the store of a host."""
    with closing(open_with_fallback(line.url, patience=PATIENCE, spool=spool)) as store:
        yield store


def in_database(url: str) -> dict[str, int]:
    """Return the number of events of each model in the database, and check that the tallies are their aggregate."""
    with closing(open_store(url)) as store:
        assert unsound(store) == []
        events = [event.model_id for event in store.events.after(0, 10_000)]
        found = {name: events.count(name) for name in events}
        assert found == counts(store)
        return found


def test_outcomes_wait_and_choices_go_on(
    host: Store, line: Line, url: str, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server refuses connections, choices count what was read and is recorded; then all of it is there."""
    host.outcomes.record(entry("a"))
    assert counts(host) == {"a": 1}
    line.cut()
    for _ in range(3):
        assert host.outcomes.record(entry("b")) is Recorded.NEW
    assert host.outcomes.record_many([entry("b"), entry("c")]) == 2
    assert counts(host) == {"a": 1, "b": 4, "c": 1}
    assert host.degraded is not None
    (line_logged,) = logged(caplog)
    assert "Continuing without the database: outcomes wait in" in line_logged
    assert str(spool.parent / "outcomes-postgresql.waiting-") in line_logged
    assert count_waiting(spool_of(url, spool)) == 5
    assert all("wait in" in finding.message for finding in waiting_for(spool_of(url, spool)))
    line.mend()
    come_back(host)
    assert counts(host) == {"a": 1, "b": 4, "c": 1}
    assert in_database(url) == {"a": 1, "b": 4, "c": 1}
    assert count_waiting(spool_of(url, spool)) == 0
    assert len(logged(caplog)) == 2
    assert "works again" in logged(caplog)[1]


def test_what_was_read_last_stays_in_force(host: Store, line: Line) -> None:
    """Demotions, changes, counts from before them and later tries are those that were read last."""
    host.outcomes.record_many([entry("a"), Entry("t", "b", Outcome(success=True), 1_000, ("a",))])
    last_id = host.events.last_id()
    assert host.changes.add("a", "down", (0, last_id), (0, 1_000), 1.0, {})
    assert host.demotions.add("t", "a", 1_000, 0.7, 20.0, "why")

    def known() -> list[object]:
        tallies = host.tallies
        watched = [host.demotions.all(), host.changes.all(), tallies.baselines(("t", "t")), host.events.last_id()]
        return [*watched, dict(tallies.of("t")), {name: dict(sets) for name, sets in tallies.later("t").items()}]

    before = known()
    assert all(before)
    line.cut()
    assert known() == before
    assert host.degraded is not None


def test_they_are_stored_in_order(host: Store, line: Line, url: str) -> None:
    """Outcomes are stored in the order in which the process recorded them, over several batches."""
    line.cut()
    names = [f"m{number:03}" for number in range(600)]
    for name in names:
        host.outcomes.record(entry(name))
    line.mend()
    come_back(host)
    host.outcomes.record(entry("last"))
    with closing(open_store(url)) as store:
        assert [event.model_id for event in store.events.after(0, 1_000)] == [*names, "last"]


@pytest.mark.parametrize("kind", ["requests", "answers"])
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_an_outcome_on_its_way_counts_once(host: Store, line: Line, url: str, kind: str, many: bool) -> None:
    """If the line breaks while an outcome is on its way, it counts once, whether or not the server has got it."""
    host.outcomes.record(entry("a"))
    assert counts(host) == {"a": 1}
    recorded = 1
    line.hold(kind)
    if many:
        assert host.outcomes.record_many([entry("b"), entry("b")]) == 2
        recorded += 1
    else:
        assert host.outcomes.record(entry("b")) is Recorded.NEW
    assert counts(host) == {"a": 1, "b": recorded}
    line.cut()
    host.outcomes.record(entry("c"))
    line.mend()
    come_back(host)
    assert counts(host) == in_database(url) == {"a": 1, "b": recorded, "c": 1}


def test_a_statement_that_comes_late_is_not_executed(host: Store, line: Line, url: str) -> None:
    """A statement that the network delivers after its outcome was moved from the spool changes nothing."""
    host.outcomes.record(entry("a"))
    with closing(open_postgres(url)) as other:
        host.outcomes.record(entry("b"))
        line.hold("requests")
        host.outcomes.record(entry("late"))
        switch = switch_of(host)
        (batch,) = [batch for batch in switch._spool._batches if batch.outcomes]
        assert other.outcomes.ingest_batch(batch.batch_id, batch.entries()) == 1
        line.mend()  # delivers what was held back
        come_back(host)
    assert in_database(url) == {"a": 1, "b": 1, "late": 1}


def test_a_silent_server_keeps_nobody_waiting(host: Store, line: Line, url: str) -> None:
    """A server that says nothing costs each call no more than its patience, and nothing is lost."""
    host.outcomes.record(entry("a"))
    assert counts(host) == {"a": 1}
    line.hold("requests", "answers")
    began = time.monotonic()
    threads = [threading.Thread(target=lambda: host.outcomes.record(entry("a"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(host) == {"a": 5}
    check_now(host)
    assert counts(host) == {"a": 5}
    assert time.monotonic() - began < SOON
    line.mend()
    come_back(host)
    assert in_database(url) == {"a": 5}


def test_a_host_that_starts_without_its_server(line: Line, url: str, spool: Path) -> None:
    """A host can start, choose and record while its server is away; the next process moves what it left."""
    line.cut()
    with closing(open_with_fallback(line.url, patience=PATIENCE, spool=spool)) as host:
        host.outcomes.record(entry("a", outcome_id="one"))
        assert host.outcomes.record(entry("a", outcome_id="one")) is Recorded.NOTHING
        assert counts(host) == {"a": 1}
    line.mend()
    with closing(open_with_fallback(line.url, patience=PATIENCE, spool=spool)) as host:
        come_back(host)
        assert host.outcomes.record(entry("a", outcome_id="one")) is Recorded.NOTHING
    assert in_database(url) == {"a": 1}


def test_a_locked_database_is_not_a_failure(host: Store, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An outcome that would wait for others for too long is spooled, and moved in once they are done."""
    import psycopg

    host.outcomes.record(entry("a", outcome_id="one"))
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE fresh IN EXCLUSIVE MODE")
        assert host.outcomes.record(entry("a", success=False, outcome_id="one")) is Recorded.REVISED
        assert host.outcomes.record(entry("b", outcome_id="two")) is Recorded.NEW
        assert host.degraded is None
        assert host.busy
        assert counts(host) == {"a": 1, "b": 1}
    come_back(host)
    assert not host.busy
    assert logged(caplog) == []
    assert counts(host) == in_database(url) == {"a": 1, "b": 1}
    assert host.tallies.of("t")["a"].failures == 1


def test_a_failover_is_followed(line: Line, url: str, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of several servers in the URL, the next one that can be written to is used once the first is gone."""
    with line_to(url) as second:
        place, name = line.url.removeprefix("postgresql://postgres@").split("/", 1)
        other = second.url.removeprefix("postgresql://postgres@").split("/", 1)[0]
        both = f"postgresql://postgres@{place},{other}/{name}&target_session_attrs=read-write"
        with closing(open_with_fallback(both, patience=PATIENCE, spool=spool)) as host:
            host.outcomes.record(entry("a"))
            assert counts(host) == {"a": 1}
            line.cut()
            host.outcomes.record(entry("b"))
            come_back(host)
            host.outcomes.record(entry("c"))
            assert counts(host) == in_database(url) == {"a": 1, "b": 1, "c": 1}
    assert len(logged(caplog)) in {0, 2}  # none if the broken connection was noticed before it was used


def test_a_service_file_has_what_the_url_lacks(
    url: str, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL can take everything from a service of libpq."""
    lines = "\n".join(f"{name}={value}" for name, value in conninfo_to_dict(url).items())
    (tmp_path / "services").write_text(f"[memory]\n{lines}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    with closing(open_with_fallback("postgresql://?service=memory", patience=PATIENCE, spool=spool)) as host:
        host.outcomes.record(entry("a"))
        assert (host.location, host.degraded) == ("postgresql://?service=memory", None)
    assert in_database(url) == {"a": 1}


def test_a_malformed_url_is_refused_in_one_line(tmp_path: Path) -> None:
    """What cannot be a URL is an error at once, without the password in it."""
    with pytest.raises(StoreError, match="is not a valid URL") as raised:
        open_with_fallback("postgresql://me:secret@[host/db", spool=tmp_path / "x.db")
    assert "secret" not in str(raised.value)
