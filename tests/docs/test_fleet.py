"""The page about sharing a server, on a server."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, open_store, open_to_read
from tests.docs.pages import DOCS, text_of
from tests.postgres import OwnServer


@pytest.fixture(scope="module")
def roles(own_server: OwnServer) -> dict[str, str]:
    """Return the URLs of the roles that the page prepares, of which the owner has opened the store."""
    statements = re.findall(r"<<'SQL'\n(.*?)^SQL$", text_of(DOCS / "how-to" / "fleet.md"), re.DOTALL | re.MULTILINE)
    own_server.sql(*[each for each in "".join(statements).split(";\n") if each.strip()])
    urls = {role: re.sub("//[^@]*@", f"//modelperf_{role}@", own_server.url) for role in ("owner", "host", "reader")}
    with pytest.raises(StoreError, match="permission denied"):
        open_store(urls["host"])
    mp.ModelPerformanceTracker(urls["owner"]).close()
    return urls


def test_each_role_has_the_rights_that_it_needs(roles: dict[str, str]) -> None:
    """As the page says: the owner creates the tables, a host records, a reader reads, and neither may do more."""
    import psycopg

    with mp.ModelPerf(store=roles["host"], seed=1) as engine:
        decision = engine.select("qa", ["a", "b"])
        assert decision is not None
        assert engine.record("qa", decision.model_id, mp.Outcome(success=True), decision)
        assert engine.store.degraded is None
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(roles["host"]) as connection:
        connection.execute("DROP TABLE event")
    with closing(open_to_read(roles["reader"])) as store:
        assert [tally.samples for tally in store.tallies.all()] == [1]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(roles["reader"]) as connection:
        connection.execute("DELETE FROM event")


def test_a_host_makes_and_drops_partitions_and_a_reader_does_not(roles: dict[str, str]) -> None:
    """A host needs no right to create tables; a reader can neither ask for a change nor misuse the owner's function."""
    import psycopg

    with psycopg.connect(roles["owner"]) as connection:
        connection.execute("UPDATE progress SET partition_size = 100, last_event_id = 9999999")
    with closing(open_store(roles["host"])) as store:
        store.outcomes.record_many([Entry("old", "m", mp.Outcome(success=True), 1000)] * 250)
        assert store.events.last_id() == 9_999_999 + 250
    with psycopg.connect(roles["reader"], autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE event_partition AS "
            "SELECT first_id, end_id, newest_ms, counted_to, revision, tried, true AS is_over FROM event_partition"
        )
        connection.execute("SET search_path = pg_temp, modelperf")
        connection.execute("SELECT follow_partitions()")
        assert connection.execute("SELECT count(*) FROM event WHERE ended_ms = 1000").fetchone() == (250,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE modelperf.event_partition SET is_over = true")
    with closing(open_store(roles["host"])) as store:
        for _ in range(3):
            store.events.drop(2000)
        assert [event.event_id for event in store.events.after(9_999_999, 10)] == [9_999_999 + 250]
        assert {tally.task_type: tally.samples for tally in store.tallies.all()}["old"] == 250
    with psycopg.connect(roles["owner"]) as connection:
        assert connection.execute("SELECT to_regclass('event_10000000')").fetchone() == (None,)
