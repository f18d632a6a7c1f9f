"""Others keep the database busy: no event loop waits for them, and no outcome is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.store import open_store
from tests.recorder.world import MODELS, ProviderError, recorded
from tests.store.faults import LOCK_FILE, SQLITE_LOCK, held

CALLS = 100
HELD_SECONDS = 3.0


async def answer(model: str) -> str:
    """Answer after a moment; the first model is out of order."""
    await asyncio.sleep(0.01)
    if model == "a":
        raise ProviderError(503)
    return model


async def many(perf: mp.ModelPerf) -> list[str]:
    """Make many calls at once, in all ways that an event loop has, and return the models that answered."""

    async def task() -> str:
        async with perf.task("qa", MODELS, verdict="later") as task:
            for model in task:
                async with task.attempt(model):
                    await answer(model)
            task.report(True)
        return "task"

    async def stream() -> str:
        async def chunks(model: str) -> AsyncIterator[str]:
            yield await answer(model)

        return "".join([chunk async for chunk in perf.astream("qa", MODELS, chunks)])

    kinds: list[Callable[[], Awaitable[str]]] = [lambda: perf.arun("qa", MODELS, answer), task, stream]
    return await asyncio.gather(*[kinds[number % 3]() for number in range(CALLS)])


@pytest.mark.parametrize("program", [pytest.param(LOCK_FILE, id="lock file"), pytest.param(SQLITE_LOCK, id="SQLite")])
def test_no_outcome_is_lost_while_others_hold_the_lock(path: Path, program: str) -> None:
    """A hundred calls at once, while another process holds the lock for three seconds: each is kept, and joined."""
    made = 0

    async def host(perf: mp.ModelPerf) -> int:
        until = time.monotonic() + HELD_SECONDS
        rounds = 0
        while time.monotonic() < until:
            await many(perf)
            rounds += 1
        return rounds

    with mp.ModelPerf(store=path, seed=1) as perf:
        perf.run("qa", MODELS, str)
        with held(path, program):
            made = CALLS * asyncio.run(host(perf))
    assert sum(each.verdict == "good" for each in recorded(path)) == 1 + made
    store = open_store(path)
    try:
        assert store.decisions.summary(0).total.with_outcome == 1 + made
    finally:
        store.close()


def test_an_event_loop_does_not_wait(path: Path) -> None:
    """A call while others hold the lock waits far shorter than a record is patient."""
    with mp.ModelPerf({"store": {"patience_seconds": 30.0}}, store=path, seed=1) as perf, held(path):
        started = time.monotonic()
        asyncio.run(many(perf))
        assert time.monotonic() - started < 20
    assert sum(row.verdict == "good" for row in recorded(path)) == CALLS


def test_a_store_in_memory_loses_nothing_to_another_thread() -> None:
    """A store without a file has no spool: an event loop that meets another thread's write waits for that moment."""
    with mp.ModelPerf(store=":memory:", seed=1) as perf:
        threads = [threading.Thread(target=lambda: asyncio.run(many(perf))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        events = perf.store.events.after(0, 10_000)
        assert sum(event.success for event in events) == 4 * CALLS
