"""What the tests of the command line share: ways to run it, and stores to run it on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modelperf_plugin.cli import modelperf
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.values import Outcome

Run = Callable[..., Result]
RunJson = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away what decides about colours and widths, and give the logger back as it was."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    logger = logging.getLogger("modelperf_plugin")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def run() -> Run:
    """Return a function that runs a command in this process; its output is no terminal."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(modelperf, arguments, prog_name="modelperf", catch_exceptions=False)

    return invoke


@pytest.fixture
def run_json(run: Run) -> RunJson:
    """Return a function that runs a command with ``--json`` and returns what it printed."""

    def invoke(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
        result = run(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (exit_code, "")
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    return invoke


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Return the path of a store with outcomes of two task types."""
    path = str(tmp_path / "outcomes.db")
    with ModelPerformanceTracker(path) as tracker:
        for model_id, successes, failures in (("gpt-4o", 9, 3), ("claude-opus", 11, 1), ("llama-70b", 2, 10)):
            for number in range(successes + failures):
                outcome = Outcome(success=number < successes, tokens_used=1000, cost_usd=0.01)
                tracker.record_outcome("execute-task", model_id, outcome)
        tracker.record_outcome("plan-slice", "gpt-4o", Outcome(success=False, timeout=True))
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)  # so that nobody is paused for it now
        outage = Outcome(success=False, error_kind="rate_limit", timestamp=an_hour_ago)
        tracker.record_outcome("plan-slice", "gpt-4o", outage)
    return path
