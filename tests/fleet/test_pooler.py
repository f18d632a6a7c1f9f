"""Hosts that reach their PostgreSQL server by way of PgBouncer; skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import open_store, open_to_read
from tests.fleet.test_postgres import is_back, logged, wait_until
from tests.hooks.hosts import samples
from tests.postgres import OwnServer
from tests.store.contract.examples import entry, unsound

psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres.store import open_postgres  # noqa: E402

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
POOL = 3
"""Connections to the server for each role: fewer than its hosts open."""
SETTINGS = ("lock_timeout", "statement_timeout", "synchronous_commit", "default_transaction_read_only")


@pytest.fixture
def role(own_server: OwnServer) -> Iterator[str]:
    """Return the name of a role with a schema of its own: poolers pass on no `options`."""
    name = f"pooled_{time.monotonic_ns()}"
    own_server.sql(
        f"CREATE ROLE {name} LOGIN", f"CREATE SCHEMA {name} AUTHORIZATION {name}",
        f"ALTER ROLE {name} SET search_path = {name}",
    )  # fmt: skip
    yield name
    own_server.sql(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@contextmanager
def pooler(server: OwnServer, role: str, mode: str, pool: int = POOL) -> Iterator[str]:
    """Yield the URL of a database by way of a new pooler."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed")
    with tempfile.TemporaryDirectory(prefix="modelperf-pooler-") as name:
        folder = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        (folder / "users").write_text(f'"{role}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server.data}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"unix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\npool_mode = {mode}\n"
            f"default_pool_size = {pool}\nserver_login_retry = 1\n"
        )
        user = server.user if os.geteuid() == 0 else None
        for each in (folder, *folder.iterdir()):
            shutil.chown(each, user or os.geteuid())
        process = subprocess.Popen(
            [PROGRAM, "-q", str(folder / "pgbouncer.ini")],
            user=user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: _answers(port))
            yield f"postgresql://{role}@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def work(engine: mp.ModelPerf, times: int) -> None:
    """Choose and record."""
    for _ in range(times):
        decision = engine.select("plan", ["a", "b"])
        assert decision is not None
        assert engine.record("plan", decision.model_id, mp.Outcome(success=True), decision)


@pytest.mark.parametrize(("mode", "pool"), [("session", 30), ("transaction", POOL)])
def test_hosts_share_a_pool(
    own_server: OwnServer, role: str, mode: str, pool: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More hosts than connections lose and invent nothing, and no other client gets their settings."""
    with pooler(own_server, role, mode, pool) as url:
        with psycopg.connect(url, autocommit=True) as client:
            before = [client.execute(f"SHOW {name}").fetchone() for name in SETTINGS]
        with ExitStack() as opened:
            hosts = [
                opened.enter_context(mp.ModelPerf({"store": {"path": str(tmp_path / f"{number}.db")}}, store=url))
                for number in range(2 * POOL)
            ]
            threads = [threading.Thread(target=work, args=(host, 30)) for host in hosts for _ in range(2)]
            for thread in threads:
                thread.start()
            with closing(open_to_read(url)) as reader:
                while any(thread.is_alive() for thread in threads):
                    reader.tallies.all()
            for thread in threads:
                thread.join()
            if mode == "transaction":
                with psycopg.connect(url, autocommit=True) as client:
                    for _ in range(POOL):
                        assert [client.execute(f"SHOW {name}").fetchone() for name in SETTINGS] == before
            assert sum(samples(hosts[0]).values()) == 60 * len(hosts)
        with closing(open_store(url)) as store:
            assert unsound(store) == []
            logged_decisions = store.decisions.summary(0).total
            assert logged_decisions.with_outcome == logged_decisions.decisions == 60 * len(hosts)
    assert logged(caplog) == []


def test_what_waits_too_long_is_told(own_server: OwnServer, role: str) -> None:
    """The time limits of a call hold for its own transaction."""
    with pooler(own_server, role, "transaction") as url, closing(open_postgres(url, patience=0.3)) as store:
        store.outcomes.record(entry())
        own_server.sql(f"ALTER TABLE {role}.fresh RENAME TO gone")
        with pytest.raises(StoreError, match="lacks a part of the schema"):
            store.outcomes.record(entry())
        own_server.sql(f"ALTER TABLE {role}.gone RENAME TO fresh")
        with psycopg.connect(own_server.url) as other:
            other.execute(f"LOCK TABLE {role}.fresh IN EXCLUSIVE MODE".encode())
            with pytest.raises(StoreError, match="kept busy by others"):
                store.outcomes.record(entry())
        store.outcomes.record(entry())
        with closing(open_postgres(url, read_only=True)) as reader, pytest.raises(StoreError, match="read-only"):
            reader.connection.fetch("DELETE FROM fresh RETURNING 1")
        assert store.events.last_id() == 2


def test_a_server_that_stops_behind_the_pooler_loses_nothing(own_server: OwnServer, role: str, tmp_path: Path) -> None:
    """The connection to the pooler stays open, so commits wait for the server's disk, whatever `durability` says."""
    config = {"store": {"patience_seconds": 0.5, "path": str(tmp_path / "x.db")}}
    with pooler(own_server, role, "transaction") as url:
        with mp.ModelPerf(config, store=url) as host:
            work(host, 20)
            own_server.stop()
            try:
                work(host, 5)
            finally:
                own_server.start()
            wait_until(lambda: is_back(host))
            work(host, 5)
            assert sum(samples(host).values()) == 30
        with closing(open_store(url)) as store:
            assert unsound(store) == []
            assert store.events.last_id() == 30


def test_statement_mode_is_refused_in_one_line(
    own_server: OwnServer, role: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without transactions of several statements the tables cannot be created."""
    config = {"store": {"path": str(tmp_path / "x.db")}}
    with pooler(own_server, role, "statement") as url, mp.ModelPerf(config, store=url) as host:
        work(host, 3)
        (line,) = logged(caplog)
        assert "transaction blocks not allowed in statement pooling mode" in line
        assert sum(samples(host).values()) == 3
