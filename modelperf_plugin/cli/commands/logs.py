"""``import litellm`` and ``import llm``: logs of calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.commands.imports import dry_run_option, file_argument, task_type_option
from modelperf_plugin.cli.importing import run
from modelperf_plugin.cli.options import Common, common_options, json_option, pass_common

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_SILENT: Final = (
    "the log of {} says which model answered, when, and at what cost, but not whether the task was done well; "
    "if your program notes that in it, say where with --success-field"
)
task_field_option = click.option(
    "--task-field", metavar="PATH", help="Where each row says its task type, for example metadata.task_type."
)
success_field_option = click.option(
    "--success-field", metavar="PATH", help="Where each row says whether the task was done well."
)


def log_options(command: _Command) -> _Command:
    """Give a command the file, and the options, of an import of a log of calls."""
    for option in (
        common_options, json_option, dry_run_option, success_field_option, task_field_option, task_type_option,
        file_argument,
    ):  # fmt: skip
        command = option(command)
    return command


@click.command(name="litellm")
@log_options
@pass_common
def import_litellm(
    common: Common,
    file: Path,
    task_type: str | None,
    task_field: str | None,
    success_field: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import LiteLLM's spend logs, where they say how tasks ended.

    FILE is an export of the table LiteLLM_SpendLogs: CSV, JSON or JSON Lines.
    """
    from modelperf_plugin.exchange.importing.call_logs import LiteLLMLog, Noted

    answer = Answer("import litellm", as_json=as_json)
    _need_task_type(task_type, task_field, success_field)
    log = LiteLLMLog(file, Noted(task_type, task_field, success_field))
    run(common, answer, log, dry_run=dry_run, explain=None if success_field else _SILENT.format("LiteLLM"))


@click.command(name="llm")
@log_options
@pass_common
def import_llm(
    common: Common,
    file: Path,
    task_type: str | None,
    task_field: str | None,
    success_field: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import the log of the command llm (logs.db), where it says how tasks ended."""
    from modelperf_plugin.exchange.importing.call_logs import LlmLog, Noted

    answer = Answer("import llm", as_json=as_json)
    _need_task_type(task_type, task_field, success_field)
    log = LlmLog(file, Noted(task_type, task_field, success_field))
    run(common, answer, log, dry_run=dry_run, explain=None if success_field else _SILENT.format("llm"))


def _need_task_type(task_type: str | None, task_field: str | None, success_field: str | None) -> None:
    if success_field is not None and task_type is None and task_field is None:
        raise click.UsageError("the log does not know task types: give --task-type or --task-field")
