"""Merging another project's experience as a prior, which can be removed again and never adds to the own counts."""

from __future__ import annotations

from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.exchange.sharing.share import GENERAL, Export, first_tries
from modelperf_plugin.store import Merged, Store
from modelperf_plugin.values import Tally, check_amount, check_id

STRENGTH: Final = 10.0
"""The default of the maximum number of own outcomes that a merged pair counts as."""
GENERAL_STRENGTH: Final = 30.0
"""The same of a leaderboard on no particular task type: how much models differ between task types limits it anyway."""
MAX_STRENGTH: Final = 10_000.0
GENERAL_PREFIX: Final = "\x1f"
"""Begins the task type under which a source's counts on no particular one are stored; no task type of a host does."""


class MergeResult(NamedTuple):
    """The result of a merge, or of its dry run."""

    name: str
    replaces: str | None
    """The older export of the same project that it replaces."""
    is_known: bool
    """Whether the same export was merged before; then nothing changes."""


def merge(
    store: Store, export: Export, name: str, now_ms: int, *, strength: float = STRENGTH, dry_run: bool = False
) -> MergeResult:
    """Store the first tries of an export as a prior under ``name``; it replaces an older export of the same project.

    Raises InvalidValueError if the export is from this store, the name is taken, or a value is not usable.
    """
    check_id("name", name)
    check_amount("strength", strength, MAX_STRENGTH)
    if export.origin is not None and export.origin == store.merged.origin():
        raise InvalidValueError("an export", "of another store", name, typed=True)
    known = store.merged.all()
    older = next((source for source in known if export.origin is not None and source.origin == export.origin), None)
    taken = next((source for source in known if source.name == name), None)
    if older is None and taken is not None and (taken.origin is None) and (export.origin is None):
        older = taken
    if taken is not None and taken is not older:
        requirement = "one that no other merged project has (give another with --name)"
        raise InvalidValueError("name", requirement, name, typed=True)
    if older is not None and (older.digest, older.strength, older.name) == (export.digest, strength, name):
        return MergeResult(name, None, is_known=True)
    replaces = None if older is None else older.name
    if not dry_run:
        source = Merged(0, name, export.origin, export.digest, float(strength), now_ms, 0, 0)
        entries = (_stored(first_tries(tally), name) for tally in export.entries)
        store.merged.add(source, entries, replaces=replaces)
    return MergeResult(name, replaces, is_known=False)


def _stored(tally: Tally, name: str) -> Tally:
    """Return a tally as it is stored.

    A source's counts on no particular task type are a task type of their own, which nobody asks for. So the fit tells
    how hard that source is from how good its models are, and takes over the latter.
    """
    return tally._replace(task_type=GENERAL_PREFIX + name) if tally.task_type == GENERAL else tally
