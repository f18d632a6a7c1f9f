"""Which of the processes that share a store does what one of them is to do for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import token_hex
from typing import Final

LEASE_SECONDS: Final = 3.0
"""How long a claim holds: after a process was killed, another one goes on that much later."""
RENEW_SECONDS: Final = 1.0
"""How often a claim is renewed, and how often the others try theirs."""


class Lease:
    """Claims a task for this process, again and again. Not locked: one thread at a time may use it."""

    def __init__(self, claim: Callable[[str, float], bool]) -> None:
        """Claim by ``claim(holder, seconds)``, which returns whether the task is the holder's for so long."""
        self._claim = claim
        self._holder = token_hex(8)
        self._claim_at = self._until = 0.0
        self._is_held = False

    def renew(self, on_taken: Callable[[], None]) -> bool:
        """Return whether the task is this process's now; ``on_taken`` is called first if it was not before.

        Raises:
            StoreError: the claim could not be renewed.
        """
        now = time.monotonic()
        if now < self._claim_at:
            return self._is_held
        was_held = self._is_held and now < self._until
        self._is_held = False
        if self._claim(self._holder, LEASE_SECONDS):
            if not was_held:
                on_taken()
            self._is_held, self._until = True, now + LEASE_SECONDS
        self._claim_at = now + RENEW_SECONDS
        return self._is_held

    def end(self) -> None:
        """Leave the task to others."""
        if self._is_held:
            self._is_held = False
            self._claim(self._holder, 0.0)
