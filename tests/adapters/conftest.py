"""A provider with models that fail, and an engine that takes its models in the order in which they are offered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.provider import Provider
from tests.recorder.conftest import path, perf

__all__ = ["path", "perf", "provider"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Return a provider on this machine; the usual variables of clients point to it."""
    with Provider() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server
