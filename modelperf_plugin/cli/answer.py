"""How an answer is given: as JSON, as tables on a terminal, or as plain text anywhere else."""

from __future__ import annotations

import csv
import json
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import click

from modelperf_plugin.cli.terminal_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

Cell = str | tuple[str, str]
"""Text, or text with a style; the words for a status have a style of their own."""

SCHEMA_VERSION: Final = 1
"""Of everything that ``--json`` prints: raised when a key changes its meaning or goes away."""
_ENDLESS: Final = 100_000
"""Columns of an output that is not a terminal: nothing is ever cut off or broken there."""
_STYLES: Final = {
    "ok": "green", "ranked": "green", "pinned": "cyan", "unproven": "yellow",
    "demoted": "red", "unavailable": "red", "problem": "bold red",
}  # fmt: skip


class Column(NamedTuple):
    """One column of a table."""

    title: str
    """Its head."""
    style: str = ""
    """How its cells look on a terminal."""
    right: bool = False
    """Whether its cells, numbers, are aligned to the right."""
    overflow: bool = False
    """Whether it is long text, which gets a table of its own on a terminal that is too narrow for both."""


def number(title: str, *, overflow: bool = False) -> Column:
    """Return a column of numbers."""
    return Column(title, right=True, overflow=overflow)


class Answer:
    """The answer of one command."""

    def __init__(self, command: str, *, as_json: bool = False, as_csv: bool = False) -> None:
        """Answer for a person, or for a program as JSON or CSV.

        Raises:
            click.UsageError: both were asked for.
        """
        if as_json and as_csv:
            raise click.UsageError("--json and --csv are two answers: choose one of them")
        self._command = command
        self.as_json = as_json
        """Whether the answer is for a program: then only :meth:`print_json` may print."""
        self.as_csv = as_csv
        """Whether the answer is for a spreadsheet: then only :meth:`print_csv` may print."""

    @cached_property
    def is_terminal(self) -> bool:
        """Whether a person sees it."""
        return sys.stdout.isatty()

    def print_json(self, **payload: Any) -> None:
        """Print the whole answer as JSON."""
        document = {"schema_version": SCHEMA_VERSION, "command": self._command, **payload}
        click.echo(json.dumps(document, indent=2, allow_nan=False))

    def print_csv(self, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
        """Print records as CSV with all their digits; what is not known is empty, yes is 1 and no is 0."""
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({key: int(value) if isinstance(value, bool) else value for key, value in record.items()})

    def exit_with_note(self, note: str, **empty: Any) -> NoReturn:
        """Answer that there is nothing to show, a negative finding, and why."""
        if self.as_json:
            self.print_json(**empty, note=note)
        else:
            click.echo(printable(note), err=True)
        raise click.exceptions.Exit(1)

    def print_line(self, *parts: Cell) -> None:
        """Print one line made of texts, each plain or with a style."""
        from rich.text import Text

        self._print(Text().join(_cell(part) for part in parts))

    def print_facts(self, facts: Iterable[tuple[str, Cell]]) -> None:
        """Print names, each with what there is to say about it."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        for name, content in facts:
            grid.add_row(_cell((name, "bold")), _cell(content))
        self._print(grid)

    def print_command(self, text: str) -> None:
        """Print a command to be copied: in one piece, however long."""
        from rich.text import Text

        self._print(Text(f"  {printable(text)}", "cyan"), soft_wrap=True)

    def print_table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Print a table. The first column names the rows.

        On a terminal that is too narrow, as many of the last columns that may stand aside as need be get a second
        table, which names the rows again.
        """
        rows = list(rows)
        asides = [position for position, column in enumerate(columns) if column.overflow]
        for moved in range(len(asides) + 1 if self.is_terminal else 1):
            below = asides[len(asides) - moved :]
            main = _table(columns, rows, [each for each in range(len(columns)) if each not in below], self.is_terminal)
            if self._fits(main):
                break
        self._print(main)
        if below:
            self.print_line()
            self._print(_table(columns, rows, [0, *below], self.is_terminal))

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        if self.is_terminal:
            return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        return Console(
            file=sys.stdout, force_terminal=False, color_system=None, width=_ENDLESS, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip

    def _fits(self, table: Table) -> bool:
        endless = self._console.options.update(width=_ENDLESS)
        return self._console.measure(table, options=endless).maximum <= self._console.width

    def _print(self, renderable: Any, *, soft_wrap: bool = False) -> None:
        if self.is_terminal:
            self._console.print(renderable, soft_wrap=soft_wrap)
            return
        with self._console.capture() as capture:
            self._console.print(renderable)
        click.echo("\n".join(row.rstrip() for row in capture.get().split("\n")), nl=False)


class BufferedAnswer(Answer):
    """An answer that is collected to be shown all at once, and again."""

    is_terminal = True

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.renderables: list[RenderableType] = []
        """What was printed so far."""

    def _print(self, renderable: Any, *, soft_wrap: bool = False) -> None:  # noqa: ARG002 - the signature of an Answer
        self.renderables.append(renderable)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], shown: Sequence[int], terminal: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD if terminal else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0 if terminal else 1),
        header_style="bold",
    )
    for column in (columns[position] for position in shown):
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            style=column.style,
            overflow="fold",
            no_wrap=column.right,
        )
    for row in rows:
        table.add_row(*(_cell(row[position]) for position in shown))
    return table


def _cell(content: Cell) -> Text:
    from rich.text import Text

    if isinstance(content, str):
        return Text(printable(content), _STYLES.get(content, ""))
    return Text(printable(content[0]), content[1])
