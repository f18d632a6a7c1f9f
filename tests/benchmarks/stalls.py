"""How long a host waits at worst, and how much memory it takes: large tables, fresh hosts, locks of other programs.

Every figure comes from a process of its own. Waits are wall time, so other programs on the machine lengthen them: the
processor time of the same call stands beside the longest. ``BENCH_SCALE=0.1`` is a quick run with a tenth of the pairs
and of the calls. Single parts: ``python -m tests.benchmarks.stalls [steady | first | memory | loop | locked |
interrupts] …``.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pluggy

import modelperf_plugin as mp
from modelperf_plugin import register  # imports the engine, which is no part of a first choice
from tests.benchmarks.timing import verdict

SCALE: Final = float(os.environ.get("BENCH_SCALE", "1"))
CALLS: Final = max(300, round(6000 * SCALE))
INTERRUPTS: Final = round(100_000 * SCALE)
NEW_TASK_TYPES: Final = max(1000, round(60_000 * SCALE))
TABLES: Final = ((1000, 5), (1000, 50), (5000, 5))
"""Task types and models."""
FRESH_TABLES: Final = ((5000, 5, 50.0), (5000, 50, 200.0))
"""Task types, models, and the goal for a first choice in milliseconds."""
DAYS: Final = 4
"""On each of these days every pair has one outcome."""
BATCH: Final = 50_000
HELD_SECONDS: Final = max(3.0, 12 * SCALE)
"""How long another program holds the lock of the database."""
PATIENCE_SECONDS: Final = 1.0
"""The default of ``[store] patience_seconds``."""
OUTCOME: Final = mp.Outcome(success=True, tokens_used=1200, cost_usd=0.012)
AB_TEST: Final = {"exploration": {"strategy": "ab_test", "incumbent": "model-0", "challenger": "model-1"}}


def main() -> None:
    """Print every figure beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        for task_types, models in TABLES:
            path = fill(Path(folder) / f"{task_types}-{models}.db", _scaled(task_types), models)
            _run("steady", path, _scaled(task_types), models)
        for task_types, models, goal in FRESH_TABLES:
            path = fill(Path(folder) / f"fresh-{models}.db", _scaled(task_types), models)
            _run("first", path, _scaled(task_types), models, goal)
            _run("former", path, _scaled(task_types), models)
            _run("first", path, _scaled(task_types), models, goal)
        for measure in ("rss", "tracemalloc"):
            _run("memory", Path(folder) / f"memory-{measure}.db", measure)
        _run("loop", Path(folder) / "loop.db")
        for kind in ("choice", "choice in an A/B test", "record", "four records"):
            _run("locked", Path(folder) / f"locked-{kind.split()[-1]}.db", kind)
    _run("interrupts", INTERRUPTS)


def _scaled(task_types: int) -> int:
    return max(50, round(task_types * SCALE))


def _run(part: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "tests.benchmarks.stalls", part, *map(str, arguments)], check=True)


def show(what: str, figure: str, value: float, goal: float) -> None:
    """Print one figure beside its goal."""
    print(f"{what:<66} {figure:>26}  (goal ≤ {goal:g}: {verdict(value, goal)})", flush=True)


def fill(path: Path, task_types: int, models: int) -> Path:
    """Record outcomes of every pair on some days of the last weeks, in bulk; return ``path``."""
    rng = Random(f"{task_types}/{models}")
    rates = [0.4 + 0.5 * rng.random() for _ in range(models)]
    now = datetime.now(UTC)
    rows = [
        (f"type-{task}", f"model-{model}", mp.Outcome(success=rng.random() < rates[model], timestamp=moment))
        for moment in (now - timedelta(days=7 * day) for day in range(DAYS, 0, -1))
        for task in range(task_types)
        for model in range(models)
    ]
    with mp.ModelPerformanceTracker(path) as tracker:
        for first in range(0, len(rows), BATCH):
            tracker.record_many(rows[first : first + BATCH])
    return path


class Host(NamedTuple):
    """A program with the plugin, which calls both hooks."""

    plugin: mp.Plugin
    select: Callable[..., mp.Decision | None]
    complete: Callable[..., Any]

    def choose(self, task_type: str, candidates: list[str]) -> mp.Decision:
        """Return a decision; without one the figures would mean nothing."""
        decision = self.select(task_type=task_type, candidates=candidates, context=None)
        if decision is None:
            raise SystemExit("select_model answered None: the figures mean nothing")
        return decision

    def record(self, task_type: str, model_id: str, decision: mp.Decision | None = None) -> None:
        """Record a success."""
        self.complete(task_type=task_type, model_id=model_id, outcome=OUTCOME, decision=decision)


@contextmanager
def host(path: str | Path, config: dict[str, Any] | None = None, *, may_fail: bool = False) -> Iterator[Host]:
    """Register the plugin with a new host; failures make the figures worthless, unless the store is made to fail."""
    pm = pluggy.PluginManager("benchmark")
    plugin = register(pm, config=config or {}, store=path, seed=0)
    try:
        yield Host(plugin, pm.hook.select_model, pm.hook.on_task_complete)
    finally:
        failed = plugin.failure_count()
        plugin.close()
    if failed and not may_fail:
        raise SystemExit(f"{failed} hook calls failed: the figures mean nothing")


class Waits:
    """Times of many calls."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._worked: list[float] = []

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time the block."""
        started, worked = time.perf_counter(), time.thread_time()
        yield
        self.seconds.append(time.perf_counter() - started)
        self._worked.append(time.thread_time() - worked)

    def show(self, what: str) -> None:
        """Print p50, p99.9 and the longest in milliseconds."""
        times = sorted(self.seconds)
        p999 = times[len(times) * 999 // 1000] * 1000
        longest = times[-1] * 1000
        worked = self._worked[self.seconds.index(times[-1])] * 1000
        print(f"{what}: p50 {statistics.median(times) * 1e6:.0f} µs")
        show("   p99.9", f"{p999:.2f} ms", p999, 1.0)
        show("   longest, of it computing", f"{longest:.1f} ms, {worked:.1f} ms", longest, 5.0)


def steady(path: str, task_types: int, models: int) -> None:
    """Print the waits of choices and records, in turn, on a file that holds every pair."""
    choices, records = Waits(), Waits()
    rng = Random(0)
    names = [f"model-{number}" for number in range(models)]
    gc.collect()
    gc.freeze()  # what a program has imported is not what its calls wait for
    with host(path) as it:
        it.choose("type-0", names[:10])  # the first choice has its own benchmark
        for _ in range(CALLS):
            task_type, candidates = f"type-{rng.randrange(task_types)}", rng.sample(names, min(10, models))
            with choices.timed():
                decision = it.choose(task_type, candidates)
            with records.timed():
                it.record(task_type, decision.model_id, decision)
    table = f"{task_types:,} × {models} pairs, {CALLS:,} calls"
    choices.show(f"choice, {table}")
    records.show(f"record, {table}")


def first(path: str, task_types: int, models: int, goal: float) -> None:
    """Print how long a fresh host takes to register and choose."""
    started, worked = time.perf_counter(), time.process_time()
    with host(path) as it:
        it.choose("type-1", [f"model-{number}" for number in range(models)][:10])
        taken, computing = (time.perf_counter() - started) * 1000, (time.process_time() - worked) * 1000
    with closing(sqlite3.connect(path)) as connection:
        (saved,) = connection.execute("SELECT count(*) FROM watch WHERE kind = 'pool'").fetchone()
    what = f"first choice, {task_types * models:,} pairs, {'a saved fit' if saved else 'no saved fit'}; computing"
    show(what, f"{taken:.0f} ms, {computing:.0f} ms", taken, goal)


def former(path: str, task_types: int, models: int) -> None:
    """Be an earlier host that learns from the file and leaves its fit."""
    names = [f"model-{number}" for number in range(models)][:10]
    with host(path) as it:
        for number in range(300):
            decision = it.choose(f"type-{number % task_types}", names)
            it.record(decision.task_type, decision.model_id, decision)


def memory(path: str, measure: str) -> None:
    """Print how the memory grows with choices of task types that were never seen before."""
    names = [f"model-{number}" for number in range(5)]
    if measure == "tracemalloc":
        tracemalloc.start()
    with host(path) as it:
        for number in range(100):
            it.choose(f"known-{number}", names)
        before = _megabytes(measure)
        for number in range(NEW_TASK_TYPES):
            it.choose(f"new-{number}", names)
        grown = _megabytes(measure) - before
    show(f"memory after {NEW_TASK_TYPES:,} choices of new task types ({measure})", f"+{grown:.1f} MB", grown, 5.0)


def _megabytes(measure: str) -> float:
    gc.collect()
    if measure == "tracemalloc":
        return tracemalloc.get_traced_memory()[0] / 1e6
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def loop(path: str) -> None:
    """Print what a choice and its record take together, with three candidates, in a loop."""
    names = [f"model-{number}" for number in range(3)]
    count = max(200, round(2000 * SCALE))
    means, medians = [], []
    with host(path) as it:
        for _ in range(7):
            times = []
            for _ in range(count):
                started = time.perf_counter_ns()
                decision = it.choose("execute-task", names)
                it.record("execute-task", decision.model_id, decision)
                times.append((time.perf_counter_ns() - started) / 1000)
            means.append(statistics.fmean(times))
            medians.append(statistics.median(times))
    mean = min(means)
    show("choose + record, 3 candidates, in a loop; mean, p50", f"{mean:.0f} µs, {min(medians):.0f} µs", mean, 100.0)


HOLDER: Final = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def locked(path: str, kind: str) -> None:
    """Print the longest call while another program holds SQLite's write lock."""
    names = [f"model-{number}" for number in range(5)]
    config = AB_TEST if kind.endswith("test") else None
    with host(path, config, may_fail=kind.startswith("choice")) as it:  # after 5 s the decision log reports the lock
        for name in names:
            it.record("execute-task", name)
        command = [sys.executable, "-c", HOLDER, path, str(HELD_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            if kind.startswith("choice"):
                longest = _longest(lambda: it.choose("execute-task", names), holder) * 1000
                show(f"longest {kind}, another program holds the lock", f"{longest:.1f} ms", longest, 5.0)
                return
            threads = 4 if kind == "four records" else 1
            longest = _longest_of_threads(threads, lambda: it.record("execute-task", names[0]), holder)
            what = f"longest record of {threads} thread{'s'[: threads - 1]}, another program holds the lock"
            show(what, f"{longest:.2f} s", longest, PATIENCE_SECONDS + 0.1)


def _longest(call: Callable[[], object], holder: subprocess.Popen[bytes]) -> float:
    """Return the longest of the calls that began before ``holder`` ended, in seconds."""
    longest = 0.0
    while holder.poll() is None:
        started = time.perf_counter()
        call()
        longest = max(longest, time.perf_counter() - started)
        time.sleep(0.001)  # four threads that never rest would measure the interpreter's own lock
    return longest


def _longest_of_threads(count: int, call: Callable[[], object], holder: subprocess.Popen[bytes]) -> float:
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(_longest(call, holder))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(found)


def interrupts(count: int) -> None:
    """Interrupt the calls of a host by real signals, and print what is broken afterwards."""
    command = [sys.executable, "-m", "tests.interrupting", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        show(f"calls that hang after up to {count:,} interrupts", "1", 1.0, 0.0)
        return
    report = json.loads(done.stdout)
    problems = sum(report.get(kind, 0) for kind in report["examples"])
    show(f"broken, locked or half-written after {report['interrupts']:,} interrupts", str(problems), problems, 0.0)


def _part(name: str, arguments: list[str]) -> None:
    match name, arguments:
        case "steady" | "former", [path, task_types, models]:
            (steady if name == "steady" else former)(path, int(task_types), int(models))
        case "first", [path, task_types, models, goal]:
            first(path, int(task_types), int(models), float(goal))
        case "memory", [path, measure]:
            memory(path, measure)
        case "loop", [path]:
            loop(path)
        case "locked", [path, kind]:
            locked(path, kind)
        case "interrupts", [count]:
            interrupts(int(count))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _part(sys.argv[1], sys.argv[2:])
    else:
        main()
