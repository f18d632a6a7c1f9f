"""``config``: check, show, describe and compare configurations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_log import gain_text, log_days_option, read_decision_log
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    is_missing,
    json_option,
    output_option,
    task_option,
)
from modelperf_plugin.cli.output_file import write_file
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.cli.tables import Column, named, number, prose
from modelperf_plugin.text import UNKNOWN, count, percent

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.policy_diff import PolicyDiff, Setting, TaskTypeDiff
    from modelperf_plugin.config import Config

_VALUES: Final[tuple[Column[tuple[str, object, str]], ...]] = (
    named("key", lambda row: row[0], "bold"),
    prose("value", lambda row: _value_text(row[1])),
    Column("from", lambda row: row[2], "dim", optional=True),
)
_SETTINGS: Final[tuple[Column[Setting], ...]] = (
    named("key", lambda setting: setting.path, "bold"),
    Column("before", lambda setting: UNKNOWN if setting.before is None else _value_text(setting.before)),
    Column("after", lambda setting: UNKNOWN if setting.after is None else _value_text(setting.after)),
)
_TASK_TYPES: Final[tuple[Column[TaskTypeDiff], ...]] = (
    named("task type", lambda row: row.task_type, "bold"),
    number("decisions", lambda row: f"{row.decisions:,}"),
    number("differ", lambda row: percent(row.differ)),
    Column("less often", lambda row: row.less),
    Column("more often", lambda row: row.more),
)


def _value_text(value: object) -> str:
    return str(value) if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


def _labels(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values in texts NAME=VALUE by name: a text, or a list of those with one name."""
    values: dict[str, list[str]] = {}
    for each in pairs:
        name, equals, text = each.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--metadata must be NAME=VALUE, but got {each!r}")
        values.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


@group()
def config() -> None:
    """Check, show and compare configurations."""


@config.command(name="check", examples=["", "new.toml"])
@click.argument("path", required=False, metavar="[PATH]")
@json_option
@common_options
def _check(common: Common, answer: Answer, path: str | None) -> None:
    """Report every problem in the configuration.

    PATH is the same as --config; without it, the configuration is found as a host finds it. Exits with code 2 if
    there is a problem. Hints about names that match no outcome in the store or may mean one model are not problems.
    """
    from modelperf_plugin.errors import ConfigError

    common.config = path or common.config
    try:
        loaded = common.load()
    except ConfigError as error:
        if not answer.as_json:
            raise
        answer.print_json(ok=False, files=[], problems=[asdict(each) for each in error.problems], hints=[])
        raise click.exceptions.Exit(2) from error
    files, hints = [str(file) for file in loaded.files], _hints(loaded.config)
    if answer.as_json:
        answer.print_json(ok=True, files=files, problems=[], hints=hints)
    else:
        answer.print_line(("ok", "green"), f": {', '.join(files) or 'no file, the defaults'}")
        for hint in hints:
            answer.print_line(("hint", "yellow"), f": {hint}")


def _hints(config: Config) -> list[str]:
    """Return what is doubtful about names in the configuration, compared with the store if there is one."""
    from modelperf_plugin.analysis.views.hints import doubtful_names
    from modelperf_plugin.errors import StoreError
    from modelperf_plugin.store import open_to_read
    from modelperf_plugin.store.aliases.store import with_aliases
    from modelperf_plugin.values.names import Aliases

    location = config.store.location
    try:
        if is_missing(location):
            return doubtful_names(config, [])
        with closing(open_to_read(location)) as store:
            tallies = with_aliases(store, Aliases(config.canonical_ids)).tallies.all()
    except StoreError as error:
        return [*doubtful_names(config, []), f"names were not compared with the store: {error}"]
    return doubtful_names(config, tallies)


@config.command(name="show", examples=[""])
@json_option
@common_options
def _show(common: Common, answer: Answer) -> None:
    """Show every value in force and where it comes from."""
    loaded = common.load()
    if answer.as_json:
        values = loaded.config.model_dump(mode="json")
        files = [str(file) for file in loaded.files]
        answer.print_json(config=values, origins=dict(loaded.origins), files=files, note=None)
    else:
        answer.print_table(_VALUES, loaded.rows())


@config.command(name="schema", examples=["-o modelperf.schema.json"])
@output_option("File to write; - for standard output, which is the default.")
def _schema(output: str | None) -> None:
    """Print the JSON Schema of the configuration file."""
    from modelperf_plugin.config import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    write_file(Answer("config schema"), output or "-", text.encode())


@config.command(name="task-type", examples=["--tag review --metadata team=data"])
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag of the call; may be repeated.")
@click.option("--metadata", metavar="NAME=VALUE", multiple=True, help="A metadata entry; may be repeated.")
@json_option
@common_options
def _task_type(common: Common, answer: Answer, /, tags: tuple[str, ...], metadata: tuple[str, ...]) -> None:
    """Print the task type of a call with these labels.

    It follows from [task_type_rules]. Exits with code 1 if no rule holds: the call then has the default task type of
    its host or adapter.
    """
    config = common.load().config
    labels = _labels([*metadata, *(f"tags={tag}" for tag in tags)])
    task_type = config.rules.task_type_for(labels)
    if task_type is None:
        answer.exit_with_note("no rule holds", task_type=None)
    if answer.as_json:
        answer.print_json(task_type=task_type, note=None)
    else:
        answer.print_line(task_type)


@config.command(name="diff", examples=["modelperf.toml new.toml"])
@click.argument("before", type=click.Path(exists=True, dir_okay=False), metavar="A")
@click.argument("after", type=click.Path(exists=True, dir_okay=False), metavar="B")
@task_option
@log_days_option
@json_option
@common_options
def _diff(common: Common, answer: Answer, /, before: str, after: str, **selection: Any) -> None:
    """Show what changes from configuration A to B.

    Lists the keys that differ, then replays the decision log with both: how many choices differ, where, and the effect
    on success. Both see only what was known before each decision.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.views.policy_diff import compare_policies, settings_that_differ
    from modelperf_plugin.config import load

    old, new = load(before).config, load(after).config
    settings = settings_that_differ(old, new)
    if not answer.as_json:
        if settings:
            answer.print_table(_SETTINGS, settings)
        else:
            answer.print_line(("no key differs", "bold"))
        answer.print_line()
    listed = [asdict(each) for each in settings]
    empty: dict[str, Any] = {"settings": listed, "behaviour": None}
    with common.reading(answer, **empty) as engine, progress_stages() as stages:
        log = read_decision_log(answer, engine.store, stages, **selection, **empty)
        diff = compare_policies(log, engine.store, old, new, stages("comparing"))
    if answer.as_json:
        answer.print_json(settings=listed, behaviour=diff.as_dict(), note=None)
    else:
        _show_behaviour(answer, diff)


def _show_behaviour(answer: Answer, diff: PolicyDiff) -> None:
    decisions = count(diff.decisions, "recorded decision")
    effect = f"unknown: {diff.refusal}" if diff.effect is None else gain_text(diff.effect)
    differing = f"{percent(diff.differ)} of {decisions}"
    answer.print_facts([("choices that differ", differing), ("effect on success", effect)])
    if diff.task_types:
        answer.print_line()
        answer.print_table(_TASK_TYPES, diff.task_types)
