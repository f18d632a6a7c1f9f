"""The command as a whole: its help, its exit codes, its two outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelperf_plugin.cli import modelperf
from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, Terminal, run_process

READING = [
    ["stats"],
    ["rank", "execute-task"],
    ["explain", "execute-task", "--candidates", "gpt-4o,claude-opus"],
    ["doctor"],
]


def test_every_command_is_in_the_help_in_one_unbroken_line(run: Run) -> None:
    """The help lists every command once, in a group, with a description that fits into a terminal of 80 columns."""
    result = run("--help")
    assert result.exit_code == 0
    listed = result.stdout.partition("Get started:")[2]
    for name in modelperf.commands:
        assert listed.count(f"\n  {name} ") == 1
    assert "..." not in listed
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert all(line.startswith(("  ", "    ")) or line.endswith(":") for line in listed.splitlines() if line)


def test_every_command_describes_its_options(run: Run) -> None:
    """Each option of each command has a help text, and -h is --help."""
    for name in modelperf.commands:
        result = run(name, "-h")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: modelperf {name}")


def test_version_is_one_line(run: Run) -> None:
    """--version prints the name and the version."""
    assert run("--version").stdout.startswith("modelperf 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["rank"],
        ["rank", "a", "b"],
        ["stats", "--nonsense"],
        ["demo", "--tasks", "0"],
        ["demo", "--tasks", "many"],
        ["--nonsense"],
        ["replay", "no-such-file.csv"],
        ["explain", "execute-task", "--max-cost-usd", "cheap"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_so_on_standard_error(run: Run, arguments: list[str]) -> None:
    """Wrong usage is one error line on standard error and exit code 2."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert "Usage: modelperf" in result.stderr


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    """The bare command and a bare group show their help, which is not an error message; exit code 2."""
    for arguments in ([], ["config"], ["reset"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == run(*arguments, "--help").stdout


def test_options_of_every_command_also_work_before_its_name(run: Run, store: str) -> None:
    """--store may stand on either side of the command; the one after it wins."""
    assert run("--store", store, "stats").stdout == run("stats", "--store", store).stdout
    assert run("--store", "elsewhere.db", "stats", "--store", store).exit_code == 0


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: str(arguments[0]))
def test_reading_creates_nothing(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    """Without a store, a reading command exits with code 1 and creates no file."""
    result = run(*arguments, "--store", "sub/none.db")
    assert result.exit_code == 1
    assert "sub/none.db does not exist; run `modelperf demo`" in result.stdout + result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: str(arguments[0]))
def test_json_without_a_store_is_json_all_the_same(run: Run, arguments: list[str]) -> None:
    """With --json the note about the missing store is part of the answer; standard error is empty."""
    result = run(*arguments, "--store", "none.db", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (1, "")
    assert (answer["schema_version"], answer["command"]) == (1, arguments[0])
    assert "none.db does not exist" in str(answer)


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: str(arguments[0]))
def test_json_carries_version_and_command(run: Run, store: str, arguments: list[str]) -> None:
    """Every --json answer begins with the version of its schema and the command that gave it."""
    answer = json.loads(run(*arguments, "--store", store, "--json").stdout)
    assert list(answer)[:2] == ["schema_version", "command"]
    assert (answer["schema_version"], answer["command"]) == (1, arguments[0])


def test_an_empty_store_has_no_outcomes(run: Run) -> None:
    """A store in memory is always empty."""
    result = run("stats", "--store", ":memory:")
    assert (result.exit_code, result.stdout) == (1, "")
    assert ":memory: is empty" in result.stderr


def test_a_file_of_another_program_is_one_clear_message(run: Run, tmp_path: Path) -> None:
    """An unusable store is exit code 1 with one message, no traceback, and the file unchanged."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database, " * 100)
    result = run("stats", "--store", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {file} is not an SQLite database")
    assert file.read_text() == "not a database, " * 100


def test_a_store_of_an_unknown_kind_is_wrong_usage(run: Run) -> None:
    """An unsupported URL is a configuration error: exit code 2."""
    result = run("stats", "--store", "carrier-pigeon://coop")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "carrier-pigeon://coop" in result.stderr


def test_the_url_of_a_missing_file_creates_nothing_either(run: Run, tmp_path: Path) -> None:
    """sqlite:///path is the path."""
    assert run("stats", "--store", f"sqlite:///{tmp_path}/none.db").exit_code == 1
    assert not list(tmp_path.iterdir())


def test_verbose_talks_on_standard_error_only(run: Run, store: str) -> None:
    """-v adds diagnostics, never data, on whichever side of the command it stands."""
    arguments = ["explain", "execute-task", "--store", store, "--max-cost-usd", "0.001", "--json"]
    quiet, talkative = run(*arguments), run("-v", *arguments)
    assert quiet.stdout == talkative.stdout == run(*arguments, "-v").stdout
    assert quiet.stderr == ""
    assert talkative.stderr.startswith("info: no candidate is left for execute-task")


def test_output_and_diagnostics_are_apart_in_a_real_process(store: str) -> None:
    """A real process prints data to standard output, diagnostics to standard error."""
    good = run_process("stats", "--store", store)
    assert (good.returncode, good.stderr) == (0, "")
    assert "claude-opus" in good.stdout
    bad = run_process("rank", "execute-tusk", "--store", store)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "execute-task" in bad.stderr


def test_colours_and_boxes_are_for_terminals(store: str) -> None:
    """Piped output has no escape sequences and no boxes, even with FORCE_COLOR."""
    piped = run_process("rank", "execute-task", "--store", store, environ={"FORCE_COLOR": "1", "COLUMNS": "20"})
    assert "\x1b" not in piped.stdout
    assert "─" not in piped.stdout
    assert "posterior mean" in piped.stdout
    terminal = Terminal("rank", "execute-task", "--store", store)
    code, text = terminal.finish()
    assert (code, "\x1b[1m" in terminal.raw, "─" in text) == (0, True, True)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """NO_COLOR disables colours on a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal("rank", "execute-task", "--store", store)
    terminal.finish()
    assert "\x1b[3" not in terminal.raw
    assert "claude-opus" in terminal.raw


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_terminal_of_any_width_shows_everything(store: str, columns: int) -> None:
    """No line is longer than the terminal is wide, and no reason is cut off."""
    code, text = Terminal("rank", "execute-task", "--store", store, columns=columns).finish()
    assert code == 0
    assert max(map(len, text.splitlines())) <= columns
    assert "(11 of 12 succeeded" in " ".join(text.split())


def test_a_closed_pipe_is_not_an_error(store: str) -> None:
    """`modelperf stats | head -1` ends quietly."""
    process = subprocess.Popen(
        [*COMMAND, "stats", "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")


def test_unencodable_characters_are_escaped(store: str) -> None:
    """Characters that the output cannot encode are escaped."""
    result = run_process("rank", "execute-task", "--store", store, environ={"PYTHONIOENCODING": "latin-1"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u2013" in result.stdout


def test_help_imports_neither_rich_nor_the_analysis() -> None:
    """--help does not load what only some commands need."""
    code = (
        "import sys; from modelperf_plugin.cli import modelperf; "
        "heavy = [name for name in ('rich', 'modelperf_plugin.analysis', 'modelperf_plugin.demo') "
        "if name in sys.modules]; print(heavy)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
