"""The page of commands, compared with the commands themselves."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modelperf_plugin.cli import modelperf
from modelperf_plugin.cli.answer import SCHEMA_VERSION
from modelperf_plugin.demo.orchestrator import run_demo
from tests.docs.pages import DOCS, coded, headings, section, table_rows, text_of

PAGE = DOCS / "reference/commands.md"
COMMON = "Common options"
OUTPUT = "Output and exit codes"


def walk(command: click.Command, path: tuple[str, ...] = ("modelperf",)) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below ``command`` with its name; groups are not commands of their own."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from walk(below, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(walk(modelperf))


def context_of(name: str) -> click.Context:
    """Return a context as on the command line: a command caches its help option in the first one it sees."""
    return click.Context(COMMANDS[name], parent=click.Context(modelperf, **modelperf.context_settings))


every_command = pytest.mark.parametrize("name", COMMANDS)


def options_in(text: str) -> dict[str, str]:
    """Return the options in the tables of ``text``, each with what is said about it."""
    rows = [row for row in table_rows(text) if row[0].startswith("`-")]
    return {written.split()[0]: row[1] for row in rows for written in coded(row[0])}


def test_every_command_has_a_section() -> None:
    """The page has one section for each command, in the order of the help, and none for another."""
    assert [title for title in headings(PAGE) if title.startswith("`modelperf")] == [f"`{name}`" for name in COMMANDS]


@every_command
def test_every_option_is_documented(name: str) -> None:
    """Each option of a command is in its table, or in that of the common options, with its default; no other is."""
    common, own = options_in(section(PAGE, COMMON)), options_in(section(PAGE, f"`{name}`"))
    found = set()
    for parameter in COMMANDS[name].get_params(context_of(name)):
        if not isinstance(parameter, click.Option):
            continue
        spellings = set(parameter.opts)
        assert spellings <= set(common) or spellings <= set(own), spellings
        found |= spellings - set(common)
        if parameter.show_default:
            (said,) = {own[each] for each in spellings}
            assert str(parameter.default) in said or f"`--order {parameter.default}`" in text_of(PAGE)
    assert set(own) == found


@every_command
def test_every_argument_is_documented(name: str) -> None:
    """A command that takes arguments is shown with them."""
    command = COMMANDS[name]
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    usage = " ".join([name, *[each.make_metavar(context_of(name)) for each in arguments]])
    if arguments:
        assert usage in coded(section(PAGE, f"`{name}`"))


def test_the_options_of_the_whole_are_documented() -> None:
    """What can stand before the name of a command is in the section on common options."""
    context = modelperf.make_context("modelperf", ["stats"], resilient_parsing=True)
    options = [each for each in modelperf.get_params(context) if isinstance(each, click.Option)]
    documented = options_in(section(PAGE, COMMON))
    assert {spelling for each in options for spelling in each.opts} == set(documented)


def test_exit_codes_are_documented() -> None:
    """The table has the four exit codes, and the page the version of the JSON."""
    text = section(PAGE, OUTPUT)
    assert [row[0] for row in table_rows(text)[1:]] == ["0", "1", "2", "130"]
    assert f"`schema_version` is {SCHEMA_VERSION}." in text


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Return a folder with a demo's outcomes in the default store, and a file to replay."""
    rows = [f"i{n},t,{model},{int(model == 'a')},0.01" for n in range(4) for model in "ab"]
    (tmp_path / "outcomes.csv").write_text("\n".join(["instance_id,task_type,model_id,success,cost_usd", *rows]))
    (tmp_path / "outcomes.jsonl").write_text('{"task_type": "t", "model_id": "a", "success": true}')
    (tmp_path / "calls.json").write_text('[{"request_id": "r", "model": "m"}]')
    with sqlite3.connect(tmp_path / "logs.db") as log:
        log.execute("CREATE TABLE responses (id TEXT, model TEXT, datetime_utc TEXT)")
    log.close()
    table = {"task_type": ["t"], "model_id": ["a"], "success": [True]}
    pytest.importorskip("pyarrow.parquet").write_table(pytest.importorskip("pyarrow").table(table), "outcomes.parquet")
    run_demo({}, tmp_path / ".sf/demo.db", tasks=5)
    (tmp_path / "old.json").write_text('{"t": {"a": {"successes": 3, "failures": 1}}}')
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("")
    CliRunner().invoke(modelperf, ["demo", "--tasks", "60", "--store", ".sf/model-performance.db"])
    return tmp_path


def takes_json(command: click.Command) -> bool:
    """Return whether a command has the option ``--json``."""
    return any("--json" in parameter.opts for parameter in command.params)


ARGUMENTS: dict[str, list[list[str]]] = {
    "modelperf demo": [["--tasks", "5"]],
    "modelperf config check": [[]],
    "modelperf config show": [[]],
    "modelperf config task-type": [["--tag", "review"]],
    "modelperf rank": [["write-code"], ["no-such-task"]],
    "modelperf explain": [["write-code"], ["no-such-task"]],
    "modelperf why": [["no-such-decision"]],
    "modelperf decisions": [[]],
    "modelperf changes": [[]],
    "modelperf demotions": [[]],
    "modelperf stats": [[]],
    "modelperf compare": [["write-code"], ["no-such-task"]],
    "modelperf trend": [[], ["no-such-task"]],
    "modelperf replay": [["outcomes.csv", "--repeats", "1"]],
    "modelperf import json": [["old.json"]],
    "modelperf import csv": [["outcomes.csv"]],
    "modelperf import jsonl": [["outcomes.jsonl"]],
    "modelperf import parquet": [["outcomes.parquet"]],
    "modelperf import modelperf": [[".sf/demo.db"]],
    "modelperf import litellm": [["calls.json"]],
    "modelperf import llm": [["logs.db"]],
    "modelperf federate list": [[]],
    "modelperf import list": [[]],
    "modelperf merged list": [[]],
    "modelperf move": [[".sf/demo.db", "moved.db"]],
    "modelperf config diff": [["a.toml", "b.toml"]],
    "modelperf advise": [[], ["--task", "no-such-task"]],
    "modelperf evaluate": [[], ["--task", "no-such-task"]],
    "modelperf savings": [[], ["--task", "no-such-task"]],
    "modelperf tune": [[], ["--task", "no-such-task"]],
    "modelperf simulate": [["near-tie", "--runs", "1"]],
    "modelperf forget": [["--task", "write-code", "--yes"]],
    "modelperf rename task-type": [["write-code", "code", "--yes"]],
    "modelperf rename model": [["o3", "o4", "--dry-run"]],
    "modelperf doctor": [[]],
    "modelperf backup": [["copy.db"]],
    "modelperf restore": [[".sf/demo.db"]],
    "modelperf compact": [[]],
}


@pytest.mark.parametrize("name", [name for name in COMMANDS if takes_json(COMMANDS[name])])
def test_every_key_of_the_json_is_documented(name: str, prepared: Path) -> None:
    """The keys of a ``--json`` answer are those in the command's paragraph on JSON."""
    keys: set[str] = set()
    for arguments in ARGUMENTS[name]:
        result = CliRunner().invoke(modelperf, [*name.split()[1:], *arguments, "--json"], prog_name="modelperf")
        answer = json.loads(result.stdout)
        assert list(answer)[:2] == ["schema_version", "command"]
        keys |= set(answer) - {"schema_version", "command"}
    paragraph = re.search(r"^JSON: (.*?)(\n\n|\Z)", section(PAGE, f"`{name}`"), re.MULTILINE | re.DOTALL)
    assert paragraph is not None
    documented = coded(re.sub(r"\((?:[^()]|\([^()]*\))*\)", "", paragraph.group(1)))
    assert sorted(documented) == sorted(keys)
