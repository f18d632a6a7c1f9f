"""Many threads, many tasks: hooks run wherever the host calls them."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pluggy

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.hooks.failures import Failures
from modelperf_plugin.hooks.guard import GuardedEngine
from tests.hooks.conftest import Register
from tests.hooks.hosts import CANDIDATES, choose, complete, count_rows, is_sound, samples

THREADS = 8
EACH = 100


def test_threads_lose_nothing(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Eight threads that ask and report at the same time: every outcome is counted, for the model that it was of."""
    plugin = register(pm)
    used: Counter[str] = Counter()
    together = threading.Barrier(THREADS)
    counting = threading.Lock()

    def work(number: int) -> None:
        together.wait()
        for turn in range(EACH):
            decision = choose(pm)
            with counting:
                used[decision.model_id] += 1
            complete(pm, model_id=decision.model_id, decision=decision, outcome={"success": (turn + number) % 3 > 0})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plugin.failure_count() == 0
    assert used.total() == THREADS * EACH
    assert samples(plugin.engine()) == used
    assert count_rows(path, "event") == THREADS * EACH
    assert is_sound(path)


def test_failures_of_threads_are_all_counted(pm: pluggy.PluginManager, register: Register) -> None:
    """Eight threads that fail at the same time: every failure is counted once, in memory and in the store."""
    plugin = register(pm)
    store = plugin.engine().store
    together = threading.Barrier(THREADS)

    def work() -> None:
        together.wait()
        for _ in range(EACH):
            complete(pm, task_type="")
            choose(pm, candidates="gpt-4o")

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plugin.failure_count() == 2 * THREADS * EACH
    plugin._guarded.failures.save(store.problems, at_once=True)
    assert {problem.kind: problem.times for problem in store.problems.all()} == {
        "on_task_complete": THREADS * EACH,
        "select_model": THREADS * EACH,
    }


def test_closing_while_threads_work(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """A host that closes the plugin under its working threads gets None from then on, and no exception."""
    plugin = register(pm)
    answers: list[Any] = []
    raised: list[BaseException] = []
    busy = threading.Event()

    def work() -> None:
        try:
            while not answers or answers[-1] is not None:
                complete(pm)
                answers.append(choose(pm))
                if len(answers) > 50:
                    busy.set()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it should not be
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    assert busy.wait(timeout=30)
    plugin.close()
    for thread in threads:
        thread.join(timeout=30)
    assert raised == []
    assert answers[0].model_id in CANDIDATES
    assert answers[-1] is None
    assert is_sound(path)


def test_one_thread_opens_and_no_other_waits() -> None:
    """While one thread opens a store that takes its time, hooks in other threads answer None at once."""
    opening, go_on = threading.Event(), threading.Event()

    def slowly(_: Failures) -> ModelPerf:
        opening.set()
        assert go_on.wait(timeout=30)
        return ModelPerf({}, store=":memory:")

    engine = GuardedEngine(slowly)
    thread = threading.Thread(target=engine.start)
    thread.start()
    assert opening.wait(timeout=30)
    assert engine.call("select_model", lambda it: it.select("plan", CANDIDATES)) is None
    go_on.set()
    thread.join()
    assert engine.call("select_model", lambda it: it.select("plan", CANDIDATES)) is not None
    engine.close()


async def asked(answer: Any) -> Any:
    """Return what a hook answered, awaited if it can be: as an asynchronous host does."""
    return await answer if inspect.isawaitable(answer) else answer


def test_an_asynchronous_host(pm: pluggy.PluginManager, register: Register) -> None:
    """A host on asyncio with several tasks at once calls the hooks like any other, and finds nothing to await."""
    plugin = register(pm)

    async def task(number: int) -> str:
        decision = await asked(choose(pm))
        await asyncio.sleep(0)
        for result in complete(pm, model_id=decision.model_id, outcome={"success": number % 2 == 0}, decision=decision):
            await asked(result)
        return str(decision.model_id)

    async def host() -> list[str]:
        return await asyncio.gather(*(task(number) for number in range(50)))

    used = Counter(asyncio.run(host()))
    assert used.total() == 50
    assert samples(plugin.engine()) == used
    assert plugin.failure_count() == 0


def test_an_asynchronous_host_with_threads(pm: pluggy.PluginManager, register: Register) -> None:
    """Hooks may be called off the event loop, in a thread each, and their tasks may be cancelled meanwhile."""
    plugin = register(pm)

    async def task(number: int) -> None:
        decision = await asyncio.to_thread(choose, pm)
        await asyncio.to_thread(complete, pm, model_id=decision.model_id, decision=decision)
        if number % 5 == 0:
            raise asyncio.CancelledError

    async def host() -> None:
        await asyncio.gather(*(task(number) for number in range(25)), return_exceptions=True)

    asyncio.run(host())
    assert sum(samples(plugin.engine()).values()) == 25
    assert plugin.failure_count() == 0
