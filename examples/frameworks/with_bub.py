"""bub's hooks with the adapter; needs bub 0.5 or later, and no network: the calls of models are played.

Run it with ``python examples/frameworks/with_bub.py``. A real program registers the same plugin, or names models in
bub's configuration, and runs bub.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bub import BubFramework
from bub.hooks.interception import LlmCallRequest, LlmCallResult

import modelperf_plugin as mp
from modelperf_plugin.adapters.bub import learned, ticket_of

SKILL = {"openai:small": 0.4, "openai:medium": 0.6, "openai:large": 0.95}
RNG = random.Random(7)


async def turn(framework: BubFramework) -> tuple[str, dict[str, Any]]:
    """Play a turn as bub's agent does: one call that asks for a tool, and one that answers."""
    hooks, state = framework.get_agent_hooks(), dict[str, Any]()
    for tool_calls in ([{"id": "1"}], []):
        asked = LlmCallRequest(run_id="run", model="openai:small", messages=[])
        request, _ = await hooks.before_llm_call(asked, state)
        result = LlmCallResult(run_id="run", text="done", tool_calls=tool_calls, usage={"total_tokens": 500})
        await hooks.after_llm_call(request, result, state)
    return request.model, state


async def main() -> None:
    """Run 200 turns, and say after each whether the answer was right."""
    chosen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, mp.ModelPerf(store=":memory:", seed=1) as perf:
        framework = BubFramework(Path(folder) / "config.yml")
        framework.plugin_manager.register(learned(perf, SKILL, task_type="sums"), name="modelperf")
        for _ in range(200):
            model, state = await turn(framework)
            perf.report(str(ticket_of(state)), success=RNG.random() < SKILL[model])
            chosen[model] += 1
        ranking = perf.explain("sums")
    print(f"200 turns went to {', '.join(f'{name} ({times})' for name, times in chosen.most_common())}")
    if ranking is not None:
        print(f"next time {ranking.model_id}: {ranking.reason}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(main())
