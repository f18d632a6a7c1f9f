"""Merging another project's experience: a prior that can be traced and taken out again, never counts of one's own."""

from __future__ import annotations

from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.exchange.sharing.share import Export
from modelperf_plugin.store import Merged, Store
from modelperf_plugin.values import check_amount, check_id

STRENGTH: Final = 10.0
"""By default a pair of another project counts as this many outcomes of one's own, at most."""
MAX_STRENGTH: Final = 10_000.0


class MergeResult(NamedTuple):
    """What merging a file has done, or would do."""

    name: str
    """Under which name it is kept."""
    replaces: str | None
    """The older export of the same project whose place it takes."""
    is_known: bool
    """Whether exactly this is merged already: then nothing is done."""


def merge(
    store: Store, export: Export, name: str, now_ms: int, *, strength: float = STRENGTH, dry_run: bool = False
) -> MergeResult:
    """Keep an export as a prior under ``name``, in place of an older export of the same project.

    Raises:
        InvalidValueError: it is of this very store, the name is another project's, or a value is not usable.
    """
    check_id("name", name)
    check_amount("strength", strength, MAX_STRENGTH)
    if export.origin is not None and export.origin == store.merged.origin():
        raise InvalidValueError("an export", "of another store", name)
    known = store.merged.all()
    older = next((each for each in known if export.origin is not None and each.origin == export.origin), None)
    taken = next((each for each in known if each.name == name), None)
    if older is None and taken is not None and (taken.origin is None) and (export.origin is None):
        older = taken
    if taken is not None and taken is not older:
        raise InvalidValueError("name", "one that no other merged project has (give another with --name)", name)
    if older is not None and (older.digest, older.strength, older.name) == (export.digest, strength, name):
        return MergeResult(name, None, is_known=True)
    replaces = None if older is None else older.name
    if not dry_run:
        source = Merged(0, name, export.origin, export.digest, float(strength), now_ms, 0, 0)
        store.merged.add(source, export.entries, replaces=replaces)
    return MergeResult(name, replaces, is_known=False)
