"""What a table shows on a terminal that has no room for all of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.cli.tables import Column, lay_out, named, number, prose

KINDS = st.sampled_from(["name", "whole", "text", "prose"])
COLUMNS = st.lists(
    st.tuples(KINDS, st.booleans(), st.integers(min_value=3, max_value=60)), min_size=1, max_size=10
)  # fmt: skip


def column(kind: Any, *, optional: bool) -> Column[Any]:
    """Return a column with a short title."""
    return Column("abc", str, kind=kind, optional=optional)


@given(COLUMNS, st.integers(min_value=40, max_value=160))
def test_a_layout_fits_and_keeps_names_whole(given_columns: list[tuple[Any, bool, int]], available: int) -> None:
    """No layout is wider than the terminal; names are there as a whole, whatever else is left out."""
    columns = [column(kind, optional=optional) for kind, optional, _ in given_columns]
    widths = [width for _, _, width in given_columns]
    layout = lay_out(columns, widths, available)
    if layout is None:
        assert sum(widths) + 2 * (len(widths) - 1) > available
        return
    assert sum(layout.widths.values()) + 2 * (len(layout.widths) - 1) <= available
    for position, each in enumerate(columns):
        if (each.kind == "name" or not position) and widths[position] <= available - 16:
            assert layout.widths[position] == widths[position]
    assert sorted([*layout.widths, *layout.prose, *layout.left_out]) == list(range(len(columns)))


def test_texts_are_shortened_before_columns_are_left_out() -> None:
    """Then optional columns go, the last first; numbers are whole or not there."""
    columns: list[Column[Any]] = [
        named("id", str),
        Column("outcome", str),
        number("n", str),
        number("m", str, optional=True),
    ]
    widths = [20, 40, 8, 8]
    assert lay_out(columns, widths, 82) == ({0: 20, 1: 40, 2: 8, 3: 8}, [], [])
    assert lay_out(columns, widths, 60) == ({0: 20, 1: 18, 2: 8, 3: 8}, [], [])
    assert lay_out(columns, widths, 50) == ({0: 20, 1: 18, 2: 8}, [], [3])


def test_sentences_follow_below_a_table_without_room() -> None:
    """They are wrapped beside the numbers if there is room enough, and are never left out."""
    columns: list[Column[Any]] = [named("model", str), number("n", str), prose("reason", str)]
    assert lay_out(columns, [20, 8, 90], 80) == ({0: 20, 1: 8, 2: 48}, [], [])
    assert lay_out(columns, [20, 8, 90], 50) == ({0: 20, 1: 8}, [2], [])


def test_names_that_do_not_fit_side_by_side_have_no_table() -> None:
    """Each row is a list then."""
    columns: list[Column[Any]] = [named("id", str), named("model", str), number("n", str)]
    assert lay_out(columns, [30, 30, 4], 60) is None


def test_an_empty_column_takes_no_room() -> None:
    """It has no width."""
    columns: list[Column[Any]] = [named("id", str), number("n", str), number("m", str)]
    assert lay_out(columns, [20, 0, 8], 30) == ({0: 20, 2: 8}, [], [])
