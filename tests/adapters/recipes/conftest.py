"""A provider on this machine is all that recipes may reach, and their models are tried in order."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider

pytest.register_assert_rewrite("tests.adapters.recipes.page")

QUIET: Final = {
    "ANONYMIZED_TELEMETRY": "False",  # chromadb, of crewai
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}
"""What keeps the frameworks from calling home."""
LOCAL: Final = {"127.0.0.1", "localhost", "::1", None}


@pytest.fixture(autouse=True)
def reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: Provider) -> Iterator[list[str]]:
    """Keep frameworks at home; a test fails if one looks up another machine."""
    hosts: list[str] = []
    look_up = socket.getaddrinfo

    def local_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in LOCAL:
            hosts.append(str(host))
            raise socket.gaierror(f"no network in tests: {host}")
        return look_up(host, *args, **kwargs)

    for name, value in {**QUIET, "OPENAI_API_BASE": provider.url, "DSPY_CACHEDIR": str(tmp_path / "dspy")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path / "crewai"))
    monkeypatch.setattr(socket, "getaddrinfo", local_only)
    if "litellm" in sys.modules:  # crewai sets it for the whole process
        monkeypatch.setattr("litellm.drop_params", False)
    yield hosts
    provider.is_closing.set()  # calls that were abandoned end now, and not in the next test
    for thread in threading.enumerate():
        if thread.name == "modelperf-call":
            thread.join(30.0)
    gc.collect()  # what a framework leaves open is reported here, and not in the next test
    assert hosts == []


@pytest.fixture
def perf(path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine that only records, so that models are tried as they are listed."""
    with mp.ModelPerf({"mode": "observe"}, store=path) as engine:
        yield engine
