"""``federate``: use other programs' databases as evidence."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.importing import parse_columns
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.tables import Column, named, number, prose
from modelperf_plugin.paths import path_text
from modelperf_plugin.text import UNKNOWN, ago, count
from modelperf_plugin.values import Tally

if TYPE_CHECKING:
    from modelperf_plugin.exchange.attached.table import AttachedTable

_TIMEOUT_SECONDS: Final = 60.0


def _tallies(table: AttachedTable) -> list[Tally]:
    return [tally for models in table.tallies().values() for tally in models.values()]


def _total(table: AttachedTable) -> Tally:
    from modelperf_plugin.analysis.views.trends import add_up

    return add_up(_tallies(table))


def _shape_text(table: AttachedTable) -> str:
    shape = table.shape
    return UNKNOWN if shape is None else ", ".join(f"{ours} = {theirs}" for ours, theirs in shape.columns.items())


_COLUMNS: Final[tuple[Column[AttachedTable], ...]] = (
    named("database", lambda table: table.attached.path, "bold"),
    named("table", lambda table: table.attached.name, "bold"),
    Column("state", lambda table: table.problem.removeprefix(f"{table.attached.path} ") if table.problem else "ok"),
    number("outcomes", lambda table: f"{_total(table).samples:,}"),
    number("pairs", lambda table: f"{len(_tallies(table)):,}"),
    number("last used", lambda table: ago(_total(table).last_used)),
    prose("read as", _shape_text),
)
_database_argument = click.argument("database", metavar="DB", type=click.Path(path_type=Path))
_table_option = click.option(
    "--table", metavar="NAME", default="llm_task_outcomes", show_default=True, help="Table or view to read."
)
_columns_option = click.option(
    "--column", "columns", metavar="OURS=THEIRS", multiple=True,
    help="What the table calls one of our columns; may be repeated.",
)  # fmt: skip


@group()
def federate() -> None:
    """Count the outcomes in other programs' databases."""


@federate.command(name="attach", examples=["tasks.db", "tasks.db --table tasks --column model_id=model"])
@_database_argument
@_table_option
@_columns_option
@common_options
def _attach(common: Common, answer: Answer, database: Path, table: str, columns: tuple[str, ...]) -> None:
    """Count another program's outcomes as evidence, from the next choice on.

    The database is opened read-only, and nothing is copied.
    """
    from modelperf_plugin.exchange.attached.table import AttachedTable
    from modelperf_plugin.store import Attached

    if path_text(database.absolute()) != str(database.absolute()):
        raise Refusal(f"{database} has a name that is not UTF-8 and cannot be stored: attach a link with another name")
    attached = Attached(str(database.absolute()), table, _mapping(columns), time.time_ns() // 1_000_000)
    with closing(AttachedTable(attached, level=logging.DEBUG)) as reader:
        reader.wait(_TIMEOUT_SECONDS)
        if reader.problem is not None:
            raise Refusal(reader.problem)
        outcomes, pairs = count(_total(reader).samples, "outcome"), count(len(_tallies(reader)), "pair")
        shape = _shape_text(reader)
    with common.opened_store() as store:
        store.attachments.add(attached)
    answer.print_line(f"{outcomes} of {pairs} in {database} count from now on")
    answer.print_line(f"read as {shape}")


@federate.command(name="detach", examples=["tasks.db"])
@click.argument("database", metavar="DB", type=click.Path(path_type=Path), shell_complete=completing.attached_databases)
@common_options
def _detach(common: Common, answer: Answer, database: Path) -> None:
    """Stop counting the outcomes in a database."""
    path = str(database.absolute())
    with common.writing(answer) as engine:
        if not engine.store.attachments.remove(path):
            if path in {str(Path(each.path).absolute()) for each in engine.config.federation}:
                raise Refusal(f"the configuration attaches {database}: remove its [[federation]] from the file")
            answer.exit_with_note(f"{database} is not attached")
    answer.print_line(f"the outcomes in {database} no longer count")


@federate.command(name="list", examples=[""])
@json_option
@common_options
def _list(common: Common, answer: Answer) -> None:
    """Show which databases are attached, and whether they are readable.

    Exits with code 1 if one is not.
    """
    with common.reading(answer, attached=[]) as engine:
        location = engine.store.location
        tables = engine.attached.tables
        if answer.as_json:
            answer.print_json(store=location, attached=[_as_dict(table) for table in tables], note=None)
        elif tables:
            answer.print_table(_COLUMNS, tables)
        else:
            answer.print_line("no database is attached")
        raise click.exceptions.Exit(1 if any(table.problem for table in tables) else 0)


@federate.command(name="view", examples=["tasks.db"])
@_database_argument
@_table_option
@_columns_option
def _view(database: Path, table: str, columns: tuple[str, ...]) -> None:
    """Create the view model_performance in another program's database.

    This is the only command that writes to such a database; the view sums up its table of outcomes.
    """
    from modelperf_plugin.exchange.attached.view import create_view

    create_view(database, table, _mapping(columns))
    Answer("federate view").print_line(f"created the view model_performance in {database}")


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    from modelperf_plugin.exchange.attached.shapes import COLUMNS

    return parse_columns(columns, COLUMNS)


def _as_dict(table: AttachedTable) -> dict[str, Any]:
    return {
        "path": table.attached.path, "table": table.attached.name,
        "columns": None if table.shape is None else dict(table.shape.columns), "outcomes": _total(table).samples,
        "pairs": len(_tallies(table)), "problem": table.problem,
    }  # fmt: skip
