"""Print a command's answer: as JSON or CSV, as tables on a terminal, as plain text elsewhere."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

import click

from modelperf_plugin.cli.tables import (
    RECORD_TITLE,
    Cell,
    Column,
    Row,
    beside_names,
    cells_of,
    lay_out,
    plain_table,
    record,
    styled,
    terminal_table,
    widths_of,
)
from modelperf_plugin.cli.terminal_text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Record = TypeVar("Record", bound="_HasDict")

SCHEMA_VERSION: Final = 1
"""Version of all ``--json`` output: raised when a key changes its meaning or is removed."""
_UNLIMITED_WIDTH: Final = 100_000
"""Columns of an output that is not a terminal, so that nothing is cut off or wrapped there."""


class _HasDict(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


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
        for each in records:
            writer.writerow({key: int(value) if isinstance(value, bool) else value for key, value in each.items()})
        write_data(text.getvalue())

    def exit_with_note(self, note: str, **empty: Any) -> NoReturn:
        """Answer that there is nothing to show, and why; exit with code 1, a negative finding."""
        if self.as_json:
            self.print_json(**empty, note=note)
        else:
            click.echo(printable(note), err=True)
        raise click.exceptions.Exit(1)

    def print_aside(self, note: str) -> None:
        """Print to standard error what a person should know about the answer; programs get nothing."""
        if not self.as_json and not self.as_csv:
            click.echo(f"note: {printable(note)}", err=True)

    def print_line(self, *parts: Cell) -> None:
        """Print a line of texts, each plain or with a style."""
        from rich.text import Text

        self._print(Text().join(styled(part) for part in parts))

    def print_facts(self, facts: Iterable[tuple[str, Cell]]) -> None:
        """Print names, each with its value."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        for name, value in facts:
            grid.add_row(styled((name, "bold")), styled(value))
        self._print(grid)

    def print_command(self, text: str) -> None:
        """Print a command to be copied, without wrapping it."""
        from rich.text import Text

        self._print(Text(f"  {printable(text)}", "cyan"), soft_wrap=True)

    def print_table(self, columns: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
        """Print a table; the first column names the rows.

        On a terminal, empty columns are left out, and what does not fit is shortened or left out, with a note. Names
        are always whole: where they do not fit side by side, each row becomes a list of names and values.
        """
        cells = cells_of(columns, rows)
        if not self.is_terminal:
            self._print(plain_table(columns, cells))
            return
        widths = widths_of(columns, cells)
        layout = lay_out(columns, widths, self._console.width)
        if layout is None:
            self._print_records(columns, cells, widths)
            return
        self._print(terminal_table(columns, cells, layout.widths))
        if layout.left_out:
            self.print_line((f"no room for: {', '.join(columns[each].title for each in layout.left_out)}", "dim"))
        for position in layout.prose:
            self.print_line()
            beside = beside_names(widths, position, self._console.width)
            if beside is None:
                shown = [width if each in {0, position} else 0 for each, width in enumerate(widths)]
                self._print_records(columns, cells, shown)
            else:
                self._print(terminal_table(columns, cells, beside))

    def _print_records(
        self, columns: Sequence[Column[Any]], cells: Sequence[Sequence[Text]], widths: Sequence[int]
    ) -> None:  # fmt: skip
        """Print the columns that have a width as a list for each row; a long first name is a line of its own."""
        for number_of_row, row in enumerate(cells):
            if number_of_row:
                self.print_line()
            shown = [position for position, width in enumerate(widths) if width]
            if row[0].cell_len > self._console.width - RECORD_TITLE - 2:
                self._print(row[shown.pop(0)])
            self._print(record([(columns[position].title, row[position]) for position in shown]))

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

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        if self.is_terminal:
            return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        return Console(
            file=sys.stdout, force_terminal=False, color_system=None, width=_UNLIMITED_WIDTH, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip

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
