"""``--help``: every command explained with examples that work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from modelperf_plugin.cli import modelperf
from modelperf_plugin.cli.help import Command
from tests.cli.conftest import Run


def commands(below: click.Command = modelperf, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command that is not a group, with its name."""
    if isinstance(below, click.Group):
        for each in below.commands.values():
            yield from commands(each, f"{name} {each.name}".strip())
    else:
        yield name, below


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_can_be_called(run: Run, name: str, tmp_path: Path) -> None:
    """The help ends with examples, each on one line; their options and arguments exist."""
    for file in ("modelperf.toml", "new.toml", "outcomes.csv", "copy.db"):
        (tmp_path / file).touch()
    text = run(*name.split(), "--help").stdout
    command = COMMANDS[name]
    assert isinstance(command, Command)
    assert command.examples
    for example in command.examples:
        assert f"\n  {f'modelperf {name} {example}'.strip()}\n" in text
        arguments = shlex.split(example)
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        root = modelperf.make_context("modelperf", name.split())
        command.make_context(name, arguments, parent=root).close()


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_every_command_stand_apart(run: Run, name: str) -> None:
    """What a command has of its own is not buried among what every command has."""
    own, _, common = run(*name.split(), "--help").stdout.partition("Common options:")
    assert "--help" in common
    assert "--store" not in own.partition("Options:")[2]


def test_output_files_are_named_in_one_way() -> None:
    """Every command that writes a file takes -o and --output, and no other spelling of them."""
    spellings = {
        name: [set(each.opts) for each in command.params if {"-o", "--output", "--out"} & set(each.opts)]
        for name, command in COMMANDS.items()
    }
    assert {name for name, each in spellings.items() if each} == {
        "init", "report", "plot", "tune", "export", "backup", "config schema", "completion",
    }  # fmt: skip
    assert all(each in ([], [{"-o", "--output"}]) for each in spellings.values())


@pytest.mark.parametrize(
    "arguments",
    [["plot", "-o", "x.gif"], ["report", "-o", "x.pdf"], ["export", "-o", "x.txt"], ["tune", "-o", "x.json"]],
)
def test_an_unknown_suffix_is_one_clear_line(run: Run, store: str, arguments: list[str]) -> None:
    """A file is never written in a format that its name denies."""
    result = run(*arguments, "--store", store)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {arguments[-1]} must end in .")
    assert not Path(arguments[-1]).exists()


def test_a_format_of_choice_needs_no_suffix(run: Run, store: str) -> None:
    """--format says more than a suffix."""
    assert run("plot", "--store", store, "--format", "svg", "-o", "chart.xml").exit_code == 0
    assert Path("chart.xml").read_text().startswith("<svg")


def test_a_file_is_named_once(run: Run, store: str) -> None:
    """As an argument or with --output; both is wrong usage, and so is neither."""
    assert run("backup", "--store", store, "-o", "a.db").exit_code == 0
    assert run("backup", "--store", store, "b.db").exit_code == 0
    assert run("backup", "--store", store, "c.db", "-o", "d.db").exit_code == 2
    assert run("backup", "--store", store).exit_code == 2
    assert run("init", "-o", "own.toml").exit_code == 0
    assert {"a.db", "b.db", "own.toml"} <= {file.name for file in Path().iterdir()}


@pytest.mark.parametrize("day", ["2026-13-01", "today", "01.02.2026", ""])
def test_a_day_that_is_none_is_one_clear_line(run: Run, store: str, day: str) -> None:
    """It says how to write a day."""
    result = run("report", "--store", store, "--until", day)
    assert result.exit_code == 2
    assert (
        result.stderr.splitlines()[0] == f"error: Invalid value for '--until': {day!r} is not a day such as 2026-01-31"
    )


@pytest.mark.parametrize("command", [["stats"], ["import", "csv", "outcomes.csv"], ["demo"], ["announce", "gpt-4o"]])
def test_a_folder_as_a_store_is_one_clear_line(run: Run, command: list[str]) -> None:
    """Whatever the command does with it."""
    Path("outcomes.csv").write_text("task_type,model_id,success\nt,m,1\n")
    result = run(*command, "--store", ".")
    assert (result.exit_code in {1, 2}, result.stdout) == (True, "")
    assert result.stderr.count("\n") == 1
    assert "cannot open .: Is a directory" in result.stderr


def test_a_folder_that_cannot_be_written_to_can_be_exported_from(run: Run, store: str) -> None:
    """An export only reads."""
    before = sorted((file.name, file.stat().st_mtime_ns) for file in Path(store).parent.iterdir())
    for arguments in (["--dry-run"], []):
        assert run("export", "--store", store, *arguments).exit_code == 0
    assert sorted((file.name, file.stat().st_mtime_ns) for file in Path(store).parent.iterdir()) == before
