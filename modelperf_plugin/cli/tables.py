"""Lay out tables: what is shown of a table, and how wide, on a terminal that has too few columns for all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, TypeVar

from modelperf_plugin.cli.terminal_text import printable
from modelperf_plugin.text import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Row = TypeVar("Row")
Cell = str | tuple[str, str]
"""Text, or text with a rich style; the words for a status have a style of their own."""

_STYLES: Final = {
    "ok": "green", "ranked": "green", "pinned": "cyan", "unproven": "yellow",
    "demoted": "red", "unavailable": "red", "problem": "bold red",
}  # fmt: skip
_GAP: Final = 2
"""Columns of the terminal between two columns of a table."""
_MIN_TEXT: Final = 10
_MIN_PROSE: Final = 28
_MIN_ONLY_PROSE: Final = 18
"""The same beside nothing but names."""
_LONG_NAME: Final = 24
"""Width that is left to names that are too long for any layout."""
RECORD_TITLE: Final = 14
"""Width of the titles in records: a name that fits beside them is never broken."""


class Column(NamedTuple, Generic[Row]):
    """A column of a table."""

    title: str
    cell: Callable[[Row], Cell]
    style: str = ""
    kind: Literal["name", "whole", "text", "prose"] = "text"
    """A name is always shown whole, so that it can be copied; ``whole`` is shown whole or not at all, as numbers are; a
    text may be shortened; prose is wrapped, below the table if there is no room in it."""
    align_right: bool = False
    optional: bool = False
    """Whether it is left out before others on a terminal too narrow for all columns."""


def number(title: str, cell: Callable[[Row], Cell], *, optional: bool = False) -> Column[Row]:
    """Return a column of numbers, aligned right."""
    return Column(title, cell, kind="whole", align_right=True, optional=optional)


def named(title: str, cell: Callable[[Row], Cell], style: str = "") -> Column[Row]:
    """Return a column of names or ids."""
    return Column(title, cell, style, kind="name")


def prose(title: str, cell: Callable[[Row], Cell]) -> Column[Row]:
    """Return a column of sentences."""
    return Column(title, cell, kind="prose")


def drawn(title: str, cell: Callable[[Row], Cell], *, optional: bool = False) -> Column[Row]:
    """Return a column of bars."""
    return Column(title, cell, "cyan", kind="whole", optional=optional)


class Layout(NamedTuple):
    """How a table is shown."""

    widths: Mapping[int, int]
    """The columns that are shown, by position, and how wide."""
    prose: Sequence[int]
    """Columns whose texts follow below the table."""
    left_out: Sequence[int]


def lay_out(columns: Sequence[Column[Any]], widths: Sequence[int], available: int) -> Layout | None:
    """Return how to show columns with ``widths`` on a terminal; None if only records of one line per value fit.

    Columns without a width are not shown. Texts are shortened first, then columns are left out: optional ones first,
    the last first, but never names.
    """
    shown = [position for position, width in enumerate(widths) if width]
    names = [position for position in shown if not position or columns[position].kind == "name"]
    prose = [position for position in shown if columns[position].kind == "prose" and position not in names]
    optional = [position for position in shown if columns[position].optional and position not in {*names, *prose}]
    others = [position for position in shown if position not in {*names, *prose, *optional}]
    least = {
        position: _least(columns[position], widths[position], _MIN_PROSE if others else _MIN_ONLY_PROSE)
        for position in shown
    } | {position: _name_width(widths[position], available, is_first=not position) for position in names}
    wanted = {position: least[position] if position in names else widths[position] for position in shown}
    left_out = _without(shown, optional, least, available)
    if left_out is not None:
        prose = []
    else:
        shown = [position for position in shown if position not in prose]
        left_out = _without(shown, [*others, *optional], least, available)
    if left_out is None or (left_out and not set(shown) - set(names) - set(left_out)):
        return None
    kept = {position: least[position] for position in shown if position not in left_out}
    return Layout(_grown(kept, wanted, available), prose, left_out)


def _without(
    shown: Sequence[int], dispensable: Sequence[int], least: Mapping[int, int], available: int
) -> list[int] | None:  # fmt: skip
    """Return which columns to leave out, of the last dispensable ones, for the rest to fit; None if none do."""
    for number_of_columns in range(len(dispensable) + 1):
        left_out = dispensable[len(dispensable) - number_of_columns :]
        if _total(least[position] for position in shown if position not in left_out) <= available:
            return sorted(left_out)
    return None


def _least(column: Column[Any], width: int, least_prose: int) -> int:
    if column.kind == "whole":
        return width
    return min(width, max(len(column.title), least_prose if column.kind == "prose" else _MIN_TEXT))


def _name_width(width: int, available: int, *, is_first: bool) -> int:
    is_whole = width <= available - (0 if is_first else RECORD_TITLE + _GAP)
    return width if is_whole else min(width, _LONG_NAME)


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + _GAP * (len(each) - 1)


def _grown(widths: Mapping[int, int], wanted: Mapping[int, int], available: int) -> dict[int, int]:
    """Return the widths with the room that is left shared among the columns that want more."""
    grown, room = dict(widths), available - _total(widths.values())
    growing = sorted((each for each in widths if wanted[each] > widths[each]), key=lambda each: wanted[each])
    for place, each in enumerate(growing):
        more = min(wanted[each] - grown[each], room // (len(growing) - place))
        grown[each] += more
        room -= more
    return grown


def beside_names(widths: Sequence[int], position: int, available: int) -> dict[int, int] | None:
    """Return the widths of a table of names and the texts of one column; None if there is no room for it."""
    room = available - widths[0] - _GAP
    return {0: widths[0], position: min(widths[position], room)} if room >= _MIN_ONLY_PROSE else None


def styled(cell: Cell) -> Text:
    """Return a cell as text of rich, free of what would steer a terminal."""
    from rich.text import Text

    if isinstance(cell, str):
        return Text(printable(cell), _STYLES.get(cell, ""))
    return Text(printable(cell[0]), cell[1])


def cells_of(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> list[list[Text]]:
    """Return the cells of a table."""
    return [[styled(column.cell(row)) for column in columns] for row in rows]


def widths_of(columns: Sequence[Column[Any]], cells: Sequence[Sequence[Text]]) -> list[int]:
    """Return how wide each column is as a whole; 0 for one that is empty, except the first."""
    from rich.text import Text

    return [
        max([Text(column.title).cell_len, *[row[position].cell_len for row in cells]])
        if not position or any(row[position].plain not in {"", UNKNOWN} for row in cells)
        else 0
        for position, column in enumerate(columns)
    ]


def plain_table(columns: Sequence[Column[Any]], cells: Iterable[Sequence[Text]]) -> Table:
    """Return a table for an output that is not a terminal: every column, and nothing shortened."""
    from rich.table import Table

    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 1))
    for column in columns:
        table.add_column(styled(column.title), justify="right" if column.align_right else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    return table


def terminal_table(
    columns: Sequence[Column[Any]], cells: Iterable[Sequence[Text]], widths: Mapping[int, int]
) -> Table:  # fmt: skip
    """Return a table for a terminal, of the columns that have a width."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for position, width in widths.items():
        column = columns[position]
        is_shortened = column.kind == "text" and position > 0
        table.add_column(
            styled(column.title), justify="right" if column.align_right else "left", style=column.style, width=width,
            no_wrap=is_shortened, overflow="ellipsis" if is_shortened else "fold",
        )  # fmt: skip
    for row in cells:
        table.add_row(*(row[position] for position in widths))
    return table


def record(facts: Iterable[tuple[str, Text]]) -> Table:
    """Return the values of one row below each other, with their titles."""
    from rich.table import Table

    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, max_width=RECORD_TITLE, overflow="ellipsis")
    grid.add_column(overflow="fold")
    for title, value in facts:
        grid.add_row(styled((title, "bold")), value)
    return grid
