"""Choosing without an answer that a server has not given in time, and saying so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store.local import local_read
from modelperf_plugin.store.roles import Connection

_T = TypeVar("_T")


def unless_late(ask: Callable[[], _T], otherwise: _T) -> _T:
    """Return what ``ask`` returns or, for a choice that cannot wait for it, ``otherwise``."""
    try:
        return ask()
    except StoreBusyError:
        if local_read() is None:
            raise
        return otherwise


def lateness(connection: Connection) -> str:
    """Return what to add to the reason of a choice that was made without something; empty if it was not."""
    read = local_read()
    if read is None:
        return ""
    seconds = connection.behind
    if seconds is not None:
        without = f"what other hosts recorded in the last {max(1, round(seconds))} s"
    elif read.lacks:
        without = "evidence that was not read in time"
    else:
        return ""
    return f"; without {without}, as {connection.location} does not answer"
