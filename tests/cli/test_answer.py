"""Answers as tables, JSON or CSV, with names from elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from tests.cli.conftest import Run, RunJson, csv_records
from tests.cli.processes import Terminal


@pytest.mark.parametrize("command", [["stats"], ["rank", "plan"], ["decisions"], ["demotions"], ["changes"]])
def test_tables_come_as_csv(run: Run, weeks: str, command: list[str]) -> None:
    """A header, then one record per row of the table, with names unchanged."""
    result = run(*command, "--store", weeks, "--csv")
    if command == ["decisions"]:
        assert (result.exit_code, result.stdout) == (1, "")
        return
    assert result.exit_code == 0
    rows = csv_records(result.stdout)
    assert len(rows) == {"stats": 3, "rank": 2}.get(command[0], 0)
    assert {"[red]x", "gpt-4o"} == {row["model_id"] for row in rows} or not rows


def test_an_answer_is_json_or_csv(run: Run, weeks: str) -> None:
    """Not both."""
    result = run("stats", "--store", weeks, "--csv", "--json")
    assert result.exit_code == 2
    assert "choose one" in result.stderr


TASK = "[bold]task[/bold]"
NAMES = ["[red]boo[/red]", "[/]", ":smile:", "通义千问", "two  spaces", "-dash", "{x}", "%s", "é"]


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """Return a store with names that look like markup, options and formats."""
    path = str(tmp_path / "hostile.db")
    with ModelPerformanceTracker(path) as tracker:
        for name in [*NAMES, "left\u202eright", "x" * 512]:
            tracker.record_outcome(TASK, name, {"success": True})
    return path


@pytest.mark.parametrize("command", [["stats"], ["rank", TASK], ["explain", TASK], ["doctor"]])
def test_markup_is_text(run: Run, hostile: str, command: list[str]) -> None:
    """Every name is printed as it is, however much it looks like something else."""
    result = run(*command, "--store", hostile)
    assert result.exit_code == 0
    assert TASK in result.stdout
    for name in NAMES if command != ["doctor"] else []:
        assert name in result.stdout


def test_nothing_is_cut_off_outside_a_terminal(run: Run, hostile: str) -> None:
    """The longest name there can be is there in full, and so is the line behind it."""
    line = next(line for line in run("rank", TASK, "--store", hostile).stdout.splitlines() if "xxx" in line)
    assert "x" * 512 in line
    assert line.endswith("(1 of 1 succeeded)")


def test_a_terminal_is_never_overrun(hostile: str) -> None:
    """On a terminal long names are broken into lines, and all of them is there."""
    code, text = Terminal("stats", "--store", hostile).finish()
    assert code == 0
    assert text.count("x") >= 512
    assert "[red]boo[/red]" in text


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize("command", [("stats",), ("rank", "plan-and-build"), ("explain", "plan-and-build")])
def test_a_narrow_terminal_breaks_no_names_and_numbers(tmp_path: Path, columns: int, command: tuple[str, ...]) -> None:
    """Columns that have no room go into further tables, each with the names."""
    path, name = str(tmp_path / "long.db"), "llama-3.1-405b-instruct"
    with ModelPerformanceTracker(path) as tracker:
        for n in range(40):
            outcome = {"success": n % 3 > 0, "cost_usd": 12.34, "duration_seconds": 754.0, "tokens_used": 123456}
            tracker.record_outcome("plan-and-build", name, outcome)
    code, text = Terminal(*command, "--store", path, columns=columns).finish()
    assert code == 0
    assert text.count(name) >= 2
    for whole in ("median time", "$493.60", "65.0 %") if command == ("stats",) else ("outcomes", "score", "(26"):
        assert whole in text
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= columns


def test_control_characters_are_escaped(run: Run, run_json: RunJson, hostile: str) -> None:
    """Direction marks, and control characters that another program wrote to the database, are escaped."""
    with closing(sqlite3.connect(hostile)) as connection:
        connection.execute("DROP TRIGGER model_outcomes_insert")  # whatever it forbids
        connection.execute("UPDATE tally SET model_id = 'evil' || char(27) || '[2J' WHERE model_id = '%s'")
        connection.commit()
    text = run("stats", "--store", hostile).stdout
    assert "evil\\x1b[2J" in text
    assert "left\\u202eright" in text
    assert not {"\x1b", "\u202e"} & set(text)
    models = {tally["model_id"] for tally in run_json("stats", "--store", hostile)["tallies"]}
    assert {"evil\x1b[2J", "left\u202eright"} <= models


def test_a_task_type_may_look_like_an_option(run: Run, store: str) -> None:
    """After -- every argument is a name."""
    result = run("rank", "--store", store, "--", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no outcomes of task type '--json'" in result.stderr
