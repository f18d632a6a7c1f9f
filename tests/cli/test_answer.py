"""Answers as tables, JSON or CSV, with names from elsewhere."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from modelperf_plugin.store import LoggedDecision, open_store
from tests.cli.conftest import Run, RunJson, csv_records
from tests.cli.processes import Terminal, run_process


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
    assert "(1 of 1 succeeded" in line


def test_a_terminal_is_never_overrun(hostile: str) -> None:
    """On a terminal long names are broken into lines, and all of them is there."""
    code, text = Terminal("stats", "--store", hostile).finish()
    assert code == 0
    assert text.count("x") >= 512
    assert "[red]boo[/red]" in text


LONG_MODEL = "us.anthropic.claude-3-5-sonnet-20241022-v2:0"
WIDTHS = pytest.mark.parametrize("columns", [60, 80, 100])


@pytest.fixture
def long_names(tmp_path: Path) -> str:
    """Return a store with long names, many counts, and a decision log."""
    path = str(tmp_path / "long.db")
    with mp.ModelPerf({}, store=path, seed=1) as perf:
        for n in range(40):
            decision = perf.select("plan-and-build-everything", [LONG_MODEL, "gpt-4o"])
            assert decision is not None
            outcome = mp.Outcome(success=n % 3 > 0, cost_usd=12.34, duration_seconds=754.0, tokens_used=123456)
            perf.record("plan-and-build-everything", decision[0], outcome, decision)
    return path


@WIDTHS
@pytest.mark.parametrize(
    "command",
    ["stats", "rank plan-and-build-everything", "explain plan-and-build-everything", "decisions", "trend",
     "trend plan-and-build-everything", "compare plan-and-build-everything gpt-4o " + LONG_MODEL],
)  # fmt: skip
def test_a_narrow_terminal_breaks_no_name_and_no_line(long_names: str, columns: int, command: str) -> None:
    """Every id and model is on one line as a whole, and no line is wider than the terminal."""
    code, text = Terminal(*command.split(), "--store", long_names, columns=columns).finish()
    assert code == 0
    lines = text.replace(long_names, "").splitlines()
    assert max(map(len, lines)) <= columns
    shown = re.findall(r"\bus\.[\w.:-]*", "\n".join(lines))
    assert set(shown) == ({LONG_MODEL} if command != "trend" else set())
    if command == "decisions":
        ids = {row.decision_id for row in newest(long_names)}
        assert {word for word in text.split() if word in ids} == ids


def newest(path: str) -> list[LoggedDecision]:
    """Return the newest decisions of a store."""
    with closing(open_store(path)) as store:
        return store.decisions.newest(limit=20)


@WIDTHS
def test_what_has_no_room_is_named(long_names: str, columns: int) -> None:
    """A table has one header; columns that have no room are left out, with a note."""
    _, text = Terminal("stats", "--store", long_names, columns=columns).finish()
    assert text.count("task type / model") == 1
    header, _, note = text.partition("no room for: ")
    missing = " ".join(note.split("\n\n")[0].split()).split(", ")
    for title in ("outcomes", "success", "failed", "cost", "$/success", "timeouts", "tokens", "last 14 days"):
        assert (title in missing) != (title in header)


def test_empty_columns_are_left_out_on_a_terminal(weeks: str) -> None:
    """What is unknown or empty in every row takes no room; elsewhere every column is there."""
    piped = run_process("trend", "--store", weeks, "--days", "30")
    assert "before" in piped.stdout
    _, text = Terminal("trend", "--store", weeks, "--days", "30", columns=200).finish()
    assert "$/success" in text
    assert "before" not in text
    assert "no room" not in text


def test_a_terminal_too_narrow_for_names_lists_each_row(long_names: str) -> None:
    """Where names do not fit side by side, a row is a list of all its values."""
    _, text = Terminal("decisions", "--store", long_names, "--limit", "2", columns=60).finish()
    assert [line.split()[0] for line in text.partition("\n\n")[2].splitlines() if line[:1].strip()] == [
        "decision", "made", "task", "model", "chosen", "outcome", "reason",
    ] * 2  # fmt: skip


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
