"""Moving in: how fast a history is imported and in how much memory, and what a prior from elsewhere is worth."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from tests.benchmarks import _priors

ROWS = 1_000_000
RATE_GOAL = 150_000
MEMORY_GOAL_MB = 150
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
    _priors.report()


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
