"""Others keep the database busy: no hook waits for them longer than the patience of a record."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.store import open_store
from tests.hooks.conftest import Register
from tests.hooks.hosts import CANDIDATES, choose, complete, is_sound, samples
from tests.store.faults import LOCK_FILE, SQLITE_LOCK, held

PATIENCE: Final = 0.2
LONG: Final = 2.5
"""Seconds that no call takes which waits no longer than it may, on a busy machine."""
QUICK: Final = 0.15
"""Seconds that no call takes which does not wait; less than the patience, and far more than a choice takes."""

either_lock = pytest.mark.parametrize(
    "program", [pytest.param(LOCK_FILE, id="lock file"), pytest.param(SQLITE_LOCK, id="SQLite")]
)
STORE: Final = {"store": {"patience_seconds": PATIENCE}}


def longest(times: int, action: Callable[[], object]) -> float:
    """Return how long the slowest of some calls takes; the second slowest counts, for the sake of a busy machine."""
    took = []
    for _ in range(times):
        started = time.monotonic()
        action()
        took.append(time.monotonic() - started)
    return sorted(took)[-2]


def becomes_part_of_a_test(pm: pluggy.PluginManager) -> bool:
    """Return whether one of the next choices is part of a test: the first may meet our thread, writing decisions."""
    for _ in range(20):
        if choose(pm).assignment is not None:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "exploration",
    [
        {"strategy": "adaptive"},
        {"strategy": "epsilon_greedy"},
        {"strategy": "never"},
        {"strategy": "ab_test", "incumbent": "gpt-4o", "challenger": "llama-70b"},
        {"strategy": "ab_test"},
    ],
    ids=["adaptive", "epsilon_greedy", "never", "ab_test", "ab_test that finds its sides"],
)
@either_lock
def test_a_choice_does_not_wait(
    pm: pluggy.PluginManager, register: Register, path: Path, program: str, exploration: dict[str, Any]
) -> None:
    """Whatever the strategy, a choice is made at once, also while outcomes wait and a test cannot begin."""
    register(pm, {"exploration": exploration, **STORE})
    for model_id in CANDIDATES:
        complete(pm, model_id=model_id)
    with held(path, program):
        assert longest(10, lambda: choose(pm)) < QUICK
        complete(pm)
        assert longest(10, lambda: choose(pm)) < QUICK
        assert longest(10, lambda: choose(pm, task_type="another")) < QUICK
        assert choose(pm).assignment is None
    assert becomes_part_of_a_test(pm) == (exploration["strategy"] == "ab_test")


@either_lock
def test_a_record_does_not_wait_longer_than_its_patience(
    pm: pluggy.PluginManager, register: Register, path: Path, program: str
) -> None:
    """All that a record does besides, such as the decision log and the A/B test, does not wait at all."""
    exploration = {"strategy": "ab_test", "incumbent": "gpt-4o", "challenger": "llama-70b"}
    plugin = register(pm, {"exploration": exploration, **STORE})
    complete(pm, decision=choose(pm))
    with held(path, program):
        started = time.monotonic()
        complete(pm, decision=choose(pm))
        assert PATIENCE <= time.monotonic() - started < LONG
        assert longest(30, lambda: complete(pm, decision=choose(pm))) < QUICK
        assert sum(samples(plugin.engine()).values()) == 32
    assert plugin.failure_count() == 0
    plugin.close()
    assert is_sound(path)
    store = open_store(path)
    try:
        assert sum(tally.samples for tally in store.tallies.all()) == 32
        assert store.decisions.summary(0).total.with_outcome == 32
    finally:
        store.close()


def test_an_event_loop_does_not_stand_still(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """While another process holds the lock, the loop waits once for as long as a record is patient, and never again."""
    patience = 1.0  # more than a busy machine keeps a thread waiting
    register(pm, {"store": {"patience_seconds": patience}})
    gaps: list[float] = []

    async def heartbeat(stop: asyncio.Event) -> None:
        while not stop.is_set():
            started = time.monotonic()
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - started)

    async def work() -> None:
        for _ in range(5):
            decision = choose(pm)
            await asyncio.sleep(0.01)
            complete(pm, model_id=decision.model_id, decision=decision)

    async def host() -> None:
        stop = asyncio.Event()
        beating = asyncio.create_task(heartbeat(stop))
        await asyncio.gather(*(work() for _ in range(5)))
        stop.set()
        await beating

    with held(path):
        asyncio.run(host())
    waits = [gap for gap in gaps if gap >= patience]
    assert len(waits) <= 1
    assert max(gaps) < patience + LONG


def test_a_host_that_starts_and_ends_while_others_hold_the_lock(
    pm: pluggy.PluginManager, register: Register, path: Path
) -> None:
    """Registering and closing wait briefly; what is recorded in between is moved by the next host."""
    register(pluggy.PluginManager("before"), STORE).close()
    with held(path):
        started = time.monotonic()
        plugin = register(pm, STORE)
        decision = choose(pm)
        for _ in range(3):
            complete(pm, decision=decision)
        assert samples(plugin.engine()) == {"gpt-4o": 3}
        plugin.close()
        assert time.monotonic() - started < 2 * LONG
    assert plugin.failure_count() == 0
    assert samples(register(pluggy.PluginManager("after"), STORE).engine()) == {"gpt-4o": 3}


def test_the_wait_of_a_call_is_that_of_one_call(tmp_path: Path) -> None:
    """However many threads record by the direct interface, none waits for the others' waits as well."""
    path = tmp_path / "x.db"
    took: list[float] = []
    with mp.ModelPerf({"store": {"patience_seconds": 0.5}}, store=path) as engine:

        def work() -> None:
            started = time.monotonic()
            engine.record("t", "m", mp.Outcome(success=True))
            took.append(time.monotonic() - started)

        with held(path, SQLITE_LOCK):
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
        assert max(took) < LONG
        assert samples(engine, "t") == {"m": 8}
