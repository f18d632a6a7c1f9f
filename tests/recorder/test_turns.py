"""The recorder shares an event loop with the host."""

from __future__ import annotations

import asyncio

import pytest

import modelperf_plugin as mp
from modelperf_plugin.recorder.turns import TURN_SECONDS, Turns
from tests.recorder.world import MODELS, verdicts


def test_work_is_spread_over_the_rounds_of_a_loop() -> None:
    """Whoever comes when the time of a round is spent waits for the next, in order; everything else runs between."""
    turns, log = Turns(), []

    async def work(number: int) -> None:
        await turns.take()
        log.append(number)
        turns.spend(TURN_SECONDS)

    async def host() -> None:
        for _ in range(10):
            log.append(-1)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*[work(number) for number in range(5)], host())

    for _ in range(2):  # what one loop has spent does not concern the next
        log.clear()
        asyncio.run(main())
        assert [number for number in log if number >= 0] == [0, 1, 2, 3, 4]
        for one, other in ((0, 1), (1, 2), (2, 3), (3, 4)):
            assert -1 in log[log.index(one) : log.index(other)]


def test_time_that_was_spent_between_turns_is_forgotten() -> None:
    """Work outside of a turn, such as a report, does not keep anybody waiting for ever."""
    turns = Turns()

    async def main() -> None:
        await turns.take()
        await asyncio.sleep(0)
        turns.spend(10 * TURN_SECONDS)
        await asyncio.wait_for(turns.take(), 30)

    asyncio.run(main())


def test_a_cancellation_while_waiting_for_a_turn_loses_nothing(perf: mp.ModelPerf) -> None:
    """A call that has ended is recorded as it ended, also if its caller gives up before its turn."""
    ended = asyncio.Event()

    async def call(model: str) -> str:
        perf._link.turns.spend(10 * TURN_SECONDS)
        ended.set()
        return model

    async def main() -> None:
        task = asyncio.create_task(perf.arun("qa", MODELS, call))
        await ended.wait()
        task.cancel("by the user")
        with pytest.raises(asyncio.CancelledError, match="by the user"):
            await task

    asyncio.run(main())
    assert verdicts(perf) == [("a", "good")]
