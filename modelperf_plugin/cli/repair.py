"""What ``doctor --repair`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelperf_plugin.cli.terminal_text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelperf_plugin.store.fallback.spool import Batch


def repair_database(location: str) -> list[str]:
    """Mend the database at ``location``; return what was done, one sentence each.

    Raises:
        StoreError: it cannot be mended; it is as it was.
    """
    from modelperf_plugin.errors import StoreDamagedError
    from modelperf_plugin.store.opening import file_of, open_file, open_steady
    from modelperf_plugin.store.sqlite.salvage import is_sound, salvage

    path = file_of(location)
    done = []
    if not is_sound(path):
        done += salvage(path).sentences()
    try:
        store = open_file(path)
        try:
            pairs = store.maintenance.rebuild()
        finally:
            store.close()
    except StoreDamagedError:  # it was sound at the first look
        return [*done, *salvage(path).sentences()]
    if pairs:
        done.append(f"the counts of {count(pairs, 'pair')} did not add up and were made anew from the outcomes")
    moved = sum(len(batch.entries) for batch in _waiting(path))
    open_steady(path).close()  # takes over what hosts have left while there was no database
    if moved:
        left = sum(len(batch.entries) for batch in _waiting(path))
        done.append(f"{count(moved - left, 'outcome')} that waited in JSON files were moved into the database")
    return done or ["there was nothing to repair"]


def _waiting(path: str) -> Iterator[Batch]:
    from modelperf_plugin.store.fallback.spool import places, read_batch

    for place in places(path):
        for file in place.batches():
            batch = read_batch(file)
            if batch is not None:
                yield batch
