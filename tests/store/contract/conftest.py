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

KINDS = ("file", "memory", "fallback", "degraded", "aliases", "postgres", "postgres host")
SUSPENDED_WHILE_DEGRADED = {
    "test_ab_tests", "test_attachments", "test_changes", "test_demotions", "test_events", "test_imports", "test_merged",
    "test_reports", "test_watch_states", "test_editing",
}  # fmt: skip
"""The contracts of roles that answer from a snapshot while the database fails; test_suspended has what they do then."""


FOR_A_HOST_TOO = {"test_outcomes", "test_tallies", "test_later_tries", "test_revisions", "test_decisions"}
"""The contracts of which each test also runs on PostgreSQL with a fallback."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on each kind of store whose role keeps the whole contract."""
    if "kind" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        without = {"degraded"} if module in SUSPENDED_WHILE_DEGRADED else set()
        without |= set() if module in FOR_A_HOST_TOO else {"postgres host"}
        metafunc.parametrize("kind", [kind for kind in KINDS if kind not in without])


@pytest.fixture
def opener(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Return a function that opens a new, empty store; all are closed at the end."""
    if kind in {"postgres", "postgres host"}:
        yield from _on_postgres(request.getfixturevalue("postgres"), has_fallback=kind == "postgres host")
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


def _on_postgres(server: Server, *, has_fallback: bool) -> Iterator[OpenStore]:
    opened: dict[str, Store] = {}

    def new() -> Store:
        for url in [url for url, store in opened.items() if getattr(store.connection, "closed", False)]:
            del opened[url]
            server.take_back(url)
        url = server.empty_schema()
        opened[url] = open_with_fallback(url, patience=30.0) if has_fallback else open_store(url)
        return opened[url]

    yield new
    for store in opened.values():
        store.close()


@pytest.fixture
def store(opener: OpenStore) -> Store:
    """Return a new, empty store."""
    return opener()
