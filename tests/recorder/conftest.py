"""An engine on a file, whose models come in the order in which they are offered until there is evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.recorder.world import IN_ORDER


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database is."""
    return tmp_path / "models.db"


@pytest.fixture
def perf(path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine that does not explore."""
    with mp.ModelPerf(IN_ORDER, store=path, seed=1) as engine:
        yield engine
