"""A role of a store that answers under canonical ids."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.values.names import Aliases


class Renamed:
    """A role of a store; methods that are not defined are the store's own."""

    def __init__(self, own: Any, aliases: Aliases) -> None:
        self._own = own
        self._aliases = aliases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)
