"""Others keep the database busy: no event loop waits for them, and no outcome is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.recorder.world import MODELS, ProviderError, recorded
from tests.store.faults import LOCK_FILE, SQLITE_LOCK, held

CALLS = 100


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
        async def chunks(model: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            yield await answer(model)

        return "".join([chunk async for chunk in perf.astream("qa", MODELS, chunks)])

    kinds = (lambda: perf.arun("qa", MODELS, answer), task, stream)
    return await asyncio.gather(*[kinds[number % 3]() for number in range(CALLS)])


@pytest.mark.parametrize("program", [pytest.param(LOCK_FILE, id="lock file"), pytest.param(SQLITE_LOCK, id="SQLite")])
def test_no_outcome_is_lost_while_others_hold_the_lock(path: Path, program: str) -> None:
    """A hundred calls at once, while another process holds the lock: each try is in the store afterwards, once."""
    with mp.ModelPerf(store=path, seed=1) as perf:
        perf.run("qa", MODELS, str)
        tried: list[str] = []

        async def counted(model: str) -> str:
            tried.append(model)
            return await answer(model)

        async def host() -> list[str]:
            return await asyncio.gather(*[perf.arun("qa", MODELS, counted) for _ in range(CALLS)])

        with held(path, program):
            assert len(asyncio.run(host())) == CALLS
            assert len(asyncio.run(many(perf))) == CALLS
            assert asyncio.run(many(perf))
        expected = 1 + len(tried)
    rows = recorded(path)
    assert len(rows) - expected >= 2 * CALLS
    assert sum(row.verdict == "good" for row in rows) == 1 + 3 * CALLS


def test_an_event_loop_does_not_wait(path: Path) -> None:
    """A call while others hold the lock waits far shorter than a record is patient."""
    with mp.ModelPerf({"store": {"patience_seconds": 30.0}}, store=path, seed=1) as perf:
        with held(path):
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
