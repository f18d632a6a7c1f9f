"""The page about sharing a server, on a server."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import open_store, open_to_read
from tests.docs.pages import DOCS, text_of
from tests.postgres import OwnServer


def test_each_role_has_the_rights_that_it_needs(own_server: OwnServer) -> None:
    """As the page says: the owner creates the tables, a host records, a reader reads, and neither may do more."""
    import psycopg

    statements = re.findall(r"<<'SQL'\n(.*?)^SQL$", text_of(DOCS / "how-to" / "fleet.md"), re.DOTALL | re.MULTILINE)
    own_server.sql(*[each for each in "".join(statements).split(";\n") if each.strip()])
    owner, host, reader = (
        re.sub("//[^@]*@", f"//modelperf_{role}@", own_server.url) for role in ("owner", "host", "reader")
    )
    with pytest.raises(StoreError, match="permission denied"):
        open_store(host)
    mp.ModelPerformanceTracker(owner).close()
    with mp.ModelPerf(store=host, seed=1) as engine:
        decision = engine.select("qa", ["a", "b"])
        assert decision is not None
        assert engine.record("qa", decision.model_id, mp.Outcome(success=True), decision)
        assert engine.store.degraded is None
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(host) as connection:
        connection.execute("DROP TABLE event")
    with closing(open_to_read(reader)) as store:
        assert [tally.samples for tally in store.tallies.all()] == [1]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(reader) as connection:
        connection.execute("DELETE FROM event")
