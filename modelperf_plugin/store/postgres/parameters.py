"""Parameters of statements for PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def storable(text: str) -> str:
    """Return a text without U+0000, which a column of PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Return rows by column: an array for each of their ``width`` values, also if there are no rows."""
    return [[row[place] for row in rows] for place in range(width)]
