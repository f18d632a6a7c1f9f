"""A clock that tests advance, and an engine on it whose evidence fades."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.clocks import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at noon."""
    return FakeClock()


@pytest.fixture
def perf(tmp_path: Path, clock: FakeClock) -> Iterator[mp.ModelPerf]:
    """Return an engine on that clock with a half-life of ten days and no shared evidence."""
    config = {"drift": {"half_life_days": 10, "detect": False}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", clock=clock, seed=0) as engine:
        yield engine
