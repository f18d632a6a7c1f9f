"""An inspect-ai evaluation that finds the better model while it runs. Needs no network: its models are mocks."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

import modelperf_plugin as mp
from modelperf_plugin.adapters.inspect_ai import learned, ticket_of

SKILLS = {"small": 0.5, "large": 0.9}


def mock(name: str, skill: float) -> Model:
    """Return a model that is right with probability ``skill``."""
    chances = random.Random(name)

    def outputs() -> Iterator[ModelOutput]:
        while True:
            answer = ModelOutput.from_content(name, "Paris" if chances.random() < skill else "Rome")
            answer.usage = ModelUsage(input_tokens=12, output_tokens=5, total_tokens=17)
            yield answer

    return get_model(f"mockllm/{name}", custom_outputs=outputs())


def main() -> None:
    """Evaluate 100 samples, and show what was learned."""
    task = Task(
        dataset=[Sample(input="What is the capital of France?", target="Paris") for _ in range(100)],
        solver=generate(),
        scorer=includes(),
        name="capitals",
    )
    models = {name: mock(name, skill) for name, skill in SKILLS.items()}
    with tempfile.TemporaryDirectory() as folder, mp.ModelPerf(store=f"{folder}/models.db", seed=7) as perf:
        log = evaluate(task, model=learned(perf, models), display="none", log_dir=folder, max_samples=1)[0]
        print(f"{log.eval.model}: {log.results.scores[0].metrics['accuracy'].value:.0%} of 100 samples are right")
        for name, tally in sorted(perf.store.tallies.of("capitals").items()):
            print(f"  {name}: {tally.successes} of {tally.samples}")
        if (decision := perf.explain("capitals")) is not None:
            print(f"next time {decision.model_id}: {decision.reason}")
        if (ticket := ticket_of(log.samples[-1])) is not None:
            print("a person overrules the last score:", perf.report(ticket, success=False))


if __name__ == "__main__":
    main()
