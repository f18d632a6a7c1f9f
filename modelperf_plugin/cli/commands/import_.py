"""``import``: import outcomes recorded elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.importing import run, writing
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option, pass_common
from modelperf_plugin.cli.terminal_text import ago, count, dollars, percent, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelperf_plugin.exchange.importing.legacy_json import OldJson
    from modelperf_plugin.store import Store, Sums


_SUMS = (
    Column("task type", "bold"), Column("model", "bold"), number("outcomes"), number("success"), number("cost"),
    number("timeouts", aside=True), number("tokens", aside=True), number("last used", aside=True),
)  # fmt: skip
_Command = TypeVar("_Command", bound="Callable[..., Any]")
file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be imported; write nothing.")
columns_option = click.option(
    "--column", "columns", metavar="OURS=THEIRS", multiple=True,
    help="What the file calls one of our columns; may be given several times.",
)  # fmt: skip
task_type_option = click.option(
    "--task-type", metavar="TASK", help="The task type of all its outcomes, where the file does not say."
)
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


def rows_options(command: _Command) -> _Command:
    """Give a command the file, and the options, of an import of rows with named columns."""
    for option in (common_options, json_option, dry_run_option, task_type_option, columns_option, file_argument):
        command = option(command)
    return command


def log_options(command: _Command) -> _Command:
    """Give a command the file, and the options, of an import of a log of calls."""
    for option in (
        common_options, json_option, dry_run_option, success_field_option, task_field_option, task_type_option,
        file_argument,
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(name="import")
def import_() -> None:
    """Import histories that were recorded elsewhere."""


@import_.command(name="json")
@file_argument
@dry_run_option
@json_option
@common_options
@pass_common
def import_json(common: Common, file: Path, dry_run: bool, as_json: bool) -> None:
    """Import the JSON file of an older tracker.

    The file beside the store (.sf/model-performance.json) needs no command: the first host imports it. A newer
    version of a file that was imported takes the place of the older one.
    """
    from modelperf_plugin.exchange.importing.legacy_json import read_old_json
    from modelperf_plugin.exchange.importing.takeover import import_old_json

    answer = Answer("import json", as_json=as_json)
    old = read_old_json(file)
    imported = False
    with writing(common, dry_run=dry_run) as store:
        location = store.location
        if not dry_run:
            imported = import_old_json(store, file, old, time.time_ns() // 1_000_000)
    if as_json:
        answer.json(
            store=None if dry_run else location,
            file=str(file),
            imported=imported,
            entries=[_sums_as_dict(each) for each in old.sums],
            problems=list(old.notes),
        )
    else:
        _show_old_json(answer, file, old, imported=imported, dry_run=dry_run)
    raise click.exceptions.Exit(1 if old.notes else 0)


def _show_old_json(answer: Answer, file: Path, old: OldJson, *, imported: bool, dry_run: bool) -> None:
    answer.table(_SUMS, [_sums_row(each) for each in old.sums])
    answer.line()
    total = count(sum(each.successes + each.failures for each in old.sums), "outcome")
    pairs = count(len(old.sums), "pair")
    if dry_run:
        answer.line(f"{total} of {pairs} would be imported from {file}; nothing was written")
    elif imported:
        answer.line(f"{total} of {pairs} imported from {file}; they count as evidence, told apart from events")
    else:
        answer.line(f"nothing was imported: exactly this file was imported before ({total} of {pairs})")
    for note in old.notes:
        click.echo(f"warning: {note}", err=True)


def _sums_row(sums: Sums) -> list[str]:
    from modelperf_plugin.values import NANO_USD, from_milliseconds

    samples = sums.successes + sums.failures
    last_used = None if sums.last_used_ms is None else from_milliseconds(sums.last_used_ms)
    cost = dollars(sums.cost_nano_usd / NANO_USD) if sums.cost_nano_usd else dollars(None)
    return [sums.task_type, sums.model_id, f"{samples:,}", percent(sums.successes / samples), cost,
            f"{sums.timeouts:,}", short(sums.tokens), ago(last_used)]  # fmt: skip


def _sums_as_dict(sums: Sums) -> dict[str, Any]:
    from modelperf_plugin.values import NANO_USD, from_milliseconds

    last_used = None if sums.last_used_ms is None else from_milliseconds(sums.last_used_ms).isoformat()
    return {
        "task_type": sums.task_type,
        "model_id": sums.model_id,
        "successes": sums.successes,
        "failures": sums.failures,
        "timeouts": sums.timeouts,
        "total_tokens": sums.tokens,
        "total_cost_usd": sums.cost_nano_usd / NANO_USD,
        "last_used": last_used,
    }


@import_.command(name="csv")
@rows_options
@pass_common
def import_csv(
    common: Common, file: Path, columns: tuple[str, ...], task_type: str | None, dry_run: bool, as_json: bool
) -> None:
    """Import a CSV file of outcomes, plain or gzipped."""
    from modelperf_plugin.exchange.importing.text_files import CsvFile

    answer = Answer("import csv", as_json=as_json)
    run(common, answer, CsvFile(file, mapping(columns), task_type), dry_run=dry_run)


@import_.command(name="jsonl")
@rows_options
@pass_common
def import_jsonl(
    common: Common, file: Path, columns: tuple[str, ...], task_type: str | None, dry_run: bool, as_json: bool
) -> None:
    """Import a JSON Lines file of outcomes, plain or gzipped."""
    from modelperf_plugin.exchange.importing.text_files import JsonLinesFile

    answer = Answer("import jsonl", as_json=as_json)
    run(common, answer, JsonLinesFile(file, mapping(columns), task_type), dry_run=dry_run)


def mapping(columns: tuple[str, ...]) -> dict[str, str]:
    """Return what ``OURS=THEIRS`` say together."""
    from modelperf_plugin.exchange.importing.rows import COLUMNS

    found = {}
    for each in columns:
        ours, equals, theirs = each.partition("=")
        if not equals or not theirs or ours not in COLUMNS:
            names = ", ".join(COLUMNS)
            raise click.BadParameter(
                f"must be OURS=THEIRS with one of {names}, but got {each!r}", param_hint="--column"
            )
        found[ours] = theirs
    return found


@import_.command(name="parquet")
@rows_options
@pass_common
def import_parquet(
    common: Common, file: Path, columns: tuple[str, ...], task_type: str | None, dry_run: bool, as_json: bool
) -> None:
    """Import a Parquet file of outcomes."""
    from modelperf_plugin.exchange.importing.tables import ParquetTable

    answer = Answer("import parquet", as_json=as_json)
    run(common, answer, ParquetTable(file, mapping(columns), task_type), dry_run=dry_run)


@import_.command(name="modelperf")
@file_argument
@dry_run_option
@json_option
@common_options
@pass_common
def import_modelperf(common: Common, file: Path, dry_run: bool, as_json: bool) -> None:
    """Import the outcomes of another store.

    It is only read. Outcomes that it was given as sums, without events, are imported as sums.
    """
    from modelperf_plugin.exchange.importing.tables import TrackerFile

    answer = Answer("import modelperf", as_json=as_json)
    source = TrackerFile(file)

    def prepare(store: Store, now_ms: int) -> int:
        if source.is_file_of(store):
            raise Refusal(f"{file} is the store itself")
        return source.import_sums(store, now_ms)

    run(common, answer, source, dry_run=dry_run, prepare=prepare)


@import_.command(name="litellm")
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


@import_.command(name="llm")
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
