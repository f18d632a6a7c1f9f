"""The migration guide's view in another program's database: the only thing that is written there, on command."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.shapes import recognise


def create_view(database: Path, table: str, columns: Mapping[str, str]) -> None:
    """Create the view ``model_performance`` over ``table``; raise StoreError, with nothing changed, if it cannot be."""
    if not database.is_file():
        raise StoreError(f"{database} does not exist")
    uri = f"{database.absolute().as_uri()}?mode=rw"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            connection.execute(recognise(connection, table, columns).statement("create_view"))
        finally:
            connection.close()
    except StoreError as error:
        raise StoreError(f"{database} {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{database}: the view was not created ({error})") from error
