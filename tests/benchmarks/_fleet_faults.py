"""Hosts whose PostgreSQL server is away under load: how long their calls take, and what is there afterwards.

Each figure is wall time, so other programs on the machine lengthen it. ``BENCH_SCALE=0.1`` is a quick run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from modelperf_plugin.store import open_store
from modelperf_plugin.store.fallback.spool import count_waiting
from modelperf_plugin.store.opening import spool_of
from tests.benchmarks.stalls import SCALE, host, show
from tests.postgres import OwnServer, started
from tests.store.contract.examples import unsound

PROCESSES: Final = 2
THREADS: Final = 4
AWAY_SECONDS: Final = max(2.0, 20 * SCALE)
"""How long the server is away, each time; the goal is for a minute in all."""
BEFORE_SECONDS: Final = 3.0
GOAL_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.002
BACK_SECONDS: Final = 180.0
"""A host tries again after a minute at most, and then moves what waits."""
PAIRS: Final = 10


class Figures(NamedTuple):
    """What a host has seen."""

    calls: int
    recorded: int
    longest: list[float]
    """The longest call while the server was there, and each time that it was away or coming back."""


def away() -> None:
    """Let the server be silent, stop at once and stop in order, a minute in all; print the figures of the hosts."""
    with started() as server, tempfile.TemporaryDirectory() as folder:
        url = server.url
        with closing(open_store(url)):
            pass
        program = [sys.executable, "-m", "tests.benchmarks._fleet_faults", url, folder]
        hosts = [
            subprocess.Popen([*program, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for number in range(PROCESSES)
        ]
        for each in hosts:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        time.sleep(BEFORE_SECONDS)
        phases: dict[str, Callable[[], None]] = {
            "silent (SIGSTOP)": lambda: _silent(server),
            "stopped at once": lambda: _stopped(server, "immediate"),
            "stopped in order": lambda: _stopped(server, "fast"),
        }
        for away in phases.values():
            _tell(hosts, "next")
            away()
            time.sleep(BEFORE_SECONDS)
        _tell(hosts, "end")
        figures = [Figures(*json.loads(each.communicate(timeout=2 * BACK_SECONDS)[0])) for each in hosts]
        waiting = sum(count_waiting(spool_of(url, Path(folder) / f"{number}.db")) for number in range(PROCESSES))
        with closing(open_store(url)) as store:
            there = sum(tally.samples for tally in store.tallies.all())
            events, problems = store.events.last_id(), unsound(store)
    calls, recorded = sum(each.calls for each in figures), sum(each.recorded for each in figures)
    print(f"{calls:,} calls of {PROCESSES} processes with {THREADS} threads; {AWAY_SECONDS:g} s each time")
    for phase, longest in zip(["there", *phases], zip(*(each.longest for each in figures), strict=True), strict=True):
        show(f"longest call, server {phase}", f"{max(longest):.3f} s", max(longest), GOAL_SECONDS)
    show("outcomes that still wait in files", f"{waiting:,}", waiting, 0)
    show(
        "outcomes lost or counted twice",
        f"{abs(recorded - there - waiting)} of {recorded:,}",
        abs(recorded - there - waiting),
        0,
    )
    show("sums that differ from the events", f"{len(problems)}", len(problems) + (events != recorded), 0)


def _tell(hosts: list[subprocess.Popen[str]], word: str) -> None:
    for each in hosts:
        assert each.stdin is not None
        each.stdin.write(f"{word}\n")
        each.stdin.flush()


def _silent(server: OwnServer) -> None:
    """Stop every process of the server where it is."""
    (first, *_) = (server.data / "postmaster.pid").read_text().split()
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", first], check=True, capture_output=True, text=True)
    processes = [int(first), *map(int, found.stdout.split())]
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    time.sleep(AWAY_SECONDS)
    for each in processes:
        os.kill(each, signal.SIGCONT)


def _stopped(server: OwnServer, mode: str) -> None:
    server.stop(mode)
    time.sleep(AWAY_SECONDS)
    server.start()


def _host(url: str, folder: str, name: str) -> None:
    """Choose and record until the end, by several threads; print the figures, and leave nothing waiting."""
    waits: list[list[float]] = [[]]
    ended = threading.Event()
    recorded = [0] * THREADS
    config = {"store": {"path": str(Path(folder) / f"{name}.db")}}
    with host(url, config) as this:

        def work(thread: int) -> None:
            while not ended.is_set():
                for pair in range(PAIRS):
                    with _timed(waits[-1]):
                        decision = this.choose(f"type-{pair}", ["model-0", "model-1", "model-2"])
                    with _timed(waits[-1]):
                        this.record(f"type-{pair}", decision.model_id, decision)
                    recorded[thread] += 1
                    time.sleep(PAUSE_SECONDS)

        this.record("type-0", "model-0", this.choose("type-0", ["model-0"]))
        recorded[0] += 1
        print("ready", flush=True)
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        for line in sys.stdin:
            if line == "end\n":
                break
            waits.append([])
        ended.set()
        for thread in threads:
            thread.join()
        store, until = this.plugin.engine().store, time.monotonic() + BACK_SECONDS
        while (store.degraded or store.busy) and time.monotonic() < until:
            store.decisions.write([], [])  # moves a part of what waits
            if store.degraded:
                time.sleep(0.1)
    print(json.dumps(Figures(sum(map(len, waits)), sum(recorded), [max(each, default=0.0) for each in waits])))


@contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - started)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _host(*sys.argv[1:])
    else:
        away()
