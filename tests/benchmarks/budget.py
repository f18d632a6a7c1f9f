"""Whether the money of a budget lasts, and what success it buys, on real outcomes.

Tasks are the instances of one file in a random order, at random times of a day with a night, which is like the day
before; without such a day they come evenly. All models are offered for each. Ceilings lie between the cost of the
cheapest model for all tasks and the cost of what is chosen without a budget, evenly on a logarithmic scale. The
success is compared with that of the best fixed mixture of models that costs, on these very tasks, as much as was
spent: its parts are chosen in hindsight.

Runs begin with the outcomes of all models on all instances, on the other half of them, or with nothing; in two parts
the price of a model changes halfway, and in one eight processes share the work, eight tasks at a time, and one of
them is killed after every 40 tasks. Where there is no decision because the money is used up, the task is not done and
counts as failed. ``BENCH_SCALE=0.1`` does a tenth of the streams; arguments are the numbers of parts, from 0. The
outcomes are looked for beside the repository in ``../shared/outcomes``, or where ``BENCH_OUTCOMES`` says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import cos, pi, sqrt
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from random import Random
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import modelperf_plugin as mp
from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData, read_outcomes
from tests.benchmarks.decisions import OUTCOMES, SCALE
from tests.benchmarks.timing import verdict

SOURCE: Final = "swebench_bash_only"
CEILINGS, STREAMS = 7, 100
OVERSPENT_GOAL, LOSS_GOAL = 0.01, 0.01
MIDNIGHT: Final = datetime(2026, 3, 2, tzinfo=UTC)
CHANGED_PRICE: Final = ("gemini-3-pro-preview", 3.0)
"""Which model becomes how many times as expensive halfway."""


class Result(NamedTuple):
    """One stream."""

    spent: float
    """As a part of the budget."""
    success: float
    best: float
    """Success of the best fixed mixture that costs as much as was spent."""


class Part(NamedTuple):
    """One part of the benchmark."""

    name: str
    evidence: float
    """The part of the instances of which the outcomes of all models are known before."""
    changes_price: bool = False
    processes: int = 1
    then: str = "cheapest"
    """What happens when the money is used up."""


PARTS: Final = (
    Part("with the outcomes of all instances", 1.0),
    Part("the same, and the price of a model changes halfway", 1.0, changes_price=True),
    Part("with the outcomes of the other half", 0.5),
    Part("the same, and the price of a model changes halfway", 0.5, changes_price=True),
    Part("from nothing", 0.0),
    Part('from nothing, then = "overdraw"', 0.0, then="overdraw"),
    Part("with the outcomes of all instances, 8 processes", 1.0, processes=8),
)


class Task(NamedTuple):
    """One task of a stream: success and cost by model."""

    task_type: str
    at: datetime
    outcomes: dict[str, tuple[bool, float]]


def stream(instances: Sequence[Instance], part: Part, numbers: Random) -> list[Task]:
    """Return tasks at the times of a day, most of them at its middle."""
    shuffled = numbers.sample(list(instances), len(instances))
    hours: list[float] = []
    while len(hours) < len(shuffled):
        hour = 24.0 * numbers.random()
        if not part.evidence or numbers.random() < 0.55 - 0.45 * cos(2.0 * pi * hour / 24.0):
            hours.append(hour)
    tasks = []
    for position, (instance, hour) in enumerate(zip(shuffled, sorted(hours), strict=True)):
        model, ratio = CHANGED_PRICE
        changed = part.changes_price and 2 * position >= len(shuffled)
        outcomes = {
            model_id: (each.success, (each.cost_usd or 0.0) * (ratio if changed and model_id == model else 1.0))
            for model_id, each in instance.outcomes.items()
        }
        tasks.append(Task(instance.task_type, MIDNIGHT + timedelta(hours=hour), outcomes))
    return tasks


_Results = list[tuple[bool, float] | None]
"""Success and cost of each task; None where there was no decision."""


def learn(engine: mp.ModelPerf, tasks: Sequence[Task], evidence: Sequence[Instance], seed: int) -> None:
    """Record what is known before, a week ago, except for one outcome of each instance: yesterday at the same times."""
    numbers = Random(f"yesterday/{seed}")
    yesterday = [(task.at - timedelta(days=1), numbers.choice(list(task.outcomes))) for task in tasks]
    known = []
    for position, instance in enumerate(evidence):
        at, used = yesterday[position % len(tasks)]
        for model_id, each in instance.outcomes.items():
            ended = at if model_id == used and position < len(tasks) else MIDNIGHT - timedelta(days=7)
            outcome = mp.Outcome(success=each.success, cost_usd=each.cost_usd or 0.0, timestamp=ended)
            known.append((instance.task_type, model_id, outcome))
    engine.record_many(known)


def configured(usd: float | None, then: str = "cheapest") -> dict[str, Any]:
    """Return a configuration with a budget of a day."""
    return {"log": {"share": 0.0}, **({} if usd is None else {"budget": {"usd": usd, "per": "day", "then": then}})}


def run(
    tasks: Sequence[Task], evidence: Sequence[Instance], usd: float | None, seed: int, then: str = "cheapest"
) -> _Results:
    """Let one process do the tasks."""
    moment = [MIDNIGHT - timedelta(days=7)]
    results: _Results = []
    with mp.ModelPerf(configured(usd, then), store=":memory:", clock=lambda: moment[0], seed=seed) as engine:
        learn(engine, tasks, evidence, seed)
        for task in tasks:
            moment[0] = task.at
            decision = engine.select(task.task_type, list(task.outcomes))
            if decision is None:
                results.append(None)
                continue
            success, cost = task.outcomes[decision.model_id]
            engine.record(
                task.task_type, decision.model_id, mp.Outcome(success=success, cost_usd=cost), decision=decision
            )
            results.append((success, cost))
    return results


def run_in_processes(
    tasks: Sequence[Task], evidence: Sequence[Instance], usd: float, seed: int, processes: int
) -> _Results:
    """Let several processes do the tasks, one each at a time; kill one of them after every 40 tasks."""
    server = get_context("forkserver")
    server.set_forkserver_preload([__name__, "modelperf_plugin.engine.core"])  # to replace killed ones at once
    results: _Results = []
    with TemporaryDirectory() as folder:
        path = f"{folder}/x.db"
        with mp.ModelPerf(configured(usd), store=path, seed=seed) as engine:
            learn(engine, tasks, evidence, seed)

        def started(number: int) -> tuple[BaseProcess, Connection]:
            here, there = server.Pipe()
            process = server.Process(target=work, args=(there, path, usd, 1000 * seed + number), daemon=True)
            process.start()
            return process, here

        workers = [started(number) for number in range(processes)]
        for begin in range(0, len(tasks), processes):
            batch = list(zip(workers, tasks[begin : begin + processes], strict=False))
            for (_, connection), task in batch:
                connection.send(task)
            results += [connection.recv() for (_, connection), _ in batch]
            if begin % 40 == 0:
                victim = begin // 40 % processes
                workers[victim][0].kill()
                workers[victim][0].join()
                workers[victim] = started(len(tasks) + begin)
        for process, _ in workers:
            process.kill()
            process.join()
    return results


def work(connection: Connection, path: str, usd: float, seed: int) -> None:
    """Do the tasks that come through ``connection``, until killed."""
    moment = [MIDNIGHT]
    engine = mp.ModelPerf(configured(usd), store=path, clock=lambda: moment[0], seed=seed)
    while True:
        task = connection.recv()
        moment[0] = task.at
        decision = engine.select(task.task_type, list(task.outcomes))
        result = None if decision is None else task.outcomes[decision.model_id]
        if decision is not None and result is not None:
            success, cost = result
            engine.record(task.task_type, decision.model_id, mp.Outcome(success=success, cost_usd=cost), decision)
        connection.send(result)


def best_mixture(tasks: Sequence[Task], usd_per_task: float) -> float:
    """Return the success of the best fixed mixture of models that costs so much a task, in hindsight."""
    models = list(tasks[0].outcomes)
    points = [
        (fmean(task.outcomes[each][1] for task in tasks), fmean(task.outcomes[each][0] for task in tasks))
        for each in models
    ]
    best = max([success for usd, success in points if usd <= usd_per_task], default=0.0)
    for low_usd, low in points:
        for high_usd, high in points:
            if low_usd <= usd_per_task < high_usd:
                share = (usd_per_task - low_usd) / (high_usd - low_usd)
                best = max(best, low + share * (high - low))
    return best


def streams(data: OutcomeData, part: Part, seed: int) -> tuple[list[Task], list[Instance]]:
    """Return the tasks of a stream, and the instances whose outcomes are known before."""
    numbers = Random(f"budget/{seed}")
    instances = numbers.sample(list(data.instances), len(data.instances))
    known = round(part.evidence * len(instances))
    return stream(instances[known:] or instances, part, numbers), instances[:known]


def of_stream(data: OutcomeData, part: Part, seed: int) -> list[Result]:
    """Return what one stream has spent and got, for each ceiling."""
    tasks, evidence = streams(data, part, seed)
    models = list(tasks[0].outcomes)
    least = min(sum(task.outcomes[each][1] for task in tasks) for each in models)
    most = sum(each[1] for each in run(tasks, evidence, None, seed) if each is not None)
    found = []
    for ceiling in range(CEILINGS):
        usd = least * (most / least) ** ((ceiling + 1) / (CEILINGS + 1))
        if part.processes == 1:
            results = run(tasks, evidence, usd, seed, part.then)
        else:
            results = run_in_processes(tasks, evidence, usd, seed, part.processes)
        spent = sum(each[1] for each in results if each is not None)
        success = sum(each[0] for each in results if each is not None) / len(tasks)
        found.append(Result(spent / usd, success, best_mixture(tasks, spent / len(tasks))))
    return found


def measure(data: OutcomeData, part: Part, count: int) -> None:
    """Print what the streams of one part have spent and got, by ceiling."""
    if part.processes == 1:
        with get_context("spawn").Pool() as pool:
            found = pool.map(partial(of_stream, data, part), range(count), chunksize=1)
    else:
        found = [of_stream(data, part, seed) for seed in range(count)]
    print(f"\n{part.name}: {count} streams a ceiling")
    print(
        f"{'ceiling':<8}{'spent':>8}{'most':>8}{'overspent':>11}{'> 1 %':>7}{'success':>9}{'mixture':>9}"
        f"{'difference':>18}"
    )
    for ceiling in range(CEILINGS):
        _print(str(ceiling + 1), [each[ceiling] for each in found])
    _print("all", [each for of_seed in found for each in of_seed], goals=True)


def _print(name: str, results: Sequence[Result], *, goals: bool = False) -> None:
    differences = [each.success - each.best for each in results]
    error = stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0
    spent = [each.spent for each in results]
    over = fmean(max(0.0, each - 1.0) for each in spent)
    print(
        f"{name:<8}{fmean(spent):>8.3f}{max(spent):>8.3f}{over:>11.4f}{fmean(each > 1.01 for each in spent):>7.3f}"
        f"{fmean(each.success for each in results):>9.3f}{fmean(each.best for each in results):>9.3f}"
        f"{f'{fmean(differences):+.4f} ± {error:.4f}':>18}",
        flush=True,
    )
    if goals:
        worst = max(spent) - 1.0
        print(
            f"goals: overspent ≤ {OVERSPENT_GOAL:.0%} in the mean {verdict(over, OVERSPENT_GOAL)}, "
            f"always {verdict(worst, OVERSPENT_GOAL)}, "
            f"success ≥ −{LOSS_GOAL:.0%} {verdict(-fmean(differences), LOSS_GOAL)}"
        )


def main() -> None:
    """Print the results of each part."""
    file = OUTCOMES / f"{SOURCE}.csv.gz"
    if not file.exists():
        print(f"skipped, {file} is not there (BENCH_OUTCOMES says where it is)")
        return
    data = read_outcomes(file).dense_core()
    wanted = [int(each) for each in sys.argv[1:] if each.isdecimal()]
    for number, part in enumerate(PARTS):
        if not wanted or number in wanted:
            measure(data, part, max(2, round(STREAMS * SCALE / part.processes)))


if __name__ == "__main__":
    main()
