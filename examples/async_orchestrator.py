"""A host on asyncio that works on several tasks at once and asks modelperf before each of them.

Run it with ``python examples/async_orchestrator.py``. Hooks are called directly: modelperf answers at once and does
not block the event loop for long. Another plugin of the same host may implement a hook as a coroutine, so the host
awaits a hook's result if it is awaitable. The example leaves no files behind.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

import modelperf_plugin as mp

PROJECT = "asynchost"
CONCURRENT_TASKS = 8
RNG = random.Random(3)

# How often each simulated model does each kind of work well, and how many seconds a call takes.
SKILL = {
    "plan": {"thinker": 0.90, "sprinter": 0.50},
    "translate": {"thinker": 0.80, "sprinter": 0.95},
}
SECONDS = {"thinker": 0.010, "sprinter": 0.004}

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """The hooks of this host. A plugin may implement either as a coroutine."""

    @hookspec(firstresult=True)
    def select_model(self, task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None) -> Any:
        """Return model ids in the order to try them, or None for no opinion."""

    @hookspec
    def on_task_complete(self, task_type: str, model_id: str, outcome: mp.Outcome, decision: Any) -> Any:
        """Called after every attempt."""


class Audit:
    """A second plugin, which is asynchronous: it sends every outcome to a slow service."""

    def __init__(self) -> None:
        self.seen = 0

    @hookimpl
    async def on_task_complete(self, task_type: str, model_id: str, outcome: mp.Outcome) -> None:  # noqa: ARG002
        """Called after every attempt."""
        await asyncio.sleep(0.001)
        self.seen += 1


async def resolve(result: Any) -> Any:
    """Return the result of a hook, awaited if it is awaitable."""
    return await result if inspect.isawaitable(result) else result


async def attempt(model_id: str, task_type: str) -> mp.Outcome:
    """Do one task with a simulated model."""
    await asyncio.sleep(SECONDS[model_id])
    success = RNG.random() < SKILL[task_type][model_id]
    return mp.Outcome(success=success, duration_seconds=SECONDS[model_id])


async def run_task(pm: pluggy.PluginManager, task_type: str) -> bool:
    """Do one task, with a second model if the first one fails; return whether it was done well."""
    candidates = list(SECONDS)
    decision = await resolve(pm.hook.select_model(task_type=task_type, candidates=candidates, context=None))
    for model_id in decision or candidates:
        outcome = await attempt(model_id, task_type)
        # Without firstresult, a hook call returns a list with the result of each plugin.
        results = pm.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=decision)
        await asyncio.gather(*map(resolve, results))
        if outcome.success:
            return True
    return False


async def main() -> None:
    """Do 200 tasks, eight at a time, then show what was learned."""
    pm = pluggy.PluginManager(PROJECT)
    pm.add_hookspecs(Hooks)
    audit = Audit()
    pm.register(audit)
    # The policy may be a mapping instead of a file; a store in memory disappears with the host.
    policy = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 0.2}}
    plugin = mp.register(pm, config=policy, store=":memory:", seed=1)

    slots = asyncio.Semaphore(CONCURRENT_TASKS)

    async def when_free(task_type: str) -> bool:
        async with slots:
            return await run_task(pm, task_type)

    done = await asyncio.gather(*[when_free(RNG.choice(list(SKILL))) for _ in range(200)])
    print(f"{sum(done)} of {len(done)} tasks done well, {CONCURRENT_TASKS} at a time; {audit.seen} attempts audited")
    for task_type in SKILL:
        decision = await resolve(pm.hook.select_model(task_type=task_type, candidates=list(SECONDS), context=None))
        print(f"{task_type}:")
        for row in decision.ranking:
            print(f"  {row.model_id:<9} {row.reason}")
    plugin.close()


if __name__ == "__main__":
    asyncio.run(main())
