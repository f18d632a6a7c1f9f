"""Outcomes that this process has recorded one by one, so that the cache of tallies can tell them from others'."""

from __future__ import annotations

from collections import deque

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.tally_cache import MAX_FRESH_OUTCOMES


class OwnOutcomes:
    """What this process records, and has recorded since the cache was brought up to date.

    Any thread and any signal handler may call any method: each change is one operation in C.
    """

    def __init__(self) -> None:
        self._under_way: set[object] = set()
        self._recorded: deque[Entry] = deque(maxlen=MAX_FRESH_OUTCOMES + 1)

    def begin(self) -> object:
        """Note that an outcome is about to be recorded; return what :meth:`end` wants."""
        token = object()
        self._under_way.add(token)
        return token

    def add(self, entry: Entry) -> None:
        """Add an outcome that is recorded."""
        self._recorded.append(entry)

    def end(self, token: object) -> None:
        """Note that it is over, however it ended."""
        self._under_way.discard(token)

    @property
    def under_way(self) -> bool:
        """Whether the database may have an outcome that is not added yet."""
        return bool(self._under_way)

    @property
    def count(self) -> int:
        """How many outcomes were added since they were last taken; more than can be kept count as one too many."""
        return len(self._recorded)

    def take(self, number: int) -> list[Entry] | None:
        """Return and forget the first ``number`` outcomes; None if there were more than can be kept."""
        if number > MAX_FRESH_OUTCOMES:
            self._recorded.clear()
            return None
        return [self._recorded.popleft() for _ in range(number)]
