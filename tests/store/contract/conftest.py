"""The stores that the contract tests run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelperf_plugin.store import Store, open_store, open_with_fallback
from modelperf_plugin.store.aliases.store import with_aliases
from modelperf_plugin.values.names import Aliases
from tests.postgres import Server
from tests.store.contract.examples import OpenStore

KINDS = ("file", "memory", "fallback", "degraded", "aliases", "postgres")
SUSPENDED_WHILE_DEGRADED = {
    "test_ab_tests", "test_attachments", "test_changes", "test_demotions", "test_events", "test_imports", "test_merged",
    "test_reports", "test_watch_states",
}  # fmt: skip
"""The contracts of roles that answer from a snapshot while the database fails; test_suspended has what they do then."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on each kind of store whose role keeps the whole contract."""
    if "kind" in metafunc.fixturenames:
        suspended = metafunc.module.__name__.rpartition(".")[2] in SUSPENDED_WHILE_DEGRADED
        metafunc.parametrize("kind", [kind for kind in KINDS if kind != "degraded" or not suspended])


@pytest.fixture
def opener(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Return a function that opens a new, empty store; all are closed at the end."""
    if kind == "postgres":
        yield from _on_postgres(request.getfixturevalue("postgres"))
        return
    opened: list[Store] = []

    def new() -> Store:
        location = ":memory:" if kind == "memory" else str(tmp_path / f"{len(opened)}.db")
        if kind == "degraded":  # the folder is a file: there can be no database
            location = str(tmp_path / f"no-folder-{len(opened)}" / "outcomes.db")
            Path(location).parent.write_text("")
        store = open_with_fallback(location) if kind in {"fallback", "degraded"} else open_store(location)
        opened.append(
            with_aliases(store, Aliases({"an alias of a": "a", "another of b": "b"})) if kind == "aliases" else store
        )
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def _on_postgres(server: Server) -> Iterator[OpenStore]:
    from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres

    opened: dict[str, PostgresStore] = {}

    def new() -> Store:
        for url in [url for url, store in opened.items() if store.connection.closed]:
            del opened[url]
            server.take_back(url)
        url = server.empty_schema()
        opened[url] = open_postgres(url)
        return opened[url]

    yield new
    for store in opened.values():
        store.close()


@pytest.fixture
def store(opener: OpenStore) -> Store:
    """Return a new, empty store."""
    return opener()
