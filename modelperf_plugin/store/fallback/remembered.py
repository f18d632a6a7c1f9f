"""What a main store returned last, in case it cannot be read when it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from modelperf_plugin.store.exchange import Prior
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.roles import Span
from modelperf_plugin.values import LaterTries, Tally, Tried
from modelperf_plugin.values.recent import Recent

MAX_KNOWN_TALLIES: Final = 500
"""Approximate number of tallies that are kept in memory."""

_T = TypeVar("_T")


class Remembered:
    """Keeps what the roles return, while that comes from the main store."""

    def __init__(self, is_main: Callable[[], bool]) -> None:
        """Keep answers while ``is_main()``."""
        self._is_main = is_main
        self.evidence: Recent[str, Mapping[str, Tally]] = Recent(MAX_KNOWN_TALLIES)
        """The tallies last read, by task type."""
        self.later: Recent[str, Mapping[str, Mapping[Tried, LaterTries]]] = Recent(MAX_KNOWN_TALLIES)
        """The later tries last read, by task type."""
        self._returned: dict[str, Any] = {}
        """What else was returned, as in a snapshot."""

    def keep(self, what: str, found: _T) -> _T:
        """Return ``found``, and keep it as a field of the snapshot."""
        if self._is_main():
            self._returned[what] = found
        return found

    def keep_more(self, what: str, found: dict[tuple[str, str], _T]) -> dict[tuple[str, str], _T]:
        """Do the same with what is known of some pairs, in addition to others."""
        if found and self._is_main():
            self._returned[what] = {**self._returned.get(what, {}), **found}
        return found

    def keep_priors(self, within: Span, found: list[Prior]) -> list[Prior]:
        """Do the same with the merged experience of some task types."""
        known: list[Prior] = self._returned.get("priors", [])
        if (found or known) and self._is_main():
            first, last = within
            self._returned["priors"] = [each for each in known if not first <= each.tally.task_type <= last] + found
        return found

    def snapshot(self) -> Snapshot:
        """Return all of it."""
        tallies = [tally for name in self.evidence for tally in (self.evidence.get(name) or {}).values()]
        later = {name: self.later.get(name) or {} for name in self.later}
        return Snapshot(tallies=tallies, later=later, **self._returned)
