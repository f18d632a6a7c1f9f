"""The page about sharing a server, on a server."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, open_store, open_to_read
from tests.docs.pages import DOCS, text_of
from tests.postgres import OwnServer
from tests.store.contract.examples import unsound

PAGE = DOCS / "how-to" / "fleet.md"
UrlOf = Callable[..., str]


@pytest.fixture(scope="module")
def url_of(own_server: OwnServer) -> UrlOf:
    """Return the URL of a role, after preparing the database as the page says."""
    import psycopg

    statements = re.findall(r"<<'SQL'\n(.*?)^SQL$", text_of(PAGE), re.DOTALL | re.MULTILINE)
    own_server.sql("CREATE DATABASE agents")

    def url(role: str, database: str = "agents") -> str:
        return re.sub("//[^@]*@/postgres", f"//{role}@/{database}", own_server.url)

    with psycopg.connect(url("postgres")) as connection:
        connection.execute("".join(statements).encode())
    with pytest.raises(StoreError, match="permission denied"):
        open_store(url("modelperf_host"))
    mp.ModelPerformanceTracker(url("modelperf_owner")).close()
    return url


def use(url: str, folder: Path) -> None:
    """Choose and record."""
    with mp.ModelPerf({"store": {"path": str(folder / "x.db")}}, store=url, seed=1) as engine:
        decision = engine.select("qa", ["a", "b"])
        assert decision is not None
        assert engine.record("qa", decision.model_id, mp.Outcome(success=True), decision)
        assert engine.store.degraded is None


def counted(url: str) -> int:
    """Return how many outcomes a reader sees."""
    with closing(open_to_read(url)) as store:
        return sum(tally.samples for tally in store.tallies.all())


def test_each_role_has_the_rights_that_it_needs(url_of: UrlOf, tmp_path: Path) -> None:
    """As the page says: the owner creates the tables, a host records, a reader reads, and neither may do more."""
    import psycopg

    host, reader = url_of("modelperf_host"), url_of("modelperf_reader")
    use(host, tmp_path)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(host) as connection:
        connection.execute("DROP TABLE event")
    assert counted(reader) == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(reader) as connection:
        connection.execute("DELETE FROM event")


def test_a_host_goes_on_with_a_copy(
    url_of: UrlOf, own_server: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy made by the commands of the page has everything, and takes more by the same roles."""
    use(url_of("modelperf_host"), tmp_path)
    before = counted(url_of("modelperf_reader"))
    monkeypatch.setenv("PGHOST", str(own_server.data))
    monkeypatch.setenv("PGUSER", "postgres")
    section = text_of(PAGE).partition("\n## Backup\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["pg_dump", "createdb", "pg_restore"]
    for command in commands:
        program, *arguments = shlex.split(command)
        subprocess.run([own_server.programs / program, *arguments], check=True, cwd=tmp_path)
    use(url_of("modelperf_host", "agents_copy"), tmp_path)
    assert counted(url_of("modelperf_reader", "agents_copy")) == before + 1
    assert counted(url_of("modelperf_reader")) == before
    with closing(open_store(url_of("modelperf_owner", "agents_copy"))) as store:
        assert unsound(store) == []


def test_a_host_makes_and_drops_partitions_and_a_reader_does_not(url_of: UrlOf) -> None:
    """A host needs no right to create tables; a reader can neither ask for a change nor misuse the owner's function."""
    import psycopg

    with psycopg.connect(url_of("modelperf_owner")) as connection:
        connection.execute("UPDATE progress SET partition_size = 100, last_event_id = 9999999")
    with closing(open_store(url_of("modelperf_host"))) as store:
        store.outcomes.record_many([Entry("old", "m", mp.Outcome(success=True), 1000)] * 250)
        assert store.events.last_id() == 9_999_999 + 250
    with psycopg.connect(url_of("modelperf_reader"), autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE event_partition AS "
            "SELECT first_id, end_id, newest_ms, counted_to, revision, tried, true AS is_over FROM event_partition"
        )
        connection.execute("SET search_path = pg_temp, modelperf")
        connection.execute("SELECT follow_partitions()")
        assert connection.execute("SELECT count(*) FROM event WHERE ended_ms = 1000").fetchone() == (250,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE modelperf.event_partition SET is_over = true")
    with closing(open_store(url_of("modelperf_host"))) as store:
        for _ in range(3):
            store.events.drop(2000)
        assert [event.event_id for event in store.events.after(9_999_999, 10)] == [9_999_999 + 250]
        assert {tally.task_type: tally.samples for tally in store.tallies.all()}["old"] == 250
    with psycopg.connect(url_of("modelperf_owner")) as connection:
        assert connection.execute("SELECT to_regclass('event_10000000')").fetchone() == (None,)
