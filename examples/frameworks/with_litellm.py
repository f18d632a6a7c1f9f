"""A litellm Router that learns which deployment to use. Runs offline, with litellm's own mock answers."""

import asyncio
import logging
import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the price list of the package, without a download

import litellm

import modelperf_plugin as mp
from modelperf_plugin.adapters.litellm import learned, ticket_of

ANSWERS = {"gpt-4o-mini": "about 40", "groq/llama-3.3-70b-versatile": "litellm.RateLimitError", "gpt-4o": "42"}
"""What each model answers; the second one is always at its rate limit."""
DEPLOYMENTS = [
    {"model_name": "arithmetic", "litellm_params": {"model": model, "mock_response": answer}}
    for model, answer in ANSWERS.items()
]


async def ask(router: litellm.Router, perf: mp.ModelPerf, count: int) -> None:
    """Ask, judge each answer, and print how often each was given."""
    given: Counter[str] = Counter()
    for _ in range(count):
        answer = await router.acompletion("arithmetic", [{"role": "user", "content": "What is 6 times 7?"}])
        text, ticket = answer.choices[0].message.content, ticket_of(answer)
        if ticket is not None:
            perf.report(ticket, success=text == "42")
        given[text] += 1
    print(f"{count} answers:", ", ".join(f"{text} ({number} times)" for text, number in sorted(given.items())))


async def main() -> None:
    """Ask a few times, then often, and show what was learned."""
    with tempfile.TemporaryDirectory() as folder, mp.ModelPerf(store=Path(folder) / "models.db", seed=5) as perf:
        litellm.callbacks = [learned(perf)]
        router = litellm.Router(model_list=DEPLOYMENTS, num_retries=2, disable_cooldowns=True)
        await ask(router, perf, 5)
        await ask(router, perf, 60)
        if decision := perf.explain("arithmetic"):
            print("next time:", decision.reason)
            for row in decision.ranking:
                print(f"  {row.model_id}: {row.status}, {row.reason}")


if __name__ == "__main__":
    logging.getLogger("LiteLLM Router").setLevel(logging.CRITICAL)  # it logs each failure
    asyncio.run(main())
