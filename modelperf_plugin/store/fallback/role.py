"""What the roles of a store with a fallback have in common."""

from __future__ import annotations

from modelperf_plugin.store.fallback.switch import Switch


class Role:
    """A role of a store that is asked of the store in use."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
