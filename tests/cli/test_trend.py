"""``trend``: success rates over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, RunJson, csv_records
from tests.retrying import Retried


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
    rows = csv_records(run("trend", "plan", "--store", weeks, "--days", "5", "--csv").stdout)
    assert len(rows) == 10
    assert {row["success_rate"] for row in rows} == {"0.75", "0.25"}


def test_nothing_to_show_is_a_negative_finding(run: Run, run_json: RunJson, weeks: str, tmp_path: Path) -> None:
    """An unknown task type, a period without outcomes and a missing file each have a note."""
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


def test_a_trend_says_that_all_tries_count(run: Run, weeks: str, retried: tuple[str, Retried]) -> None:
    """Once there are later tries; without them there is nothing to say."""
    note = "all tries count alike, also on tasks that other models had failed"
    for arguments in ([], ["fix-bug"]):
        assert note in run("trend", *arguments, "--store", retried[0]).stdout
    assert note not in run("trend", "--store", weeks).stdout
