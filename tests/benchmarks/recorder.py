"""What the recorder costs a call, and how long an event loop stands still while another program holds the database.

``python -m tests.benchmarks recorder``. Overhead is in processor time of the thread, paired in one loop: a busy machine
changes it less than wall time. Stalls are wall time, so other programs lengthen them. Beside the longest stand the
processor time that it took, the longest garbage collection, which is the interpreter's and belongs to any program of
this size, and the same calls without the recorder as a control.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Final

import modelperf_plugin as mp
from modelperf_plugin.recorder import Task, calls
from modelperf_plugin.recorder.judging import Options
from modelperf_plugin.recorder.link import EngineLink
from tests.benchmarks.timing import verdict

MODELS: Final = ("gpt-4o", "claude-opus", "llama-70b")
CALLS: Final = 2000
PARALLEL_CALLS: Final = 100
HELD_SECONDS: Final = 3.0
ANSWER: Final = SimpleNamespace(usage=SimpleNamespace(prompt_tokens=1000, completion_tokens=200, total_tokens=1200))
HOLDER: Final = """
import fcntl, sqlite3, sys, time
if sys.argv[2] == "lock file":
    file = open(sys.argv[1] + ".lock", "rb+")
    fcntl.flock(file, fcntl.LOCK_EX)
else:
    connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def main() -> None:
    """Print every figure beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        overhead(Path(folder) / "overhead.db")
        for kind in ("lock file", "SQLite"):
            stalls(Path(folder) / f"{kind.split()[0]}.db", kind)


def overhead(path: Path) -> None:
    """Print what choosing and recording cost, by hand and with the recorder, and the recorder without an engine."""

    def call(_model: str) -> SimpleNamespace:
        return ANSWER

    with mp.ModelPerf(store=path, seed=1) as perf:
        decision = perf.select("qa", MODELS)

        def by_hand() -> None:
            chosen = perf.select("qa", MODELS)
            assert chosen is not None
            started = time.perf_counter()
            call(chosen.model_id)
            outcome = mp.Outcome(success=True, tokens_used=1200, duration_seconds=time.perf_counter() - started)
            perf.record("qa", chosen.model_id, outcome, chosen)

        def task() -> None:
            with perf.task("qa", MODELS) as task:
                for model in task:
                    with task.attempt(model) as attempt:
                        attempt.usage(call(model).usage)

        engine: Any = SimpleNamespace(config=perf.config, select=lambda *_: decision, record=lambda *_: True)
        link = EngineLink(
            engine, now_ms=lambda: 0, note=lambda *_: None, cost_of=lambda *_: 0.0, hand_out=lambda _: None
        )
        options: Options[SimpleNamespace] = Options()
        ways: dict[str, Callable[[], object]] = {
            "select + record by hand": by_hand,
            "run": lambda: perf.run("qa", MODELS, call),
            "task": task,
            "run, recorder alone": lambda: calls.run(
                Task(link, "qa", MODELS, has_tickets=False), lambda attempt: call(attempt.model), options
            ),
        }
        taken = _paired(ways)
    for name, microseconds in taken.items():
        goal = 20.0 if name.endswith("alone") else 120.0
        print(f"{name:<60} {microseconds:7.1f} µs  goal {goal:.0f}  {verdict(microseconds, goal)}")


def _paired(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median processor time of each, one after the other in a loop, in microseconds."""
    times: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(CALLS):
        for name, way in ways.items():
            started = time.thread_time_ns()
            way()
            times[name].append(time.thread_time_ns() - started)
    return {name: median(each[CALLS // 10 :]) / 1000 for name, each in times.items()}


def stalls(path: Path, kind: str) -> None:
    """Print for how long an event loop stands still during many calls at once, while another program holds a lock."""
    with mp.ModelPerf(store=path, seed=1) as perf:
        perf.run("qa", MODELS, str)

        async def recorded() -> str:
            return await perf.arun("qa", MODELS, _answer)

        async def alone() -> str:
            return await _answer("gpt-4o")

        control, *_ = asyncio.run(_longest_gap(alone))
        command = [sys.executable, "-c", HOLDER, str(path), kind, str(HELD_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with _collections() as collections:
                gap, processor, made = asyncio.run(_longest_gap(recorded))
            holder.wait()
    with mp.ModelPerf(store=path) as perf:
        kept = sum(tally.samples for tally in perf.store.tallies.all())
    name = f"longest stall of {PARALLEL_CALLS} calls at once, {kind} held"
    print(
        f"{name:<60} {gap:7.1f} ms  goal 50  {verdict(gap, 50.0)}"
        f"  (processor {processor:.1f} ms, collection {max(collections):.1f} ms; without recorder {control:.1f} ms)"
    )
    print(f"{'outcomes lost':<60} {made + 1 - kept:7d}     goal 0   {verdict(made + 1 - kept, 0)}")


@contextmanager
def _collections() -> Iterator[list[float]]:
    """Collect the processor times of garbage collections, in milliseconds."""
    times = [0.0]
    started = 0.0

    def on_collection(phase: str, _info: dict[str, int]) -> None:
        nonlocal started
        if phase == "start":
            started = time.thread_time()
        else:
            times.append(1000 * (time.thread_time() - started))

    gc.callbacks.append(on_collection)
    try:
        yield times
    finally:
        gc.callbacks.remove(on_collection)


async def _answer(model: str) -> str:
    await asyncio.sleep(0.2)
    return model


async def _longest_gap(call: Callable[[], Awaitable[object]]) -> tuple[float, float, int]:
    """Make calls for as long as the lock is held, so many at once; return the longest gap, its work, and their number.

    Times are in milliseconds.
    """
    until = time.monotonic() + HELD_SECONDS + 0.5
    gaps = []
    made = 0

    async def worker() -> None:
        nonlocal made
        while time.monotonic() < until:
            await call()
            made += 1

    workers = asyncio.gather(*[worker() for _ in range(PARALLEL_CALLS)])
    while not workers.done():
        started, busy = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0)
        gaps.append((time.perf_counter() - started, time.thread_time() - busy))
        await asyncio.sleep(0.001)
        gaps.append((time.perf_counter() - started - 0.001, time.thread_time() - busy))
    await workers
    gap, processor = max(gaps)
    return 1000 * gap, 1000 * processor, made


if __name__ == "__main__":
    main()
