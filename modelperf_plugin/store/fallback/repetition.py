"""Recording outcomes again in a file that took the place of another, unless it has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.store import Store

_BY_OTHERS: Final = 10_000
"""More events than other processes record between two looks at the file."""


def missing_from(store: Store, entries: Sequence[Entry], last_id: int) -> list[Entry]:
    """Return the outcomes among ``entries`` that are not in ``store``.

    Args:
        store: the file that took the place of another.
        entries: the last outcomes recorded in that other file.
        last_id: its newest event; an older copy of it ends earlier, and has none of these outcomes.
    """
    entries = _last_verdicts(entries)
    limit = len(entries) + _BY_OTHERS
    newest = store.events.after(max(0, last_id - limit), 2 * limit)
    present = Counter((event.task_type, event.model_id, event.success, event.ended_ms) for event in newest)
    missing = []
    for entry in entries:
        key = (entry.task_type, entry.model_id, entry.outcome.success, entry.ended_ms)
        if present[key] > 0:
            present[key] -= 1
        else:
            missing.append(entry)
    return missing


def _last_verdicts(entries: Sequence[Entry]) -> list[Entry]:
    """Return outcomes with the last verdict of each only, in its place."""
    last = {entry.outcome.outcome_id: number for number, entry in enumerate(entries)}
    return [
        entry for number, entry in enumerate(entries)
        if entry.outcome.outcome_id is None or last[entry.outcome.outcome_id] == number
    ]  # fmt: skip
