"""Loads SQL from ``.sql`` files, on first use."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


class Migration(NamedTuple):
    """One numbered migration of a schema."""

    version: int
    """The ``user_version`` after it."""
    name: str
    """For messages."""
    script: str


@cache
def load_queries(dialect: str, name: str = "queries.sql") -> dict[str, str]:
    """Return the statements of one file of ``<dialect>/sql`` by name.

    Each statement follows a line ``-- name --`` and a comment line that describes it.
    """
    parts = _NAME.split(load_text(dialect, name))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def load_migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations in ``<dialect>/sql/migrations``, in order."""
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
