"""Print a command's answer: as JSON or CSV, as tables on a terminal, as plain text elsewhere."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, NoReturn, Protocol, TypeVar

import click

from modelperf_plugin.cli.terminal_text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

Row = TypeVar("Row")
Record = TypeVar("Record", bound="_HasDict")
Cell = str | tuple[str, str]
"""Text, or text with a rich style; the words for a status have a style of their own."""

SCHEMA_VERSION: Final = 1
"""Version of all ``--json`` output: raised when a key changes its meaning or is removed."""
_UNLIMITED_WIDTH: Final = 100_000
"""Columns of an output that is not a terminal, so that nothing is cut off or wrapped there."""
_STYLES: Final = {
    "ok": "green", "ranked": "green", "pinned": "cyan", "unproven": "yellow",
    "demoted": "red", "unavailable": "red", "problem": "bold red",
}  # fmt: skip


class _HasDict(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


class Column(NamedTuple, Generic[Row]):
    """A column of a table."""

    title: str
    cell: Callable[[Row], Cell]
    style: str = ""
    align_right: bool = False
    movable: bool = False
    """Whether it moves to a second table on a terminal too narrow for all columns."""


def number(title: str, cell: Callable[[Row], Cell], *, movable: bool = False) -> Column[Row]:
    """Return a column of numbers, aligned right."""
    return Column(title, cell, align_right=True, movable=movable)


class Answer:
    """The answer of one command."""

    def __init__(self, command: str, *, as_json: bool = False, as_csv: bool = False) -> None:
        """Answer a person, or a program as JSON or CSV.

        Raises:
            click.UsageError: both JSON and CSV were requested.
        """
        if as_json and as_csv:
            raise click.UsageError("--json and --csv exclude each other: choose one of them")
        self._command = command
        self.as_json = as_json
        """If set, only :meth:`print_json` may print."""
        self.as_csv = as_csv
        """If set, only :meth:`print_csv` may print."""

    @cached_property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal."""
        return sys.stdout.isatty()

    def print_json(self, **payload: Any) -> None:
        """Print the whole answer as JSON."""
        document = {"schema_version": SCHEMA_VERSION, "command": self._command, **payload}
        write_data(json.dumps(document, indent=2, allow_nan=False) + "\n")

    def print_csv(self, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
        """Print records as CSV with all digits; None is empty, True is 1 and False is 0."""
        text = StringIO(newline="")
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({key: int(value) if isinstance(value, bool) else value for key, value in record.items()})
        write_data(text.getvalue())

    def exit_with_note(self, note: str, **empty: Any) -> NoReturn:
        """Answer that there is nothing to show, and why; exit with code 1, a negative finding."""
        if self.as_json:
            self.print_json(**empty, note=note)
        else:
            click.echo(printable(note), err=True)
        raise click.exceptions.Exit(1)

    def print_line(self, *parts: Cell) -> None:
        """Print a line of texts, each plain or with a style."""
        from rich.text import Text

        self._print(Text().join(_text(part) for part in parts))

    def print_facts(self, facts: Iterable[tuple[str, Cell]]) -> None:
        """Print names, each with its value."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        for name, value in facts:
            grid.add_row(_text((name, "bold")), _text(value))
        self._print(grid)

    def print_command(self, text: str) -> None:
        """Print a command to be copied, without wrapping it."""
        from rich.text import Text

        self._print(Text(f"  {printable(text)}", "cyan"), soft_wrap=True)

    def print_table(self, columns: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
        """Print a table; the first column names the rows.

        On a terminal that is too narrow, as many of the last movable columns as necessary go into a second table, which
        repeats the first column; if that is not enough, columns of numbers go into as many more as necessary.
        """
        cells = [[_text(column.cell(row)) for column in columns] for row in rows]
        movable = [position for position, column in enumerate(columns) if column.movable]
        for moves in range(len(movable) + 1 if self.is_terminal else 1):
            moved = movable[len(movable) - moves :]
            kept = [position for position in range(len(columns)) if position not in moved]
            if self._width(self._table(columns, cells, kept)).maximum <= self._console.width:
                break
        for number_of_table, shown in enumerate(self._split(columns, cells, kept, moved)):
            if number_of_table:
                self.print_line()
            self._print(self._table(columns, cells, shown))

    def print_rows(
        self, name: str, columns: Sequence[Column[Record]], rows: Sequence[Record], *, csv_columns: Sequence[str] = (),
        none: str, store: str,
    ) -> None:  # fmt: skip
        """Print rows: in JSON under ``name``, as CSV, as a table, or ``none`` if there are none."""
        if self.as_json:
            self.print_json(store=store, **{name: [row.as_dict() for row in rows]}, note=None)
        elif self.as_csv:
            self.print_csv(csv_columns, [row.as_dict() for row in rows])
        elif rows:
            self.print_table(columns, rows)
        else:
            self.print_line(none)

    def _split(
        self, columns: Sequence[Column[Any]], cells: Sequence[Sequence[Text]], kept: list[int], moved: list[int]
    ) -> list[list[int]]:
        """Return the columns of each table, no more of them in one than have room without breaking words.

        Names are not broken up to half of the width.
        """
        texts = [position for position in kept if position and not columns[position].align_right]
        tables = [[0, *texts]]
        for position in [*[each for each in kept if each and each not in texts], *moved]:
            table = sorted([*tables[-1], position])
            is_whole = self._width(self._table(columns, cells, table)).minimum <= self._console.width
            if (is_whole or tables[-1] == [0]) and (position not in moved or tables[-1][1:2] != kept[1:2]):
                tables[-1] = table
            else:
                tables.append([0, position])
        return tables

    def _table(self, columns: Sequence[Column[Any]], cells: Sequence[Sequence[Text]], shown: Sequence[int]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table_box, left = (box.SIMPLE_HEAD, 0) if self.is_terminal else (None, 1)
        table = Table(box=table_box, show_edge=False, pad_edge=False, padding=(0, 1, 0, left), header_style="bold")
        for position in shown:
            column, title = columns[position], Text(columns[position].title)
            whole = max([title.cell_len, *[row[position].cell_len for row in cells]])
            is_whole = column.align_right or (not position and whole <= self._console.width // 2)
            table.add_column(
                title, justify="right" if column.align_right else "left", style=column.style, overflow="fold",
                no_wrap=is_whole, min_width=whole if is_whole else None,
            )  # fmt: skip
        for row in cells:
            table.add_row(*(row[position] for position in shown))
        return table

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        if self.is_terminal:
            return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        return Console(
            file=sys.stdout, force_terminal=False, color_system=None, width=_UNLIMITED_WIDTH, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip

    def _width(self, table: Table) -> Measurement:
        """Return how wide a table is at least and at most."""
        return self._console.measure(table, options=self._console.options.update(width=_UNLIMITED_WIDTH))

    def _print(self, renderable: Any, *, soft_wrap: bool = False) -> None:
        if self.is_terminal:
            self._console.print(renderable, soft_wrap=soft_wrap)
            return
        with self._console.capture() as capture:
            self._console.print(renderable)
        click.echo("\n".join(line.rstrip() for line in capture.get().split("\n")), nl=False)


def write_data(text: str) -> None:
    """Write what programs read to standard output: in UTF-8, whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


class BufferedAnswer(Answer):
    """Collects an answer for a terminal instead of printing it."""

    is_terminal = True

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.renderables: list[RenderableType] = []

    def _print(self, renderable: Any, *, soft_wrap: bool = False) -> None:  # noqa: ARG002 - the signature of an Answer
        self.renderables.append(renderable)


def _text(cell: Cell) -> Text:
    from rich.text import Text

    if isinstance(cell, str):
        return Text(printable(cell), _STYLES.get(cell, ""))
    return Text(printable(cell[0]), cell[1])
