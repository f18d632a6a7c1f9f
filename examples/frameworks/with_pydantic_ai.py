"""An agent of pydantic-ai whose model is chosen for each run.

Run it with ``python examples/frameworks/with_pydantic_ai.py``. The models are functions, as in tests of pydantic-ai:
one is often wrong, one is often down. The agent's own validator says which answers are good. The example needs no
network, and leaves no files behind.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from pydantic_ai import Agent, ModelRetry, UnexpectedModelBehavior
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel

import modelperf_plugin as mp
from modelperf_plugin.adapters.pydantic_ai import learned, ticket_of

SKILL = {"small": 0.3, "medium": 0.6, "large": 0.9}
RNG = random.Random(7)


def simulated(name: str) -> FunctionModel:
    """Return a model that is right as often as its skill says; the medium one is down every fifth time."""

    def respond(_messages: Any, _info: Any) -> ModelResponse:
        if name == "medium" and RNG.random() < 0.2:
            raise ModelHTTPError(503, name)
        return ModelResponse(parts=[TextPart("right" if RNG.random() < SKILL[name] else "wrong")])

    return FunctionModel(respond, model_name=name)


async def main() -> None:
    """Run an agent 200 times, and judge one answer later."""
    with mp.ModelPerf({"exploration": {"strategy": "epsilon_greedy"}}, store=":memory:", seed=1) as perf:
        models = {name: simulated(name) for name in SKILL}
        agent = Agent(capabilities=[learned(perf, models)], name="answer-question", retries=0)

        @agent.output_validator
        def is_right(output: str) -> str:
            if output != "right":
                raise ModelRetry("that is wrong")
            return output

        ended: Counter[str] = Counter()
        for _ in range(200):
            try:
                result = await agent.run("What is the answer?")
                ended[result.output] += 1
            except UnexpectedModelBehavior:
                ended["given up"] += 1
        print(f"200 runs: {ended['right']} right, {ended['given up']} given up")

        ticket = ticket_of(result)
        if ticket is not None:
            print("a user says later that the last one was wrong:", perf.report(ticket, success=False))

        decision = perf.explain("answer-question")
        if decision is not None:
            print(f"next time: {decision.model_id}; {decision.reason}")


if __name__ == "__main__":
    asyncio.run(main())
