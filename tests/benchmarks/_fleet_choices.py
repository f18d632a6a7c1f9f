"""What choices cost on a server, and how soon they know what other hosts record."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import modelperf_plugin as mp
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store.local import LocalRead, locally
from tests.benchmarks.timing import interleaved, verdict

MODELS = [f"model-{number}" for number in range(10)]
CHOICES, ROUNDS = 2000, 5
OUTCOMES = 100
CHOICE_GOAL, MEDIAN_GOAL_MS, LONGEST_GOAL_MS = 1.2, 100.0, 1000.0

RECORDER = """
import sys, time
import modelperf_plugin as mp

with mp.ModelPerf({"store": {"path": sys.argv[2]}}, store=sys.argv[1]) as perf:
    for line in sys.stdin:
        perf.record("news", "a", mp.Outcome(success=True))
        print(time.monotonic(), flush=True)
"""


def choices(url: str) -> None:
    """Print the time of a choice of ten models on a server beside that on a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = ModelPerf({"store": {"path": f"{folder}/file.db"}}, seed=1)
        server = ModelPerf({"store": {"path": f"{folder}/server.db"}}, store=url, seed=1)
        with file, server:
            for perf in (file, server):
                for number in range(200):
                    perf.record("t", MODELS[number % 10], mp.Outcome(success=number % 3 > 0))
                for _ in range(500):
                    perf.select("t", MODELS)
                time.sleep(2.0)
            calls: dict[str, Callable[[int], object]] = {
                "file": lambda _: file.select("t", MODELS),
                "server": lambda _: server.select("t", MODELS),
            }
            found = interleaved(calls, CHOICES, ROUNDS)
            ratio = found["server"] / found["file"]
            print(f"choice of 10, nothing new: file {found['file']:.1f} µs, server {found['server']:.1f} µs")
            print(f"  server / file: {ratio:.2f} (goal ≤ {CHOICE_GOAL}) {verdict(ratio, CHOICE_GOAL)}")
            after: dict[str, list[float]] = {"file": [], "server": []}
            for number in range(500):
                for name, perf in (("file", file), ("server", server)):
                    perf.record("t", MODELS[number % 10], mp.Outcome(success=True))
                    started = time.perf_counter_ns()
                    perf.select("t", MODELS)
                    after[name].append((time.perf_counter_ns() - started) / 1000)
            print("choice after an own outcome, median and longest:", end="")
            for name, times in after.items():
                print(f"  {name} {statistics.median(times):.0f} µs, {max(times) / 1000:.1f} ms", end="")
            print()


def news(url: str) -> None:
    """Print after how long a host knows what another process has recorded, from the moment it was acknowledged."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", RECORDER, url, str(Path(folder) / "other.db")]
        recorder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert recorder.stdin is not None
        assert recorder.stdout is not None
        delays = []
        with ModelPerf({"store": {"path": f"{folder}/own.db"}}, store=url) as perf:

            def samples() -> int:
                tallies = locally(LocalRead(), lambda: perf.store.tallies.of("news"))
                return sum(tally.samples for tally in tallies.values())

            for number in range(1, OUTCOMES + 1):
                time.sleep(0.01 * (number % 17))
                samples()
                recorder.stdin.write("\n")
                recorder.stdin.flush()
                recorded = float(recorder.stdout.readline())
                while samples() < number:
                    time.sleep(0.0005)
                delays.append(max(0.0, time.monotonic() - recorded) * 1000)
        recorder.stdin.close()
        recorder.wait()
        recorder.stdout.close()
    median, longest = statistics.median(delays), max(delays)
    print(
        f"an outcome is known to another host after {median:.0f} ms (median), {longest:.0f} ms (longest of {OUTCOMES})"
    )
    print(f"  median (goal ≤ {MEDIAN_GOAL_MS:g}) {verdict(median, MEDIAN_GOAL_MS)}, ", end="")
    print(f"longest (goal ≤ {LONGEST_GOAL_MS:g}) {verdict(longest, LONGEST_GOAL_MS)}")
