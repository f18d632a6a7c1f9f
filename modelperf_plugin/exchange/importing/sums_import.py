"""Import of many sums in short steps, so that no host waits for it; an interrupted one is resumed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelperf_plugin.store import ImportRecord, Step, Store, Sums

SUMS_PER_STEP: Final = 40
"""So many are written in about a millisecond, for which a host may have to wait."""
_NONE_YET: Final = -1
"""The position of an import without a sum; each sum brings it down by one, and the last step to that of the end."""


class SteppedImport:
    """Imports the sums of a source; every method but the constructor takes one short transaction.

    They replace those of an older version of the source. An import of the same content that was interrupted continues
    after its last step. Each method returns False if another process has moved the import meanwhile, which then is the
    one to end it.
    """

    def __init__(self, store: Store, final: Step) -> None:
        """Take the progress of the whole: digest, position at the end, number of rejections."""
        self._imports = store.imports
        self._final = final
        self._at = final._replace(position=_NONE_YET, from_position=_NONE_YET, rejected=0)

    @property
    def done(self) -> int:
        """How many sums have been imported, now or before an interruption."""
        return _NONE_YET - self._at.position

    def begin(self) -> bool:
        """Begin or resume; return False if the same content was imported before, from whichever source."""
        newest: dict[str, ImportRecord] = {}
        records = self._imports.all(self._final.kind)
        for record in records:
            newest.setdefault(record.source, record)
        if any(record.is_complete and record.digest == self._final.digest for record in newest.values()):
            return False
        known = newest.get(self._final.source)
        if known is not None and not known.is_complete and known.digest == self._final.digest:
            self._at = self._at._replace(import_id=known.import_id, position=known.position)
            return True
        latest = max((record.import_id for record in records), default=0)
        import_id = self._imports.add_some_sums(self._at._replace(newest=latest), [])
        self._at = self._at._replace(import_id=import_id)
        return import_id is not None

    def remove_older(self) -> bool | None:
        """Remove some sums of an older version; return True if none are left, None if some may be."""
        if self.done:
            return True
        removed = self._imports.remove_some_sums(self._at._replace(from_position=_NONE_YET), SUMS_PER_STEP)
        return False if removed is None else True if removed == 0 else None

    def add(self, sums: Iterable[Sums]) -> bool:
        """Add the next sums, :data:`SUMS_PER_STEP` of them at most."""
        part = list(sums)
        step = self._at._replace(from_position=self._at.position, position=self._at.position - len(part))
        moved = self._imports.add_some_sums(step, part) is not None
        if moved:
            self._at = step
        return moved

    def end(self) -> bool:
        """Note that nothing is missing."""
        final = self._final._replace(import_id=self._at.import_id, from_position=self._at.position)
        return self._imports.add_some_sums(final, []) is not None


def import_in_steps(store: Store, final: Step, sums: Iterable[Sums]) -> bool:
    """Import sums that are at hand; return False if the same content was imported before, or is just being imported."""
    stepped = SteppedImport(store, final)
    if not stepped.begin():
        return False
    while (is_removed := stepped.remove_older()) is None:
        pass
    rest = list(sums)[stepped.done :]
    return (
        is_removed
        and all(stepped.add(rest[at : at + SUMS_PER_STEP]) for at in range(0, len(rest), SUMS_PER_STEP))
        and stepped.end()
    )
