"""An agent of the OpenAI Agents SDK whose model is chosen for each run.

Run it with ``python examples/frameworks/with_openai_agents.py``. The models below stand for those of providers: one is
often down, and one often answers in a form that the agent's output type does not accept. The example needs no network,
and leaves no files behind.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from agents import Agent, ModelBehaviorError, RunConfig, Runner
from agents.testing import ModelStep, ScriptedModel, assistant_message
from pydantic import BaseModel

import modelperf_plugin as mp
from modelperf_plugin.adapters.openai_agents import learned, ticket_of

SKILL = {"small": 0.3, "medium": 0.6, "large": 0.9}
RUNS = 200
RNG = random.Random(7)


class InternalServerError(Exception):
    """What a client raises when a provider fails."""

    status_code = 500


class Answer(BaseModel):
    """What the agent has to answer."""

    text: str


def simulated(name: str) -> ScriptedModel:
    """Return a model that answers well as often as its skill says; the medium one is down every fifth time."""

    def respond(_call: Any) -> Any:
        if name == "medium" and RNG.random() < 0.2:
            raise InternalServerError
        return [assistant_message('{"text": "right"}' if RNG.random() < SKILL[name] else "right?")]

    return ScriptedModel([ModelStep.respond(respond) for _ in range(RUNS)])


async def main() -> None:
    """Run an agent 200 times, and judge one answer later."""
    with mp.ModelPerf({"exploration": {"strategy": "epsilon_greedy"}}, store=":memory:", seed=1) as perf:
        models = {name: simulated(name) for name in SKILL}
        agent = Agent("assistant", model="auto/answer-question", output_type=Answer)
        config = RunConfig(model_provider=learned(perf, models), tracing_disabled=True)

        ended: Counter[str] = Counter()
        for _ in range(RUNS):
            try:
                result = await Runner.run(agent, "What is the answer?", run_config=config)
                ended[result.final_output.text] += 1
            except ModelBehaviorError:
                ended["not in the form asked for"] += 1
        print(f"{RUNS} runs:", ", ".join(f"{count} {what}" for what, count in sorted(ended.items())))

        ticket = ticket_of(result)
        if ticket is not None:
            print("a user says later that the last one was wrong:", perf.report(ticket, success=False))

        decision = perf.explain("answer-question")
        if decision is not None:
            print(f"next time: {decision.model_id}; {decision.reason}")


if __name__ == "__main__":
    asyncio.run(main())
