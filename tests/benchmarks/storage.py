"""The store at its limits: many threads, many processes, bulk, ten million outcomes.

``BENCH_SCALE=0.1`` does a tenth of the outcomes and of the time, and its figures at "ten million" are then those of one
million. FULL waits for the disk, whose speed changes from minute to minute: its ratios are medians of pairs that were
measured one right after the other.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pluggy

import modelperf_plugin as mp
from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.values import DAY_MS, Outcome
from tests.benchmarks.hot_path import MODELS, RECORD_GOAL, Raw
from tests.benchmarks.timing import p50_microseconds, verdict

SCALE: Final = float(os.environ.get("BENCH_SCALE", "1"))
ROUNDS: Final = 7
COUNT: Final = max(200, round(3000 * SCALE))
MANY: Final = round(10_000_000 * SCALE)
BATCH: Final = 1000
TASK_TYPES: Final = [f"type-{number}" for number in range(100)]
NOW_MS: Final = 1_800_000_000_000
OUTCOME: Final = mp.Outcome(success=True, tokens_used=1200, cost_usd=0.012)


def main() -> None:
    """Print every figure beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        one_thread(place)
        bulk(place)
        threads(place)
        processes(place)
        scale(place)


def show(what: str, figure: str, value: float, goal: float, *, least: bool = False) -> None:
    """Print one figure; ``least`` says that more is better."""
    sign, reached = ("≥", verdict(goal, value)) if least else ("≤", verdict(value, goal))
    print(f"{what:<58} {figure:>24}  (goal {sign} {goal:g}: {reached})")


def hooks(path: Path, durability: str) -> tuple[mp.Plugin, Callable[[int], None]]:
    """Return the plugin on a new file, and a record through its hook."""
    pm = pluggy.PluginManager("benchmark")
    plugin = mp.register(pm, config={"store": {"durability": durability}}, store=path)

    def record(number: int) -> None:
        pm.hook.on_task_complete(
            task_type="execute-task",
            model_id=MODELS[number % 10],
            outcome=mp.Outcome(success=number % 3 > 0, tokens_used=1200, cost_usd=0.012),
            decision=None,
        )

    return plugin, record


def ratios(ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS) -> float:
    """Return the median ratio of pairs that were measured one right after the other, in turning order."""
    found = []
    for number in range(rounds):
        if number % 2:
            base, own = theirs(), ours()
        else:
            own, base = ours(), theirs()
        found.append(own / base)
    return statistics.median(found)


def one_thread(place: Path) -> None:
    """Print what a record costs through the hook, and what it costs to read evidence when nothing is new."""
    for durability, goal, count in (("normal", RECORD_GOAL, COUNT), ("full", 1.10, max(50, COUNT // 10))):
        raw = Raw(place / f"raw-{durability}.db", durability)
        plugin, record = hooks(place / f"ours-{durability}.db", durability)
        for number in range(1000):  # the log is written from its start again: to append to it takes longer
            raw.record(number)
            record(number)
        ratio = ratios(lambda: p50_microseconds(record, count), lambda: p50_microseconds(raw.record, count))  # noqa: B023
        show(f"record through the hook, {durability.upper()}, p50", f"{ratio:.2f} × raw", ratio, goal)
        if durability == "normal":
            times = sorted(timed(record, COUNT))
            theirs = sorted(timed(raw.record, COUNT))
            print(
                f"{'   mean and p99 of the same, with all that catches up':<58} "
                f"{statistics.fmean(times):.0f} and {times[COUNT * 99 // 100]:.0f} µs, "
                f"raw {statistics.fmean(theirs):.0f} and {theirs[COUNT * 99 // 100]:.0f} µs"
            )
            store = plugin.engine().store
            store.tallies.of("execute-task")
            read = statistics.median(
                p50_microseconds(lambda _: store.tallies.of("execute-task"), COUNT)  # noqa: B023
                for _ in range(ROUNDS)
            )
            show("evidence of a task type, nothing new, p50", f"{read:.1f} µs", read, 3.0)
        if plugin.failure_count():
            raise SystemExit(f"{plugin.failure_count()} hook calls failed: the figures mean nothing")
        plugin.close()
        raw.connection.close()


def timed(call: Callable[[int], object], count: int) -> Iterator[float]:
    """Yield the time of ``call(0)``, ``call(1)`` …, in microseconds."""
    for number in range(count):
        started = time.perf_counter_ns()
        call(number)
        yield (time.perf_counter_ns() - started) / 1000


def bulk(place: Path) -> None:
    """Print what an outcome costs within a thousand."""
    raw = Raw(place / "raw-bulk.db", "normal")
    tracker = mp.ModelPerformanceTracker(place / "bulk.db")
    outcomes = [("execute-task", MODELS[number % 10], OUTCOME) for number in range(BATCH)]
    tracker.record_many(outcomes)
    rounds = max(5, round(50 * SCALE))
    ratio = ratios(
        lambda: p50_microseconds(lambda _: tracker.record_many(outcomes), rounds) / BATCH,
        lambda: p50_microseconds(raw.record, COUNT),
    )
    show(f"record_many, {BATCH:,} a batch, per outcome", f"{ratio:.3f} × raw", ratio, 0.10)
    tracker.close()
    raw.connection.close()


def threads(place: Path) -> None:
    """Print what threads that share a commit write, beside a lock around each transaction."""
    store = open_store(place / "threads.db", durability="full")
    entry = Entry("execute-task", MODELS[0], OUTCOME, NOW_MS)
    raw = Raw(place / "raw-threads.db", "full")
    lock = threading.Lock()

    def locked(number: int) -> None:
        with lock:
            raw.record(number)

    for number in range(1000):
        store.outcomes.record(entry)
        raw.record(number)
    for count, goal in ((8, 1.0), (32, 5.0)):
        ratio = ratios(
            lambda: per_second(lambda _: store.outcomes.record(entry), count),  # noqa: B023
            lambda: per_second(locked, count),  # noqa: B023
        )
        show(f"{count} threads, FULL, against a lock each", f"{ratio:.1f} × throughput", ratio, goal, least=True)
    store.close()
    raw.connection.close()


def per_second(call: Callable[[int], object], count: int) -> float:
    """Return how often so many threads call in a second."""
    stop = threading.Event()
    calls = [0] * count

    def work(number: int) -> None:
        while not stop.is_set():
            call(calls[number])
            calls[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    time.sleep(max(0.5, 2 * SCALE))
    stop.set()
    for worker in workers:
        worker.join()
    return sum(calls) / (time.perf_counter() - started)


WORKER = """
import json, sys, time
import modelperf_plugin as mp
from modelperf_plugin.errors import StoreBusyError

with mp.ModelPerformanceTracker(sys.argv[1], durability=sys.argv[2]) as tracker:
    outcome = mp.Outcome(success=True)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(sys.argv[3])
    count, locked, longest = 0, 0, 0.0
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            tracker.record_outcome("execute-task", "gpt-4o", outcome)
            count += 1
        except StoreBusyError:
            locked += 1
        longest = max(longest, time.monotonic() - started)
    print(json.dumps([count, locked, longest]))
"""


def processes(place: Path) -> None:
    """Print how eight processes fare that saturate one file."""
    seconds = max(3.0, 60 * SCALE)
    for durability in ("normal", "full"):
        path = place / f"processes-{durability}.db"
        command = [sys.executable, "-c", WORKER, str(path), durability, str(seconds)]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(8)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answers = [json.loads(worker.communicate()[0]) for worker in workers]
        counts = [count for count, _, _ in answers]
        what = f"8 processes, {seconds:.0f} s, {durability.upper()}"
        locked, longest = sum(answer[1] for answer in answers), max(answer[2] for answer in answers)
        show(f'{what}: "locked"', f"{locked}", locked, 0)
        share = min(counts) * 8 / sum(counts)
        show(f"{what}: the slowest, of its share", f"{share:.0%}", share, 0.5, least=True)
        show(f"{what}: longest wait", f"{longest * 1000:.0f} ms", longest, 1.0)
        store = open_store(path)
        lost = sum(counts) - sum(tally.samples for tally in store.tallies.all())
        store.close()
        show(f"{what}: lost of {sum(counts):,}", f"{lost}", lost, 0)


def scale(place: Path) -> None:
    """Print what ten million outcomes of a thousand pairs cost."""
    path = place / "many.db"
    store = open_store(path)
    for number in range(1000):
        store.outcomes.record(Entry(TASK_TYPES[number % 100], MODELS[number // 100], OUTCOME, NOW_MS - 30 * DAY_MS))
    few = record_p50(path)
    started = time.perf_counter()
    for first in range(0, MANY, 50_000):
        moment = NOW_MS - 30 * DAY_MS * (MANY - first) // MANY
        store.outcomes.record_many(
            [
                Entry(
                    TASK_TYPES[number % 100],
                    MODELS[number // 100 % 10],
                    Outcome(success=number % 3 > 0, tokens_used=number % 5000, cost_usd=0.001 * (number % 97)),
                    moment,
                )
                for number in range(first, first + 50_000)
            ]
        )
    print(f"{MANY:,} outcomes of 1,000 pairs written in {time.perf_counter() - started:.0f} s")
    store.close()
    size = path.stat().st_size / MANY
    show("bytes per outcome", f"{size:.1f}", size, 35)
    many = record_p50(path)
    show("record p50, against 1,000 outcomes", f"{many / few:.2f} ×", many / few, 1.5)
    trend(path)
    opening(path)


def record_p50(path: Path) -> float:
    """Return the time of a record of the store, in microseconds."""
    store = open_store(path)

    def record(number: int) -> None:
        store.outcomes.record(Entry(TASK_TYPES[number % 100], MODELS[number // 100 % 10], OUTCOME, NOW_MS))

    found = statistics.median(p50_microseconds(record, COUNT) for _ in range(ROUNDS))
    store.close()
    return found


def trend(path: Path) -> None:
    """Print what the trend of one task type over 30 days costs, from the roll-up."""
    connection = sqlite3.connect(path)
    query = (
        "SELECT tally.model_id, day, daily.successes, daily.failures "
        "FROM tally JOIN daily ON daily.tally_id = tally.id "
        "WHERE tally.task_type = ? AND day > ? ORDER BY tally.model_id, day"
    )
    since = NOW_MS // DAY_MS - 30
    took = p50_microseconds(lambda _: connection.execute(query, ("type-7", since)).fetchall(), 50) / 1000
    connection.close()
    show("trend of a task type with ten models over 30 days", f"{took:.2f} ms", took, 2.0)


def opening(path: Path) -> None:
    """Print what it takes to open the file and make the first choice."""
    took, stores, evidence = [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with mp.ModelPerf({}, store=path) as perf:
            perf.select("type-7", MODELS)
            took.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        store = open_store(path)
        stores.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        store.tallies.of("type-7")
        evidence.append((time.perf_counter() - started) * 1000)
        store.close()
    found = statistics.median(took)
    show("open and first choice", f"{found:.1f} ms", found, 15.0)
    print(
        f"   of which the store is open in {statistics.median(stores):.1f} ms "
        f"and has the evidence in {statistics.median(evidence):.2f} ms"
    )


if __name__ == "__main__":
    main()
