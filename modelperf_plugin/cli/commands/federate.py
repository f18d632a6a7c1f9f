"""``federate``: other programs' databases as evidence."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.importing import parse_columns
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.terminal_text import ago, count

if TYPE_CHECKING:
    from typing import Any

    from modelperf_plugin.exchange.attached.table import AttachedTable

_TABLES = (
    Column("database", "bold"), Column("table", "bold"), Column("state"), number("outcomes"), number("pairs"),
    number("last used"), Column("read as", overflow=True),
)  # fmt: skip
_database = click.argument("database", metavar="DB", type=click.Path(path_type=Path))
_table = click.option(
    "--table", metavar="NAME", default="llm_task_outcomes", show_default=True, help="The table or view to read."
)
_columns = click.option(
    "--column", "columns", metavar="OURS=THEIRS", multiple=True,
    help="Which of its columns stands for one of ours; may be given several times.",
)  # fmt: skip
PATIENCE_SECONDS = 60.0
"""A report waits so long for a large table."""


@click.group()
def federate() -> None:
    """Count the outcomes in other programs' databases."""


@federate.command()
@_database
@_table
@_columns
@common_options
def attach(common: Common, answer: Answer, database: Path, table: str, columns: tuple[str, ...]) -> None:
    """Count the outcomes of another program's table as evidence, from the next choice on.

    The database is only read, and nothing is copied.
    """
    from modelperf_plugin.exchange.attached.table import AttachedTable
    from modelperf_plugin.store import Attached

    now_ms = time.time_ns() // 1_000_000
    attached = Attached(str(database.absolute()), table, _mapping(columns), now_ms)
    reader = AttachedTable(attached, level=logging.DEBUG)
    try:
        reader.wait(PATIENCE_SECONDS)
        if reader.problem is not None:
            raise Refusal(reader.problem)
        found, shape = _counts(reader), _shape(reader)
    finally:
        reader.close()
    with common.opened_store() as store:
        store.attachments.add(attached)
    answer.print_line(f"{count(found[0], 'outcome')} of {count(found[1], 'pair')} in {database} count from now on")
    answer.print_line(f"read as {shape}")


@federate.command()
@_database
@common_options
def detach(common: Common, answer: Answer, database: Path) -> None:
    """Count what is in a database no longer."""
    with common.writing(answer) as engine:
        if not engine.store.attachments.remove(str(database.absolute())):
            configured = {str(Path(each.path).absolute()) for each in engine.config.federation}
            if str(database.absolute()) in configured:
                raise Refusal(f"{database} is attached by the configuration: take its [[federation]] out of the file")
            answer.exit_with_note(f"{database} is not attached")
    answer.print_line(f"what is in {database} counts no longer")


@federate.command(name="list")
@json_option
@common_options
def list_attached(common: Common, answer: Answer) -> None:
    """Show which databases are attached, and whether they can be read.

    Exit code 1 if one of them cannot.
    """
    with common.reading(answer, attached=[]) as engine:
        location = engine.store.location
        tables = engine.attached.tables
        found = [_as_dict(each) for each in tables]
        rows = [_row(each) for each in tables]
    if answer.as_json:
        answer.print_json(store=location, attached=found, note=None)
    elif rows:
        answer.print_table(_TABLES, rows)
    else:
        answer.print_line("no database is attached")
    raise click.exceptions.Exit(1 if any(each["problem"] for each in found) else 0)


@federate.command()
@_database
@_table
@_columns
def view(database: Path, table: str, columns: tuple[str, ...]) -> None:
    """Create the document's view model_performance in another program's database.

    This is the only command that writes into such a database; the view sums up its table of outcomes.
    """
    from modelperf_plugin.exchange.attached.view import create_view

    create_view(database, table, _mapping(columns))
    Answer("federate view").print_line(f"{database} has the view model_performance now")


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    from modelperf_plugin.exchange.attached.shapes import COLUMNS

    return parse_columns(columns, COLUMNS)


def _counts(reader: AttachedTable) -> tuple[int, int]:
    tallies = [tally for models in reader.tallies().values() for tally in models.values()]
    return sum(tally.samples for tally in tallies), len(tallies)


def _shape(reader: AttachedTable) -> str:
    shape = reader.shape
    return "-" if shape is None else ", ".join(f"{ours} = {theirs}" for ours, theirs in shape.columns.items())


def _row(reader: AttachedTable) -> list[str]:
    outcomes, pairs = _counts(reader)
    tallies = [tally for models in reader.tallies().values() for tally in models.values()]
    newest = max((tally.last_used for tally in tallies if tally.last_used is not None), default=None)
    state = reader.problem.removeprefix(f"{reader.attached.path} ") if reader.problem else "ok"
    return [
        reader.attached.path, reader.attached.name, state, f"{outcomes:,}", f"{pairs:,}", ago(newest), _shape(reader)
    ]  # fmt: skip


def _as_dict(reader: AttachedTable) -> dict[str, Any]:
    outcomes, pairs = _counts(reader)
    shape = reader.shape
    return {
        "path": reader.attached.path,
        "table": reader.attached.name,
        "columns": None if shape is None else dict(shape.columns),
        "outcomes": outcomes,
        "pairs": pairs,
        "problem": reader.problem,
    }
