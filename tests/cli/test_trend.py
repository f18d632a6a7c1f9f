"""``trend``, ``watch`` and ``--csv``."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.cli.terminal_text import bars, change
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.values import Outcome
from tests.cli.conftest import Run, RunJson
from tests.cli.processes import Terminal


@pytest.fixture
def weeks(tmp_path: Path) -> str:
    """Return a store with three weeks of outcomes."""
    path = str(tmp_path / "weeks.db")
    now = datetime.now(UTC)
    with ModelPerformanceTracker(path) as tracker:
        for day in range(21):
            for model_id, rate in (("gpt-4o", 3), ("[red]x", 1)):
                for number in range(4):
                    moment = now - timedelta(days=day)
                    outcome = Outcome(success=number < rate, cost_usd=0.01, timestamp=moment)
                    tracker.record_outcome("plan", model_id, outcome)
        tracker.record_outcome("build", "gpt-4o", Outcome(success=True, timestamp=now))
    return path


def records(text: str) -> list[dict[str, str]]:
    """Return the records of a CSV answer."""
    return list(csv.DictReader(io.StringIO(text)))


def test_a_trend_has_one_line_for_each_task_type(run: Run, weeks: str) -> None:
    """With bars for the days, the busiest first; a dot is a day without outcomes."""
    lines = run("trend", "--store", weeks, "--days", "7").stdout.splitlines()
    assert "57 outcomes" in lines[0]
    assert lines[3].split()[:2] == ["plan", "▅▅▅▅▅▅▅"]
    assert lines[4].split()[:2] == ["build", "······█"]


def test_a_trend_of_a_task_type_has_one_line_for_each_model(run: Run, weeks: str) -> None:
    """With the difference to the days before; hostile names are text."""
    text = run("trend", "plan", "--store", weeks, "--days", "7").stdout
    assert "[red]x" in text
    assert "75.0 %" in text
    assert "+0.0" in text
    only = run("trend", "plan", "--model", "gpt-4o", "--store", weeks, "--days", "7").stdout
    assert "[red]x" not in only


def test_a_trend_as_json(run_json: RunJson, weeks: str) -> None:
    """Every step with its counts; the totals are their sums."""
    answer = run_json("trend", "plan", "--store", weeks, "--days", "5")
    assert answer["period"]["days"] == 5
    trends: list[dict[str, Any]] = answer["trends"]
    assert {(each["task_type"], each["model_id"]) for each in trends} == {("plan", "gpt-4o"), ("plan", "[red]x")}
    for each in trends:
        assert len(each["points"]) == 5
        assert sum(point["successes"] for point in each["points"]) == each["total"]["successes"]


def test_a_trend_as_csv(run: Run, weeks: str) -> None:
    """One record for each model and day with outcomes."""
    rows = records(run("trend", "plan", "--store", weeks, "--days", "5", "--csv").stdout)
    assert len(rows) == 10
    assert {row["success_rate"] for row in rows} == {"0.75", "0.25"}


@pytest.mark.parametrize("command", [["stats"], ["rank", "plan"], ["decisions"], ["demotions"], ["changes"]])
def test_tables_come_as_csv(run: Run, weeks: str, command: list[str]) -> None:
    """A head, and one record for each line of the table; names are kept as they are."""
    result = run(*command, "--store", weeks, "--csv")
    if command == ["decisions"]:
        assert (result.exit_code, result.stdout) == (1, "")
        return
    assert result.exit_code == 0
    rows = records(result.stdout)
    assert len(rows) == {"stats": 3, "rank": 2}.get(command[0], 0)
    assert {"[red]x", "gpt-4o"} == {row["model_id"] for row in rows} or not rows


def test_an_answer_is_json_or_csv(run: Run, weeks: str) -> None:
    """Not both."""
    result = run("stats", "--store", weeks, "--csv", "--json")
    assert result.exit_code == 2
    assert "choose one" in result.stderr


def test_nothing_to_show_is_a_finding(run: Run, run_json: RunJson, weeks: str, tmp_path: Path) -> None:
    """An unknown task type names the known ones; a period without outcomes and a missing file say so."""
    assert "known are: plan" in run("trend", "plam", "--store", weeks).stderr
    assert run_json("trend", "plam", "--store", weeks, exit_code=1)["trends"] == []
    assert "no outcomes of model 'nobody'" in run("trend", "--model", "nobody", "--store", weeks).stderr
    missing = tmp_path / "missing.db"
    assert run("trend", "--store", str(missing)).exit_code == 1
    assert not missing.exists()


@pytest.mark.parametrize("days", ["0", "4000", "x"])
def test_days_must_make_sense(run: Run, weeks: str, days: str) -> None:
    """From 1 to 3,660."""
    assert run("trend", "--store", weeks, "--days", days).exit_code == 2


def test_bars_are_on_one_scale() -> None:
    """From 0 to 100 %, whatever the other values are."""
    assert bars([0.0, 0.5, 1.0, None]) == "▁▅█·"
    assert [change(each) for each in (None, 0.0, 0.012, -0.012)] == ["-", "+0.0", "▲ +1.2", "▼ -1.2"]


def test_watch_shows_what_is_there_until_it_is_interrupted(weeks: str) -> None:
    """On a terminal; Ctrl-C ends it as it ends any command."""
    terminal = Terminal("watch", "--store", weeks, "--every", "0.2", columns=120)
    terminal.wait_for("169 outcomes")
    terminal.wait_for("newest outcome")
    with ModelPerformanceTracker(weeks) as tracker:
        tracker.record_outcome("plan", "gpt-4o", Outcome(success=True))
    terminal.wait_for("170 outcomes")
    terminal.interrupt()
    code, _ = terminal.finish()
    assert code == 130


def test_watch_needs_a_terminal(run: Run, weeks: str) -> None:
    """Elsewhere it says what to use instead."""
    result = run("watch", "--store", weeks)
    assert result.exit_code == 2
    assert "modelperf trend" in result.stderr
