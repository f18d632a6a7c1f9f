"""Repair a database, for ``doctor --repair``."""

from __future__ import annotations

from contextlib import closing

from modelperf_plugin.text import count


def repair_database(location: str) -> list[str]:
    """Repair the database at ``location``; return what was done, one sentence each.

    Raises:
        StoreError: the database cannot be repaired, and is unchanged.
    """
    from modelperf_plugin.errors import StoreDamagedError
    from modelperf_plugin.store.opening import file_of, open_file, open_with_fallback
    from modelperf_plugin.store.sqlite.salvage import is_sound, salvage

    path = file_of(location)
    done = []
    if not is_sound(path):
        done += salvage(path).sentences()
    try:
        with closing(open_file(path)) as store:
            pairs = store.maintenance.rebuild()
    except StoreDamagedError:  # damage that the first check did not find
        return [*done, *salvage(path).sentences()]
    if pairs:
        done.append(f"rebuilt the counts of {count(pairs, 'pair')}, which did not add up, from the outcomes")
    waiting = _count_waiting(path)
    open_with_fallback(path).close()  # replays what hosts have spooled
    if waiting:
        replayed = waiting - _count_waiting(path)
        done.append(f"moved {count(replayed, 'outcome')} from JSON files into the database")
    return done or ["nothing to repair"]


def _count_waiting(path: str) -> int:
    from modelperf_plugin.store.fallback.spool import spooled

    return sum(len(batch.entries) for _, batch in spooled(path))
