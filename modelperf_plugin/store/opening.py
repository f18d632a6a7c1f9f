"""From a path or URL to a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store.base import Store
from modelperf_plugin.store.sqlite import SqliteStore


def open_store(location: str | os.PathLike[str], *, durability: Literal["normal", "full"] = "normal") -> Store:
    """Open the store at ``location``: a path, ``":memory:"`` or ``sqlite:///path``. A new file is created.

    Raises:
        InvalidValueError: this version has no store for such a URL.
        StoreError: it cannot be opened; the message says why.
    """
    return SqliteStore(_sqlite_path(os.fspath(location)), durability=durability)


def _sqlite_path(location: str) -> str:
    if not location or "\x00" in location:
        raise InvalidValueError("store", "a path, a URL or ':memory:'", location)
    if location == ":memory:":
        return location
    if "://" not in location:
        return str(Path(location).expanduser())
    parts = urlsplit(location)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        raise InvalidValueError("store", "a path, ':memory:' or sqlite:///path (this version knows no other)", location)
    return unquote(parts.path[1:])
