"""A provider with models that fail, and an engine that takes its models in the order in which they are offered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import IN_ORDER


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Return a provider on this machine; the usual variables of clients point to it."""
    with Provider() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database is."""
    return tmp_path / "models.db"


@pytest.fixture
def perf(path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine that does not explore."""
    with mp.ModelPerf(IN_ORDER, store=path, seed=1) as engine:
        yield engine
