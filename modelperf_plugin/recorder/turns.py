"""Shares an event loop with the host: many calls that end at once are recorded over several rounds of the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

TURN_SECONDS: Final = 0.005
"""How long the recorder works in one round of an event loop, before everything else gets its turn."""


class Turns(threading.local):
    """Counts the time spent in this round of the thread's event loop. Other asynchronous libraries are not slowed."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spent = 0.0
        self._is_counting = False

    async def take(self) -> None:
        """Wait for a round in which there is time left; usually that is this one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not asyncio
            return
        if loop is not self._loop:
            self._loop = loop
            self._begin_round()
        self._count(loop)
        while self._spent >= TURN_SECONDS:
            await asyncio.sleep(0)
            self._count(loop)

    def spend(self, seconds: float) -> None:
        """Note that this round has taken ``seconds`` so far."""
        self._spent += seconds

    def _count(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._begin_round)  # first in the next round, before those that wait

    def _begin_round(self) -> None:
        self._spent = 0.0
        self._is_counting = False
