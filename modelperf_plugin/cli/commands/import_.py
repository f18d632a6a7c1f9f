"""``import``: import outcomes recorded elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.importing import parse_columns, run_import
from modelperf_plugin.cli.options import Common, Refusal, common_options, dry_run_option, json_option
from modelperf_plugin.cli.tables import Column, named, number
from modelperf_plugin.cli.tally_columns import COST, LAST_USED, MODEL, OUTCOMES, SUCCESS, TASK_TYPE, TIMEOUTS, TOKENS
from modelperf_plugin.text import ago, count
from modelperf_plugin.values import Tally

if TYPE_CHECKING:
    from modelperf_plugin.exchange.importing.call_logs import VerdictFields
    from modelperf_plugin.exchange.importing.legacy_json import LegacyFile
    from modelperf_plugin.exchange.importing.sources import Source
    from modelperf_plugin.store import ImportRecord, Store, Sums

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_ENTRY_KEYS: Final = (
    "task_type", "model_id", "successes", "failures", "timeouts", "total_tokens", "total_cost_usd", "last_used",
)  # fmt: skip
_NO_VERDICT: Final = (
    "the log of {} says which model answered, when, and at what cost, but not whether the task succeeded; if your "
    "program writes that into it, say where with --success-field"
)
_task_type_option = click.option(
    "--task", "task_type", metavar="TASK", help="Task type of all outcomes, if the file does not name it."
)
_ROW_OPTIONS = (
    click.option(
        "--column", "columns", metavar="OURS=THEIRS", multiple=True,
        help="What the file calls one of our columns; may be repeated.",
    ),
    _task_type_option,
)  # fmt: skip
_LOG_OPTIONS = (
    _task_type_option,
    click.option("--task-field", metavar="PATH", help="Where each row names its task type, as in metadata.task_type."),
    click.option("--success-field", metavar="PATH", help="Where each row says whether the task succeeded."),
)


_IMPORTS: Final[tuple[Column[ImportRecord], ...]] = (
    number("import", lambda each: str(each.import_id)),
    Column("kind", lambda each: each.kind),
    named("source", lambda each: each.source, "bold"),
    number("outcomes", lambda each: f"{each.outcomes:,}"),
    number("not usable", lambda each: f"{each.rejected:,}", optional=True),
    number("last read", lambda each: ago(each.latest)),
)


@group("import")
def import_() -> None:
    """Import outcomes recorded elsewhere."""


def _file_options(*options: Callable[..., Any]) -> Callable[[_Command], _Command]:
    """Return a decorator that adds FILE, ``options``, ``--dry-run`` and ``--json``."""

    def decorate(command: _Command) -> _Command:
        for option in (
            json_option,
            dry_run_option,
            *reversed(options),
            click.argument("file", metavar="FILE", type=click.Path(path_type=Path)),
        ):
            command = option(command)
        return command

    return decorate


def _source_command(
    name: str, *options: Callable[..., Any], log: str = "", example: str
) -> Callable[[Callable[..., Source]], click.Command]:
    """Return a decorator that makes a command of a function that opens a source.

    The function gets the file and the values of ``options``. ``log`` is what to call a log of calls that may not say
    whether tasks succeeded.
    """

    def decorate(open_source: Callable[..., Source]) -> click.Command:
        @import_.command(name=name, help=open_source.__doc__, examples=[example])
        @_file_options(*options)
        @common_options
        def command(common: Common, answer: Answer, /, file: Path, *, dry_run: bool, **given: Any) -> None:
            note = _NO_VERDICT.format(log) if log and not given["success_field"] else None
            run_import(common, answer, open_source(file, **given), dry_run=dry_run, note=note)

        return command

    return decorate


@import_.command(name="list", examples=[""])
@json_option
@common_options
def _list(common: Common, answer: Answer) -> None:
    """List what was imported, newest first; `modelperf forget --import ID` takes an import out again."""
    with common.reading(answer, imports=[]) as engine:
        location, imports = engine.store.location, engine.store.imports.all()
    answer.print_rows("imports", _IMPORTS, imports, none="nothing was imported", store=location)


@import_.command(name="json", examples=["llm-performance.json --dry-run"])
@_file_options()
@common_options
def _json(common: Common, answer: Answer, file: Path, dry_run: bool) -> None:
    """Import the JSON file of an older tracker.

    The file beside the store (.sf/model-performance.json) needs no command: the first host imports it. A newer
    version of an imported file replaces the older one.
    """
    from modelperf_plugin.exchange.importing.legacy_import import add_legacy_sums
    from modelperf_plugin.exchange.importing.legacy_json import read_legacy_json

    old = read_legacy_json(file)
    imported = False
    with common.opened_store(dry_run=dry_run) as store:
        location = store.location
        if not dry_run:
            imported = add_legacy_sums(store, file, old, time.time_ns() // 1_000_000)
    if answer.as_json:
        answer.print_json(
            store=None if dry_run else location,
            file=str(file),
            imported=imported,
            entries=[
                {key: tally[key] for key in _ENTRY_KEYS} for tally in (_tally(sums).as_dict() for sums in old.sums)
            ],
            problems=list(old.notes),
        )
    else:
        _show_old_json(answer, file, old, imported=imported, dry_run=dry_run)
    raise click.exceptions.Exit(1 if old.notes else 0)


def _show_old_json(answer: Answer, file: Path, old: LegacyFile, *, imported: bool, dry_run: bool) -> None:
    answer.print_table((TASK_TYPE, MODEL, OUTCOMES, SUCCESS, COST, TIMEOUTS, TOKENS, LAST_USED), map(_tally, old.sums))
    answer.print_line()
    total = count(sum(sums.successes + sums.failures for sums in old.sums), "outcome")
    pairs = count(len(old.sums), "pair")
    if dry_run:
        answer.print_line(f"{total} of {pairs} would be imported from {file}; nothing was written")
    elif imported:
        answer.print_line(f"{total} of {pairs} imported from {file} as sums, without single outcomes")
    else:
        answer.print_line(f"nothing imported: this version of {file} was imported before ({total} of {pairs})")
    for note in old.notes:
        click.echo(f"warning: {note}", err=True)


def _tally(sums: Sums) -> Tally:
    samples = sums.successes + sums.failures
    return Tally(
        sums.task_type, sums.model_id, sums.successes, sums.failures, sums.timeouts, total_tokens=sums.tokens,
        total_cost_nano_usd=sums.cost_nano_usd, priced=samples if sums.cost_nano_usd else 0,
        last_used_ms=sums.last_used_ms,
    )  # fmt: skip


@_source_command("csv", *_ROW_OPTIONS, example="history.csv --column model_id=model --dry-run")
def _csv(file: Path, columns: tuple[str, ...], task_type: str | None) -> Source:
    """Import outcomes from a CSV file, plain or gzipped."""
    from modelperf_plugin.exchange.importing.text_files import CsvFile

    return CsvFile(file, _mapping(columns), task_type)


@_source_command("jsonl", *_ROW_OPTIONS, example="history.jsonl.gz --task code-review")
def _jsonl(file: Path, columns: tuple[str, ...], task_type: str | None) -> Source:
    """Import outcomes from a JSON Lines file, plain or gzipped."""
    from modelperf_plugin.exchange.importing.text_files import JsonLinesFile

    return JsonLinesFile(file, _mapping(columns), task_type)


@_source_command("parquet", *_ROW_OPTIONS, example="history.parquet")
def _parquet(file: Path, columns: tuple[str, ...], task_type: str | None) -> Source:
    """Import outcomes from a Parquet file."""
    from modelperf_plugin.exchange.importing.tables import ParquetTable

    return ParquetTable(file, _mapping(columns), task_type)


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    from modelperf_plugin.exchange.importing.rows import COLUMNS

    return parse_columns(columns, COLUMNS)


@import_.command(name="modelperf", examples=["../other/.sf/model-performance.db"])
@_file_options()
@common_options
def _modelperf(common: Common, answer: Answer, file: Path, dry_run: bool) -> None:
    """Import the outcomes of another store.

    FILE is opened read-only. Outcomes that it holds as sums, without events, are imported as sums.
    """
    from modelperf_plugin.exchange.importing.tables import TrackerFile

    source = TrackerFile(file)

    def import_sums(store: Store, now_ms: int) -> int:
        if source.is_file_of(store):
            raise Refusal(f"{file} is the store itself; name the file of another store")
        return source.import_sums(store, now_ms)

    run_import(common, answer, source, dry_run=dry_run, prepare=import_sums)


@_source_command("litellm", *_LOG_OPTIONS, log="LiteLLM", example="spend.csv --success-field metadata.ok")
def _litellm(file: Path, **fields: str | None) -> Source:
    """Import LiteLLM's spend logs, if they say how tasks ended.

    FILE is an export of the table LiteLLM_SpendLogs: CSV, JSON or JSON Lines.
    """
    from modelperf_plugin.exchange.importing.call_logs import LiteLLMLog

    return LiteLLMLog(file, _noted(**fields))


@_source_command("llm", *_LOG_OPTIONS, log="llm", example="logs.db --success-field options_json.ok --task chat")
def _llm(file: Path, **fields: str | None) -> Source:
    """Import the log of the command llm (logs.db), if it says how tasks ended."""
    from modelperf_plugin.exchange.importing.call_logs import LlmLog

    return LlmLog(file, _noted(**fields))


def _noted(task_type: str | None, task_field: str | None, success_field: str | None) -> VerdictFields:
    from modelperf_plugin.exchange.importing.call_logs import VerdictFields

    if success_field is not None and task_type is None and task_field is None:
        raise click.UsageError("the log has no task types: give --task or --task-field")
    return VerdictFields(task_type, task_field, success_field)
