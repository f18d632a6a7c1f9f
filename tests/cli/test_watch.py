"""``watch``: live output on a terminal."""

from __future__ import annotations

from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.values import Outcome
from tests.cli.conftest import Run
from tests.cli.processes import Terminal


def test_watch_shows_what_is_there_until_it_is_interrupted(weeks: str) -> None:
    """Updates until Ctrl-C, which ends it quietly with exit code 0."""
    terminal = Terminal("watch", "--store", weeks, "--every", "0.2", columns=120)
    terminal.wait_for("169 outcomes")
    terminal.wait_for("newest outcome")
    with ModelPerformanceTracker(weeks) as tracker:
        tracker.record_outcome("plan", "gpt-4o", Outcome(success=True))
    terminal.wait_for("170 outcomes")
    terminal.interrupt()
    code, text = terminal.finish()
    assert (code, "interrupted" in text) == (0, False)


def test_watch_needs_a_terminal(run: Run, weeks: str) -> None:
    """Without a terminal, the message names other commands."""
    result = run("watch", "--store", weeks)
    assert result.exit_code == 2
    assert "modelperf trend" in result.stderr
