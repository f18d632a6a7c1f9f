"""Recovering all readable rows of a damaged SQLite file; the file itself is set aside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from modelperf_plugin.errors import (
    NotATrackerError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreOutdatedError,
    StoreVersionError,
)
from modelperf_plugin.store.beside import has_content, target_of
from modelperf_plugin.store.sqlite.identity import describe, is_ours
from modelperf_plugin.store.sqlite.pairs import LOST_TASK_TYPE
from modelperf_plugin.store.sqlite.recovery import Recovery, recover
from modelperf_plugin.store.sqlite.replacing import exclusively, replace
from modelperf_plugin.store.sqlite.store import open_sqlite_read_only
from modelperf_plugin.text import count


class Salvage(NamedTuple):
    """The result of salvaging a file."""

    aside: Path
    """The new path of the damaged file."""
    recovery: Recovery
    """What was moved into the new file."""

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        found = self.recovery
        saved = [f"{found.outcomes:,} outcomes were saved with all their details"]
        if found.counted:
            saved.append(f"{found.counted:,} outcomes are lost but for their counts, which are kept")
        if found.lost:
            saved.append(f"about {found.lost:,} outcomes are lost together with their counts")
        if found.merged:
            saved.append(f"{count(found.merged, 'pair')} had two numbers and were put together")
        if found.unnamed:
            names = count(len(found.unnamed), "pair")
            saved.append(f"the names of {names} are lost: their outcomes are kept under the task type {LOST_TASK_TYPE}")
        if found.unreadable:
            saved.append(f"parts of these tables could not be read: {', '.join(found.unreadable)}")
        saved.append(f"the damaged file was set aside as {self.aside}")
        return saved


def is_sound(path: str) -> bool:
    """Return whether SQLite finds no damage in the file, which is not empty; reads all of it.

    Raises:
        StoreError: it cannot be read, for another reason than damage.
    """
    if not has_content(target_of(path)):
        return False
    try:
        with closing(open_sqlite_read_only(path)) as store:
            return all(each.ok for each in store.maintenance.check() if each.name in {"integrity", "schema"})
    except StoreOutdatedError:
        return True  # it opens, and is migrated
    except (NotATrackerError, StoreVersionError):
        raise
    except StoreError as error:
        if isinstance(error, (StoreBusyError, StoreFailedError)) and not isinstance(error, StoreDamagedError):
            raise
        return False


def salvage(path: str) -> Salvage:
    """Replace the damaged file at ``path`` by a new one with all rows that can be read.

    Raises:
        NotATrackerError: it neither is nor was a database of ours.
        StoreBusyError: a host has it open.
        StoreFailedError: there is no room for the copy, or the folder cannot be written; the file is unchanged.
    """
    file = target_of(path)
    if not is_ours(file):
        raise NotATrackerError(f"{path} {describe(file)}; it was not changed")
    try:
        with exclusively(path, "repair it") as folder:
            new = folder / "new.db"
            recovery = recover(file, new)
            return Salvage(replace(file, new, "damaged") or file, recovery)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailedError(f"{path} could not be repaired: {error}; it is as it was") from error
