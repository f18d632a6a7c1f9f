"""How good decisions are: the product beside its peers on real outcomes, on a model that changed, and in simulation.

The product is driven through its hooks and learns from nothing but the outcomes of its own choices. Everything is
seeded. ``BENCH_SCALE=0.1`` does a tenth of the runs, ``3`` three times as many. The extra ``bench`` brings
the peers. The real outcomes are looked for beside the repository in ``../shared/outcomes``, or where
``BENCH_OUTCOMES`` says.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from itertools import groupby
from math import inf, sqrt
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import fmean, median, stdev
from typing import Final, NamedTuple

import pluggy

import modelperf_plugin as mp
from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
from modelperf_plugin.analysis.simulation.world import Task
from tests.benchmarks._peers import PRODUCT, ROUTERS, missing
from tests.benchmarks._scenarios import SCENARIOS, TableColumn, random_regret, regret
from tests.benchmarks.timing import verdict

SCALE: Final = float(os.environ.get("BENCH_SCALE", "1"))
OUTCOMES: Final = Path(os.environ.get("BENCH_OUTCOMES") or Path(__file__).resolve().parents[3] / "shared" / "outcomes")
PROCESSES: Final = 2

REAL_GOALS: Final = {"metr_runs_2025_01": -0.022, "swebench_pro": -0.030, "swebench_bash_only": -0.030}
"""For each file the least mean difference in success to the best single model of a pool."""
POOLS, POOL_SIZE, REPEATS = 20, 5, 5

CHANGED: Final = {"gpt-4": ("gpt-4-0314", "gpt-4-0613"), "gpt-3.5": ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613")}
"""For each model what it was before the change and after."""
CHANGE_SEEDS, WINDOW, WINDOW_SHARE, CHANGE_GOAL = 20, 20, 0.8, 60

SIMULATION_GOAL: Final = 1.1
"""Regret, as a multiple of the bold row's."""
CHOICE_GOAL_MICROSECONDS: Final = 60.0
CHOICES: Final = 4000


def main() -> None:
    """Print all figures beside their goals."""
    # A fresh interpreter for every process: forking after a library has started threads is not safe.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as executor:
        if OUTCOMES.is_dir():
            _timed(lambda: real_outcomes(executor))
            _timed(lambda: changed_model(executor))
        else:
            print(f"real outcomes: skipped, {OUTCOMES} is not there (BENCH_OUTCOMES says where they are)")
        _timed(lambda: simulations(executor))
    _timed(cost_of_a_choice)


def _timed(part: Callable[[], None]) -> None:
    started = time.perf_counter()
    part()
    print(f"({time.perf_counter() - started:.0f} s)\n")


def _scaled(count: int) -> int:
    return max(2, round(count * SCALE))


def _standard_error(values: Sequence[float]) -> float:
    return stdev(values) / sqrt(len(values))


# Real outcomes


class TaskResults(NamedTuple):
    """A task with the success of every model that tried it."""

    task_type: str
    successes: Mapping[str, bool]


class _ReplayJob(NamedTuple):
    source: str
    pool: tuple[str, ...]
    router: str
    repeats: int


def real_outcomes(executor: Executor) -> None:
    """Print each router's success beside that of the best single model, for pools of five models from three files."""
    absent = missing()
    for name, reason in absent.items():
        print(f"{name}: skipped ({reason}; the extra bench brings it)")
    routers = [name for name in ROUTERS if name not in absent]
    repeats = _scaled(REPEATS)
    jobs = [
        _ReplayJob(source, pool, router, repeats)
        for source in REAL_GOALS
        for router in routers
        for pool in _pools(source)
    ]
    found: dict[tuple[str, str], list[float]] = {}
    for job, difference in zip(jobs, executor.map(_replay, jobs), strict=True):
        found.setdefault((job.source, job.router), []).append(difference)
    print(
        f"Real outcomes: success less that of the pool's best single model in hindsight; {POOLS} pools of {POOL_SIZE}"
        f" models × {repeats} orders, ± standard error over the pools"
    )
    print(f"{'':<38}" + "".join(f"{source:>22}" for source in REAL_GOALS))
    for router in routers:
        cells = [found[source, router] for source in REAL_GOALS]
        print(f"{router:<38}" + "".join(f"{f'{fmean(each):+.4f} ± {_standard_error(each):.4f}':>22}" for each in cells))
    print(f"{'goal':<38}" + "".join(f"{_real_verdict(found, source):>22}" for source in REAL_GOALS))
    print(f"{'better than every peer':<38}" + "".join(f"{_peers_verdict(found, source):>22}" for source in REAL_GOALS))
    for source in REAL_GOALS:
        print(_closest_peer(found, source))


def _real_verdict(found: Mapping[tuple[str, str], list[float]], source: str) -> str:
    goal = REAL_GOALS[source]
    return f"≥ {goal:.3f}: {verdict(-fmean(found[source, PRODUCT]), -goal)}"


def _peers_verdict(found: Mapping[tuple[str, str], list[float]], source: str) -> str:
    best = max(fmean(each) for (where, router), each in found.items() if where == source and router != PRODUCT)
    return verdict(best, fmean(found[source, PRODUCT]))


def _closest_peer(found: Mapping[tuple[str, str], list[float]], source: str) -> str:
    peers = {router: each for (where, router), each in found.items() if where == source and router != PRODUCT}
    name = max(peers, key=lambda router: fmean(peers[router]))
    ahead = [ours - theirs for ours, theirs in zip(found[source, PRODUCT], peers[name], strict=True)]
    return f"{source}: the product is {fmean(ahead):+.4f} ± {_standard_error(ahead):.4f} ahead of {name}"


@cache
def core_of(source: str) -> tuple[tuple[str, ...], list[TaskResults]]:
    """Return the models of the dense core, and its instances."""
    core = read_outcomes(OUTCOMES / f"{source}.csv.gz").dense_core()
    instances = [
        TaskResults(each.task_type, {model_id: outcome.success for model_id, outcome in each.outcomes.items()})
        for each in core.instances
    ]
    return core.models, instances


def _pools(source: str) -> list[tuple[str, ...]]:
    models, _ = core_of(source)
    rng = Random(f"pools/{source}")
    return [tuple(rng.sample(models, POOL_SIZE)) for _ in range(POOLS)]


def _replay(job: _ReplayJob) -> float:
    """Return the mean difference to the pool's best single model; every router meets the same orders."""
    _, instances = core_of(job.source)
    best = max(sum(each.successes[model_id] for each in instances) for model_id in job.pool)
    got = []
    for repeat in range(job.repeats):
        rng = Random(f"order/{job.source}/{'/'.join(job.pool)}/{repeat}")
        order = rng.sample(instances, len(instances))
        got.append(sum(_choices(job.router, rng.getrandbits(32), order, job.pool)[1]))
    return (fmean(got) - best) / len(instances)


def _choices(
    router: str, seed: int, instances: Iterable[TaskResults], models: Sequence[str]
) -> tuple[list[str], list[bool]]:
    """Return what a new router chooses for each instance, and what that gets."""
    chosen, got = [], []
    it = ROUTERS[router](seed)
    for task_type, successes in instances:
        model_id = it.choose(task_type, models)
        it.learn(task_type, model_id, successes[model_id])
        chosen.append(model_id)
        got.append(successes[model_id])
    it.close()
    return chosen, got


# A model that changed


def changed_model(executor: Executor) -> None:
    """Print how soon the product finds the model that is better after GPT-3.5 and GPT-4 have changed."""
    halves = before_and_after()
    seeds = range(_scaled(CHANGE_SEEDS))
    found = list(executor.map(_until_found, seeds))
    print(
        f"llmdrift: decisions of a task type after the change until the better model gets {WINDOW_SHARE:.0%} of the"
        f" last {WINDOW}; median of {len(seeds)} seeds (goal ≤ {CHANGE_GOAL} where the best model changes)"
    )
    print(f"{'task type':<18}{'decisions':>10}{'gpt-4':>16}{'gpt-3.5':>16}{'median':>9}{'never':>7}  goal")
    for task_type in sorted(found[0]):
        rates = [_rates(half, task_type) for half in halves]
        was, now = (max(each, key=each.__getitem__) for each in rates)
        counts = [each[task_type] for each in found]
        middle = median(counts)
        goal = verdict(middle, CHANGE_GOAL) if was != now else "(the best model stays)"
        total = sum(each.task_type == task_type for each in halves[1])
        changes = "".join(f"{f'{rates[0][model]:.3f} → {rates[1][model]:.3f}':>16}" for model in CHANGED)
        print(f"{task_type:<18}{total:>10}{changes}{middle:>9.0f}{counts.count(inf):>7}  {goal}")


def before_and_after() -> tuple[list[TaskResults], list[TaskResults]]:
    """Return all instances as the models were before the change, and again as they are after."""
    _, instances = core_of("llmdrift_2023")
    before, after = (
        [
            TaskResults(each.task_type, {model: each.successes[names[half]] for model, names in CHANGED.items()})
            for each in instances
        ]
        for half in (0, 1)
    )
    return before, after


def _rates(instances: Iterable[TaskResults], task_type: str) -> dict[str, float]:
    own = [each.successes for each in instances if each.task_type == task_type]
    return {model: fmean(each[model] for each in own) for model in CHANGED}


def _until_found(seed: int) -> dict[str, float]:
    """Return for each task type after how many decisions since the change the better model had its share."""
    before, after = before_and_after()
    rng = Random(f"change/{seed}")
    later = rng.sample(after, len(after))
    order = [*rng.sample(before, len(before)), *later]
    chosen, _ = _choices(PRODUCT, rng.getrandbits(32), order, list(CHANGED))
    picks: dict[str, list[str]] = {}
    for instance, model in zip(later, chosen[len(before) :], strict=True):
        picks.setdefault(instance.task_type, []).append(model)
    found = {}
    for task_type, own in picks.items():
        rates = _rates(after, task_type)
        hits = [model == max(rates, key=rates.__getitem__) for model in own]
        enough = (end for end in range(WINDOW, len(hits) + 1) if fmean(hits[end - WINDOW : end]) >= WINDOW_SHARE)
        found[task_type] = next(enough, inf)
    return found


# Simulations


class _Regret(NamedTuple):
    random: float
    thompson: float
    product: float


def simulations(executor: Executor) -> None:
    """Print the product's regret in every scenario beside the bold row of the table of policies."""
    jobs = [(number, run) for number, each in enumerate(SCENARIOS) for run in range(_scaled(each.runs))]
    results = zip(jobs, executor.map(_simulate, jobs, chunksize=4), strict=True)
    print(f"Simulations: regret ± standard error (goal: at most {SIMULATION_GOAL} × the bold row of the table)")
    print(
        f"{'':<26}{'random':>8}{'table':>7}{'Thompson':>10}{'table':>7}{'product':>16}{'bold row':>10}{'ratio':>7}"
        f"  {'goal':<8}{'undetected':>10}{'runs':>6}"
    )
    for number, group in groupby(results, key=lambda result: result[0][0]):
        _print_simulation(SCENARIOS[number], [each for _, each in group])
    print("(undetected: that row of the table with ε = .01 and without the change detection)")


def _print_simulation(scenario: TableColumn, found: Sequence[_Regret]) -> None:
    table = scenario.table
    product = [each.product for each in found]
    mean = fmean(product)
    own = f"{mean:.1f} ± {_standard_error(product):.1f}"
    drawn, thompson = fmean(each.random for each in found), fmean(each.thompson for each in found)
    print(
        f"{scenario.name:<26}{drawn:>8.0f}{table.random:>7g}{thompson:>10.0f}{table.thompson:>7g}{own:>16}"
        f"{table.pooled:>10g}{mean / table.pooled:>7.2f}  {verdict(mean, SIMULATION_GOAL * table.pooled):<8}"
        f"{table.undetected:>10g}{len(found):>6}",
        flush=True,
    )


def _simulate(job: tuple[int, int]) -> _Regret:
    number, run = job
    scenario = SCENARIOS[number]
    return _Regret(
        random_regret(scenario, run),
        _regret("Thompson per task type", scenario, run),
        _regret(PRODUCT, scenario, run),
    )


def _regret(router: str, scenario: TableColumn, run: int) -> float:
    it = ROUTERS[router](run)

    def choose(task: Task) -> str:
        return it.choose(task.task_type, list(task.rates))

    def learn(task: Task, model_id: str, success: bool) -> None:
        it.learn(task.task_type, model_id, success)

    lost = regret(choose, learn, scenario, run)
    it.close()
    return lost


# Cost


def cost_of_a_choice() -> None:
    """Print what a choice among ten candidates takes with twenty task types in memory."""
    models, task_types = [f"model-{number}" for number in range(10)], [f"type-{number}" for number in range(20)]
    rng = Random(0)
    pm = pluggy.PluginManager("benchmark")
    with tempfile.TemporaryDirectory() as folder:
        plugin = mp.register(pm, config={}, store=Path(folder) / "outcomes.db", seed=0)

        def record(task_type: str, model_id: str) -> None:
            outcome = mp.Outcome(success=rng.random() < 0.7)
            pm.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=None)

        def choose(task_type: str) -> float:
            started = time.perf_counter_ns()
            pm.hook.select_model(task_type=task_type, candidates=models, context=None)
            return (time.perf_counter_ns() - started) / 1000

        for task_type in task_types:
            for model_id in models:
                for _ in range(10):
                    record(task_type, model_id)
            choose(task_type)
        same = [choose(rng.choice(task_types)) for _ in range(CHOICES)]
        fresh = []
        for _ in range(CHOICES):
            task_type = rng.choice(task_types)
            record(task_type, rng.choice(models))
            fresh.append(choose(task_type))
        failed = plugin.failure_count()
        plugin.close()
    if failed:
        raise SystemExit(f"{failed} hook calls failed: the figures mean nothing")
    print("A choice among 10 candidates, 20 task types in memory, in a file")
    for name, times in (("nothing new", same), ("after each record", fresh)):
        goal = f"(goal ≤ {CHOICE_GOAL_MICROSECONDS:g} µs: {verdict(median(times), CHOICE_GOAL_MICROSECONDS)})"
        print(f"{name:<20} p50 {median(times):6.1f} µs {goal}, mean {fmean(times):6.1f} µs")


if __name__ == "__main__":
    main()
