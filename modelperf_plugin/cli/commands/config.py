"""``config``: check, show, describe and compare configurations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.decision_log import read_decision_log
from modelperf_plugin.cli.options import Common, common_options, is_missing, json_option, missing_note
from modelperf_plugin.cli.progress import stages
from modelperf_plugin.cli.terminal_text import count, percent, points

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.policy_diff import PolicyDiff, Setting


_VALUES = (Column("key", "bold"), Column("value"), Column("from", "dim"))
_SETTINGS: Final = (Column("key", "bold"), Column("before"), Column("after"))
_TASK_TYPES: Final = (
    Column("task type", "bold"), number("decisions"), number("differ"), Column("less often"), Column("more often"),
)  # fmt: skip


@click.group()
def config() -> None:
    """Check, show and describe the configuration."""


@config.command()
@click.argument("path", required=False, metavar="[PATH]")
@json_option
@common_options
def check(common: Common, answer: Answer, path: str | None) -> None:
    """Say everything that is wrong with the configuration.

    PATH is what --config is: without it the configuration is looked for as a host does. Exit code 2 if anything
    is wrong.
    """
    from modelperf_plugin.errors import ConfigError

    common.config = path or common.config
    try:
        files = [str(file) for file in common.load().files]
    except ConfigError as error:
        if not answer.as_json:
            raise
        problems = [{"source": each.source, "path": each.path, "message": each.message} for each in error.problems]
        answer.print_json(ok=False, files=[], problems=problems)
        raise click.exceptions.Exit(2) from error
    if answer.as_json:
        answer.print_json(ok=True, files=files, problems=[])
    else:
        answer.print_line(("ok", "green"), f": {', '.join(files) or 'no file, the defaults'}")


@config.command()
@json_option
@common_options
def show(common: Common, answer: Answer) -> None:
    """Show every value in force and where it comes from."""
    loaded = common.load()
    values = loaded.config.model_dump(mode="json")
    if answer.as_json:
        answer.print_json(
            config=values, origins=dict(loaded.origins), files=[str(file) for file in loaded.files], note=None
        )
        return
    rows = [[path, json.dumps(value, ensure_ascii=False), origin] for path, value, origin in loaded.rows()]
    answer.print_table(_VALUES, rows)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from modelperf_plugin.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@config.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False), metavar="A")
@click.argument("after", type=click.Path(exists=True, dir_okay=False), metavar="B")
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Only the last N days.")
@json_option
@common_options
def diff(
    common: Common, answer: Answer, /, before: str, after: str, *, task_type: str | None, days: float | None
) -> None:
    """Say what changes from configuration A to B: which keys, how many recorded choices, where, and to what effect.

    Both are applied to what was known before each decision of the record.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.views.policy_diff import compare_policies, settings_that_differ
    from modelperf_plugin.config import load
    from modelperf_plugin.engine.core import ModelPerf

    old, new = load(before).config, load(after).config
    settings = settings_that_differ(old, new)
    if not answer.as_json:
        _show_settings(answer, settings)
    in_force = common.load().config
    empty = {"settings": [_plain(each) for each in settings], "behaviour": None}
    if is_missing(str(in_force.store.path)):
        answer.exit_with_note(missing_note(str(in_force.store.path)), **empty)
    with ModelPerf(in_force) as engine, stages() as stage:
        log = read_decision_log(answer, engine.store, task_type=task_type, days=days, stage=stage, **empty)
        found = compare_policies(log, engine.store, old, new, stage("comparing"))
    if answer.as_json:
        answer.print_json(settings=empty["settings"], behaviour=found.as_dict(), note=None)
    else:
        _show(answer, found)


def _show_settings(answer: Answer, settings: list[Setting]) -> None:
    if not settings:
        answer.print_line(("no key differs", "bold"))
    else:
        answer.print_table(_SETTINGS, [[each.path, _text(each.before), _text(each.after)] for each in settings])
    answer.print_line()


def _show(answer: Answer, found: PolicyDiff) -> None:
    of = count(found.decisions, "recorded decision")
    answer.print_facts(
        [
            ("choices that differ", f"{percent(found.differ)} of {of}"),
            ("effect on success", _effect(found)),
        ]
    )
    if found.task_types:
        answer.print_line()
        answer.print_table(
            _TASK_TYPES,
            [
                [each.task_type, f"{each.decisions:,}", percent(each.differ), each.less, each.more]
                for each in found.task_types
            ],
        )


def _effect(found: PolicyDiff) -> str:
    effect = found.effect
    if effect is None:
        return f"the log cannot tell: {found.refusal}"
    return f"{points(effect.value)} points (95 % interval {points(effect.low)} – {points(effect.high)})"


def _plain(setting: Setting) -> dict[str, object]:
    return {"path": setting.path, "before": setting.before, "after": setting.after}


def _text(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
