"""A model of llm that learns which of three others to ask; needs llm, and no network.

Run it with ``python examples/frameworks/with_llm.py``. A real program names models of its own, as in
``learned(perf, ["gpt-4o-mini", "claude-haiku"])``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import llm

import modelperf_plugin as mp
from modelperf_plugin.adapters.llm import learned, ticket_of

SKILL = {"small": 0.4, "medium": 0.6, "large": 0.95}
RNG = random.Random(7)


class Offline(llm.Model):
    """Answers right as often as its skill says."""

    can_stream = True

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    def execute(self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: Any) -> Iterator[str]:  # noqa: ARG002
        """Yield the answer in chunks."""
        yield "four" if RNG.random() < SKILL[self.model_id] else "five"
        response.set_usage(input=len(prompt.prompt), output=1)


def main() -> None:
    """Ask 200 times, and say each time whether the answer was right."""
    chosen: Counter[str] = Counter()
    with mp.ModelPerf(store=":memory:", seed=1) as perf:
        model = learned(perf, {name: Offline(name) for name in SKILL}, task_type="sums")
        for _ in range(200):
            answer = model.prompt("What is two and two?")
            perf.report(str(ticket_of(answer_of(answer))), success=answer.text() == "four")
            chosen[str(answer.resolved_model)] += 1
        ranking = perf.explain("sums")
    print(f"200 prompts went to {', '.join(f'{name} ({times})' for name, times in chosen.most_common())}")
    if ranking is not None:
        print(f"next time {ranking.model_id}: {ranking.reason}")


def answer_of(answer: llm.Response) -> llm.Response:
    """Return an answer that has arrived completely."""
    answer.text()
    return answer


if __name__ == "__main__":
    main()
