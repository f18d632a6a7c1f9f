"""A program that calls models through the recorder, instead of a loop of its own.

Run it with ``python examples/recorder.py``. The client below stands for a library such as openai: it raises the same
kinds of errors. A judge that knows the right answer only later gives its verdict by a ticket. The example needs no
network, and leaves no files behind.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import modelperf_plugin as mp

MODELS = ["small", "medium", "large"]
SKILL = {"small": 0.45, "medium": 0.65, "large": 0.9}
RNG = random.Random(7)


class InternalServerError(Exception):
    """What the client raises when a provider fails."""

    status_code = 500


@dataclass
class Answer:
    """What the client returns."""

    text: str
    usage: dict[str, int] = field(default_factory=lambda: {"prompt_tokens": 200, "completion_tokens": 40})


class Client:
    """A simulated client: some calls fail, and some answers are wrong."""

    def create(self, model: str) -> Answer:
        """Return an answer, or raise."""
        if RNG.random() < 0.05:
            raise InternalServerError
        return Answer("right" if RNG.random() < SKILL[model] else "wrong")

    def stream(self, model: str) -> Iterator[str]:
        """Yield the words of an answer."""
        yield from f"{model} says hello".split()


def main() -> None:
    """Call models in every way that the recorder has."""
    client = Client()
    with mp.ModelPerf({"exploration": {"strategy": "epsilon_greedy"}}, store=":memory:", seed=1) as perf:
        # One call with fallbacks; the check is the verdict.
        answers = [
            perf.run("qa", MODELS, client.create, check=lambda answer: answer.text == "right") for _ in range(200)
        ]
        right = sum(answer.text == "right" for answer in answers)
        print(f"{len(answers)} answers of which {right} are right")

        # The same for a coroutine, with a limit for each try.
        async def ask(model: str) -> str:
            await asyncio.sleep(0)
            return model

        print("awaited:", asyncio.run(perf.arun("greet", MODELS, ask, timeout=5.0)))

        # A stream falls back until its first chunk.
        print("streamed:", " ".join(perf.stream("greet", MODELS, client.stream)))

        # A function that gets its model.
        @perf.learned("greet", MODELS)
        def greet(name: str, *, model: str = "") -> str:
            return f"{model} greets {name}"

        print("decorated:", greet("Ada"))

        # A loop of its own. The verdict comes later, by a ticket that any process can report.
        with perf.task("qa", MODELS, verdict="later") as task:
            for model in task:
                with task.attempt(model) as attempt:
                    attempt.usage(client.create(model).usage, cost_usd=0.002)
        changed = perf.report(task.ticket, success=True)
        print(f"a grader in another process would report {len(task.ticket)} characters; recorded: {changed}")

        decision = perf.explain("qa")
        if decision is not None:
            print(f"after 200 calls: {decision.model_id} first; {decision.reason}")


if __name__ == "__main__":
    main()
