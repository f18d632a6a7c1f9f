"""Hosts that try again: the bias of what is learned from later tries, and the cost of a solved task.

The product is driven through its hooks, with the same defaults for every set, and learns from nothing but the outcomes
of its own choices. Everything is seeded. ``BENCH_SCALE=0.1`` does a tenth of the runs, ``3`` three times as many;
``BENCH_PARTS=costs,choice`` prints only these parts. The real outcomes are looked for beside the repository in
``../shared/outcomes``, or where ``BENCH_OUTCOMES`` says.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from math import inf, sqrt
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any, Final

from tests.benchmarks._orders import Try
from tests.benchmarks._retry_costs import COSTS, costs
from tests.benchmarks._retry_worlds import identical, lock_in
from tests.benchmarks._tries import (
    ATTEMPTS,
    ENOUGH_LATER_TRIES,
    LONG,
    POOLS,
    REPEATS,
    Host,
    Replayed,
    Task,
    config_for,
    plans_available,
    replayed,
    standard_error,
)
from tests.benchmarks.decisions import OUTCOMES, PROCESSES
from tests.benchmarks.timing import verdict

SOURCES: Final = ("swebench_bash_only", "swebench_pro", "metr_runs_2025_01")
BIAS_GOAL, RMSE_GOAL = 0.02, 0.06
VERDICTS_GOAL: Final = 0.01
"""Demotions and changes for every (model, task type, pool)."""
FIRST_GOAL, FIRST_LONG_GOAL, WORST_POOL_GOAL = 0.010, 0.0, -0.03

CHOICE_COSTS: Final[Mapping[str, Mapping[str, Any] | None]] = {
    "cheapest_within .02": COSTS["cheapest_within .02"].cost,
    "value, $0.02": {"objective": "value", "usd_per_success": 0.02},
    "success": None,
}
"""A success is worth a few tries."""
CHOICES: Final = 3_000
SAME_GOAL, FRESH_GOAL = 60.0, 100.0
"""Microseconds."""


def main() -> None:
    """Print all figures beside their goals."""
    wanted = os.environ.get("BENCH_PARTS")
    names = wanted.split(",") if wanted else list(PARTS)
    if unknown := set(names) - PARTS.keys():
        raise SystemExit(f"BENCH_PARTS: unknown part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    if not plans_available():
        print("plans ([retries] attempts): not available in this version; the host walks the list all the same\n")
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as executor:
        for name in names:
            if name in REAL_PARTS and not OUTCOMES.is_dir():
                print(f"{name}: skipped, {OUTCOMES} is not there (BENCH_OUTCOMES says where it is)\n")
                continue
            started = time.perf_counter()
            PARTS[name](executor)
            print(f"({name}: {time.perf_counter() - started:.0f} s)\n", flush=True)


# Replays of real outcomes


def short(executor: Executor) -> None:
    """Print statements, verdicts and first-try success where every instance comes once."""
    _first_tries(executor, f"each instance once, {REPEATS} orders a pool", FIRST_GOAL, long=False)


def long(executor: Executor) -> None:
    """Print the same for long replays."""
    _first_tries(executor, f"{LONG:,} decisions, instances drawn again", FIRST_LONG_GOAL, long=True)


def _first_tries(executor: Executor, what: str, goal: float, *, long: bool) -> None:
    one, three = (
        {source: replayed(executor, source, attempts, long=long) for source in SOURCES} for attempts in (1, ATTEMPTS)
    )
    print(f"{POOLS} pools of 5, {what}, {ATTEMPTS} tries a task")
    _print_statements(three)
    for name, runs in (("one try a task", one), (f"{ATTEMPTS} tries a task", three)):
        _print_verdicts(name, runs)
    print("First-try success, all tries reported, against one try a task; ± standard error over the pools")
    means, worst = [], inf
    for source in SOURCES:
        gains = [
            fmean(run.first for run in retried) - fmean(run.first for run in single)
            for single, retried in zip(one[source], three[source], strict=True)
        ]
        means.append(fmean(gains))
        worst = min(worst, *gains)
        print(f"  {source:<22}{fmean(gains):+.4f} ± {standard_error(gains):.4f}, worst pool {min(gains):+.3f}")
    print(f"  mean of the sets: {fmean(means):+.4f} (goal ≥ {goal:+.3f}: {verdict(-fmean(means), -goal)})")
    if long:
        print(f"  worst pool: {worst:+.3f} (goal ≥ {WORST_POOL_GOAL:+.2f}: {verdict(-worst, -WORST_POOL_GOAL)})")


def _print_statements(found: Mapping[str, list[list[Replayed]]]) -> None:
    print(f"Stated success less the truth, models with ≥ {ENOUGH_LATER_TRIES} later tries")
    for source, pools in found.items():
        errors = [error for pool in pools for run in pool for error in run.errors]
        bias, rmse = fmean(errors), sqrt(fmean(error**2 for error in errors))
        print(
            f"  {source:<22}mean {bias:+.3f} (goal ± {BIAS_GOAL}: {verdict(abs(bias), BIAS_GOAL)}), "
            f"RMSE {rmse:.3f} (goal ≤ {RMSE_GOAL}: {verdict(rmse, RMSE_GOAL)}), {len(errors)} models"
        )


def _print_verdicts(name: str, found: Mapping[str, list[list[Replayed]]]) -> None:
    total = [0, 0, 0, 0]
    for source, pools in found.items():
        verdicts = [run.verdicts for pool in pools for run in pool]
        sums = [sum(each) for each in zip(*verdicts, strict=True)]
        total = [one + other for one, other in zip(total, sums, strict=True)]
        print(
            f"  {name}, {source:<22}{sums[1]} demotions ({sums[2]} of models that reach the bar), {sums[3]} changes,"
            f" {sums[0]:,} (model, task type, pool)"
        )
    share = (total[1] + total[3]) / total[0]
    false = (total[2] + total[3]) / total[0]
    print(
        f"  {name}: demotions and changes in {share:.2%} (goal ≤ {VERDICTS_GOAL:.0%}: {verdict(share, VERDICTS_GOAL)}),"
        f" without demotions of models below the bar {false:.2%}"
    )


# The cost of a choice


def choice(_: Executor) -> None:
    """Print what a choice among ten candidates takes with a plan of three tries, for each kind of objective."""
    print(f"A choice among 10 candidates, 20 task types, a plan of {ATTEMPTS} tries, in a file")
    for name, cost in CHOICE_COSTS.items():
        for when, goal, times in _choice_times(config_for(ATTEMPTS, cost)):
            print(
                f"  {name:<22}{when:<20}p50 {median(times):6.1f} µs (goal ≤ {goal:g}: {verdict(median(times), goal)}),"
                f" p99 {sorted(times)[len(times) * 99 // 100]:.0f}, longest {max(times):,.0f} µs"
            )


def _choice_times(config: Mapping[str, Any]) -> Iterator[tuple[str, float, list[float]]]:
    rng, models = Random("choice"), [f"model-{number}" for number in range(10)]
    task_types = [f"type-{number}" for number in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        host = Host(config, 0, Path(folder) / "outcomes.db")

        def walked(task_type: str) -> None:
            outcomes = {name: Try(rng.random() < 0.6, 0.001 * (1 + place)) for place, name in enumerate(models)}
            host.walk(Task(task_type, outcomes), models, ATTEMPTS)

        def timed(task_type: str) -> float:
            started = time.perf_counter_ns()
            host.choose(task_type, models)
            return (time.perf_counter_ns() - started) / 1000

        for _ in range(50):
            for task_type in task_types:
                walked(task_type)
        yield "nothing new", SAME_GOAL, [timed(rng.choice(task_types)) for _ in range(CHOICES)]
        fresh = []
        for task_type in rng.choices(task_types, k=CHOICES):
            model_id = rng.choice(models)
            host.record(task_type, model_id, Try(rng.random() < 0.6, 0.002), None)
            fresh.append(timed(task_type))
        yield "after an own record", FRESH_GOAL, fresh
        host.close()


REAL_PARTS: Final = {"short", "long", "costs"}
PARTS: Final[Mapping[str, Callable[[Executor], None]]] = {
    "short": short, "long": long, "costs": costs, "identical": identical, "lock_in": lock_in, "choice": choice,
}  # fmt: skip


if __name__ == "__main__":
    main()
