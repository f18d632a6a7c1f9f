"""How long a host waits at worst if it tries again: tables with many sets of models that had failed before.

Figures are processor time of one call, each from a process of its own. ``BENCH_SCALE=0.1`` is a quick run with a tenth
of the later tries and of the calls.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from math import exp
from pathlib import Path
from random import Random
from typing import Final

import modelperf_plugin as mp
from tests.benchmarks.stalls import CALLS, SCALE, host, show

SUCCESS, FAILURE = mp.Outcome(success=True), mp.Outcome(success=False)
TABLES: Final = ((30, 1, 3_000), (5, 1, 100_000), (30, 20, 100_000), (5, 5_000, 50_000))
"""Models, task types and later tries."""
TRIES: Final = 4
"""Maximum number of tries of a task."""
SPREAD: Final = 2.5
BATCH: Final = 20_000


def main() -> None:
    """Print every figure beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        for models, task_types, later_tries in TABLES:
            path = Path(folder) / f"{models}-{task_types}.db"
            build(path, models, task_types, round(later_tries * SCALE))
            arguments = [str(path), str(models), str(task_types), str(later_tries)]
            subprocess.run([sys.executable, "-m", "tests.benchmarks.stalls_of_retries", *arguments], check=True)


def models_of(count: int) -> list[str]:
    """Return the names of the models."""
    return [f"model-{number:02}" for number in range(count)]


class World:
    """Models of different ability, and tasks of different difficulty: the same whenever it is made."""

    def __init__(self, models: int, task_types: int) -> None:
        """Draw the abilities."""
        self.random = Random(f"{models}/{task_types}")
        self.names = models_of(models)
        self._ability = {name: self.random.gauss(0.0, 1.2) for name in self.names}

    def hardness(self) -> float:
        """Return the difficulty of the next task."""
        return SPREAD * self.random.gauss(0.0, 1.0)

    def outcome(self, name: str, hardness: float) -> mp.Outcome:
        """Return how a try of a model ends."""
        solved = self.random.random() < 1.0 / (1.0 + exp(-(self._ability[name] + hardness)))
        return SUCCESS if solved else FAILURE


def build(path: Path, models: int, task_types: int, later_tries: int) -> Path:
    """Record tasks, each tried with random models until it is solved; return ``path``."""
    world = World(models, task_types)
    with mp.ModelPerf({}, store=path) as perf:
        entries = []
        tasks = left = later_tries
        while left > 0:
            tasks += 1
            hardness = world.hardness()
            tried: list[str] = []
            for name in world.random.sample(world.names, min(TRIES, models)):
                outcome = world.outcome(name, hardness)
                entry = perf.tracker.entry(f"type-{tasks % task_types}", name, outcome)
                entries.append(entry._replace(tried=tuple(sorted(tried))))
                left -= bool(tried)
                tried.append(name)
                if outcome.success:
                    break
            if len(entries) >= BATCH or left <= 0:
                perf.store.outcomes.record_many(entries)
                entries = []
    return path


def retried(path: str, models: int, task_types: int, later_tries: int) -> None:
    """Print the processor time of choices and records while tasks are tried again, on a file with many later tries."""
    world = World(models, task_types)
    rng, names = Random(0), world.names
    choices: list[float] = []
    records: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.freeze()
    with host(path) as it:
        started = time.thread_time()
        it.choose("type-0", names)
        opening = (time.thread_time() - started) * 1000
        while len(records[1]) < CALLS // 4:
            task_type, hardness = f"type-{rng.randrange(task_types)}", world.hardness()
            started = time.thread_time()
            decision = it.choose(task_type, names)
            choices.append((time.thread_time() - started) * 1000)
            for number, name in enumerate(decision[:TRIES]):
                outcome = world.outcome(name, hardness)
                started = time.thread_time()
                it.complete(task_type=task_type, model_id=name, outcome=outcome, decision=decision)
                records[number > 0].append((time.thread_time() - started) * 1000)
                if outcome.success:
                    break
    times = {"choice": choices, "record of a first try": records[0], "record of a later try": records[1]}
    show(
        f"{models} models, {later_tries:,} later tries, {task_types:,} task types: first",
        f"{opening:.0f} ms",
        opening,
        50,
    )
    for kind, each in times.items():
        each.sort()
        p999 = each[len(each) * 999 // 1000]
        show(
            f"   {kind}; p50, p99.9, longest",
            f"{statistics.median(each):.2f}, {p999:.1f}, {each[-1]:.1f} ms",
            p999,
            5.0,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        retried(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        main()
