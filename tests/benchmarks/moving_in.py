"""Moving in: how fast a history is imported and in how much memory, and what another project's experience is worth."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import fmean, stdev

import modelperf_plugin as mp
from modelperf_plugin.analysis.simulation.outcomes_file import Instance, read_outcomes
from modelperf_plugin.exchange.sharing.merge import merge
from modelperf_plugin.exchange.sharing.share import Export
from modelperf_plugin.values import Tally

ROWS = 1_000_000
RATE_GOAL = 150_000
MEMORY_GOAL_MB = 150
RUNS = 40
CHOICES = 100
STRENGTH = 10.0
METR = Path(__file__).resolve().parents[3] / "shared/outcomes/metr_runs_2025_01.csv.gz"
IMPORT = """
import json, resource, sys, time
from pathlib import Path
from modelperf_plugin.exchange.importing.text_files import CsvFile
from modelperf_plugin.exchange.importing.history import import_history
from modelperf_plugin.store import open_store

store = open_store(sys.argv[2])
started, busy = time.perf_counter(), time.process_time()
report = import_history(store, CsvFile(Path(sys.argv[1])), 1)
seconds = time.perf_counter() - started
busy = time.process_time() - busy
store.close()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"outcomes": report.outcomes, "seconds": seconds, "busy": busy, "memory": memory}))
"""


def main() -> None:
    """Print the figures beside the goals."""
    with tempfile.TemporaryDirectory() as folder:
        _import(Path(folder))
    if METR.is_file():
        _experience()
    else:
        print(f"what experience is worth: skipped, {METR.name} is not beside the checkout")


def _import(folder: Path) -> None:
    path = folder / "history.csv"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_lines(ROWS))
    print(f"{ROWS:,} rows of CSV, {path.stat().st_size / 1e6:.0f} MB")
    rates, walls, memory = [], [], 0.0
    for number in range(3):
        found = _run(path, folder / f"{number}.db")
        rates.append(found["outcomes"] / found["busy"])  # the machine may be shared
        walls.append(found["outcomes"] / found["seconds"])
        memory = max(memory, found["memory"])
    rate = sorted(rates)[1]
    print(f"  {rate:,.0f} rows per second of one core (goal {RATE_GOAL:,}): {'ok' if rate >= RATE_GOAL else 'MISSED'}")
    print(f"  {sorted(walls)[1]:,.0f} rows per second by the clock, beside whatever else ran")
    print(f"  in {memory:.0f} MB (goal {MEMORY_GOAL_MB}): {'ok' if memory <= MEMORY_GOAL_MB else 'MISSED'}")
    again = _run(path, folder / "0.db")
    print(f"  again: {again['outcomes']:,} new outcomes, found out in {again['seconds']:.2f} s")


def _run(path: Path, store: Path) -> Mapping[str, float]:
    command = [sys.executable, "-c", IMPORT, str(path), str(store)]
    found: Mapping[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _lines(number: int) -> Iterator[str]:
    draw = Random(1)
    yield "source,instance_id,task_type,model_id,success,timeout,tokens_used,cost_usd,timestamp\n"
    for each in range(number):
        second = each * 100 * 86_400 // number  # a hundred days
        day = f"2026-{1 + second // 2_419_200:02d}-{1 + second // 86_400 % 28:02d}"
        clock = f"{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        yield (
            f"bench,i{each},task-{draw.randrange(20)},model-{draw.randrange(10)},{int(draw.random() < 0.7)},"
            f"{int(draw.random() < 0.05)},{draw.randrange(100, 50_000)},{draw.random() / 2:.6f},{day}T{clock}+00:00\n"
        )


def _experience() -> None:
    data = read_outcomes(METR).dense_core()
    print(f"first {CHOICES} choices on metr ({len(data.models)} models), {RUNS} runs, strength {STRENGTH:g}")
    without = [_play(*_halves(data.instances, run), data.models, run, lambda _: False) for run in range(RUNS)]
    print(f"  without experience            {fmean(without):.3f}")
    kinds: dict[str, Callable[[int], Callable[[str], bool]]] = {
        "half of the history": lambda _: lambda _: True,
        "the same, of half the models": lambda run: set(Random(f"models/{run}").sample(data.models, 4)).__contains__,
    }
    for name, chosen in kinds.items():
        found = [_play(*_halves(data.instances, run), data.models, run, chosen(run)) for run in range(RUNS)]
        gains = [after - before for after, before in zip(found, without, strict=True)]
        error = stdev(gains) / len(gains) ** 0.5
        word = "ok" if fmean(gains) > 2 * error else "MISSED"
        print(f"  {name:30}{fmean(found):.3f}: {fmean(gains):+.3f} ± {error:.3f}: {word}")


def _halves(instances: Sequence[Instance], run: int) -> tuple[list[Instance], list[Instance]]:
    """Split the instances in two, repetitions of one staying together, so that nothing judged is known before."""
    draw = Random(f"halves/{run}")
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        groups.setdefault(instance.instance_id.split("@", maxsplit=1)[0], []).append(instance)
    names = sorted(groups)
    draw.shuffle(names)
    past, future = (
        [instance for name in part for instance in groups[name]]
        for part in (names[: len(names) // 2], names[len(names) // 2 :])
    )
    draw.shuffle(future)
    return past, future


def _play(
    past: list[Instance], future: list[Instance], models: Sequence[str], run: int, is_known: Callable[[str], bool]
) -> float:
    tallies: dict[tuple[str, str], Tally] = {}
    for instance in past:
        for model_id, outcome in instance.outcomes.items():
            if is_known(model_id):
                pair = (instance.task_type, model_id)
                tallies[pair] = (tallies.get(pair) or Tally(*pair)).plus(outcome, 0)
    won = 0
    with mp.ModelPerf({"log": {"share": 0.0}}, store=":memory:", seed=run) as engine:
        merge(engine.store, Export(list(tallies.values()), "past", "past"), "past", 0, strength=STRENGTH)
        for instance in future[:CHOICES]:
            decision = engine.select(instance.task_type, models)
            assert decision is not None
            outcome = instance.outcomes[decision.model_id]
            engine.record(
                instance.task_type,
                decision.model_id,
                mp.Outcome(success=outcome.success, timeout=outcome.timeout),
                decision,
            )
            won += outcome.success
    return won / min(CHOICES, len(future))
