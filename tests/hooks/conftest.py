"""A fresh host and a fresh store for every test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pluggy
import pytest

import modelperf_plugin as mp


class Register(Protocol):
    """Registers the plugin with a host, by default over the store of the test; it is closed at the end."""

    def __call__(self, pm: pluggy.PluginManager, config: Any = None, **options: Any) -> mp.Plugin: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store of the test will be."""
    return tmp_path / "store" / "performance.db"


@pytest.fixture
def pm() -> pluggy.PluginManager:
    """Return the plugin manager of a host that has declared nothing."""
    return pluggy.PluginManager("somehost")


@pytest.fixture
def register(path: Path) -> Iterator[Register]:
    """Return ``modelperf_plugin.register``, with the store of the test unless another is given."""
    with ExitStack() as opened:

        def _register(pm: pluggy.PluginManager, config: Any = None, **options: Any) -> mp.Plugin:
            plugin = mp.register(pm, {} if config is None else config, **{"store": path} | options)
            opened.callback(plugin.close)
            return plugin

        yield _register
