"""Helpers that read and fill stores."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.exchange.importing.history import Report, import_history
from modelperf_plugin.exchange.importing.sources import Source
from modelperf_plugin.store import Store

NOW_MS = 1_767_225_600_000


def import_from(store: Store, source: Source, **options: Any) -> Report:
    """Import a source and close it."""
    try:
        return import_history(store, source, NOW_MS, **options)
    finally:
        source.close()


def samples(store: Store) -> int:
    """Return the number of outcomes in all tallies."""
    return sum(tally.samples for tally in store.tallies.all())


def is_sound(store: Store) -> bool:
    """Return whether tallies and daily roll-ups are the sums of the events."""
    names = {"integrity", "tallies", "daily roll-up", "later tries"}
    return all(finding.ok for finding in store.maintenance.check() if finding.name in names)
