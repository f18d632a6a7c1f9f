"""What scores are worth: a router that learns from them beside one that learns from ``success`` alone.

All four models of one file are offered for every instance, in the same shuffled orders and with the same random
numbers; both start with nothing and are judged by the mean score of their choices. ``success`` is a cut of the score,
or a coin that shows success with a chance of the score. ``BENCH_SCALE=0.1`` does a tenth of the orders. The outcomes
are looked for beside the repository in ``../shared/outcomes``, or where ``BENCH_OUTCOMES`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from random import Random
from statistics import fmean, stdev
from typing import Final

from modelperf_plugin.analysis.simulation.outcomes_file import Instance, read_outcomes
from modelperf_plugin.analysis.simulation.play import play
from modelperf_plugin.config import load
from modelperf_plugin.values import Outcome
from tests.benchmarks.decisions import OUTCOMES, SCALE

SOURCE: Final = "paretobandit_k4_scores"
ORDERS: Final = 20
LENGTHS: Final = (200, 1000, 3559)
"""After how many instances of an order the mean is taken, the last after all of them."""
Verdict = Callable[[float, Random], Outcome]
VERDICTS: Final[dict[str, Verdict]] = {
    "scores": lambda score, _: Outcome(score=score),
    "success alone, from .9": lambda score, _: Outcome(success=score >= 0.9),
    "success alone, from .5": lambda score, _: Outcome(success=score >= 0.5),
    "success alone, a coin": lambda score, rng: Outcome(success=rng.random() < score),
}
"""Scores from .9 on are the successes of the file without scores."""


def main() -> None:
    """Print the mean score of each way of learning, and by how much learning from scores is better."""
    file = OUTCOMES / f"{SOURCE}.csv.gz"
    if not file.exists():
        print(f"skipped, {file} is not there (BENCH_OUTCOMES says where it is)")
        return
    core = read_outcomes(file).dense_core()
    known = sorted(
        (fmean(each.outcomes[model].grade for each in core.instances) for model in core.models), reverse=True
    )
    print(f"{len(core.instances):,} instances, {len(core.models)} models with mean scores of", end=" ")
    print(", ".join(f"{mean:.3f}" for mean in sorted(known, reverse=True)))
    orders = max(2, round(ORDERS * SCALE))
    found = {
        name: [_run(list(core.instances), verdict, seed) for seed in range(orders)]
        for name, verdict in VERDICTS.items()
    }
    for length in LENGTHS:
        print(f"mean score of the first {length:,} choices, {orders} orders:")
        best = [fmean(each[:length]) for each in found["scores"]]
        for name, runs in found.items():
            means = [fmean(each[:length]) for each in runs]
            gains = [100 * (one - other) for one, other in zip(best, means, strict=True)]
            less = f", {fmean(gains):.2f} ± {stdev(gains) / sqrt(orders):.2f} points less than from scores"
            print(f"    learned from {name:<24} {fmean(means):.4f}{less if any(gains) else ''}", flush=True)


def _run(instances: list[Instance], verdict: Verdict, seed: int) -> list[float]:
    """Return the scores of the choices of a router that learns from ``verdict`` alone."""
    rng = Random(f"graded/{seed}")
    tasks = rng.sample(instances, len(instances))
    run_seed, coins = rng.getrandbits(32), Random(f"coins/{seed}")
    steps = play(
        load({}).config,
        tasks,
        lambda task, model_id: verdict(task.outcomes[model_id].grade, coins),
        seed=run_seed,
    )
    return [step.task.outcomes[step.model_id].grade for step in steps]
