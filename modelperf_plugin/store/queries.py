"""SQL lives in ``.sql`` files; this reads them. Nothing is read before a store is opened."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


class Migration(NamedTuple):
    """One step of a schema."""

    version: int
    """The ``user_version`` after it."""
    name: str
    """What it is called, for messages."""
    script: str
    """Its statements."""


@cache
def load_queries(dialect: str, name: str = "queries.sql") -> dict[str, str]:
    """Return the statements of one file of ``<dialect>/sql`` by name.

    A statement is headed by a line ``-- name --`` and a line of comment that says what it is for.
    """
    parts = _NAME.split(load_text(dialect, name))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def load_migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the numbered scripts of ``<dialect>/sql/migrations`` in their order."""
    folder = files(__package__) / dialect / "sql" / "migrations"
    found = sorted(
        Migration(int(path.name.split("_", 1)[0]), path.name.removesuffix(".sql"), path.read_text("utf-8"))
        for path in folder.iterdir()
        if path.name.endswith(".sql")
    )
    return tuple(found)


def load_text(dialect: str, name: str) -> str:
    """Return the text of one file of ``<dialect>/sql``."""
    return (files(__package__) / dialect / "sql" / name).read_text("utf-8")
