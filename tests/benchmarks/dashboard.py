"""Looking at a large database: 10 million outcomes, 1,000 pairs, a year, 200,000 decisions.

On a busy machine a page waits for its turn: what it computes itself stands beside the time that passed.

Goals: the first page of a new process within 300 ms, every further one within 200 ms, a report within 5 s and 3 MB,
250 MB of memory. Times are those of the server, without a network; the command reads the evidence before it prints
its address, and how long that takes stands in front.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.benchmarks._large_store import build
from tests.benchmarks.timing import verdict

_PAGES: Final = (
    "/", "/", "/?days=7", "/?days=90", "/?days=365", "/task?name=task-03", "/task?name=task-03&days=365",
    "/task?name=task-07&days=90", "/model?name=vendor%2Fmodel-03", "/model?name=vendor%2Fmodel-03&days=365",
    "/model?task=task-03&name=vendor%2Fmodel-07", "/decisions",
    "/decisions?task=task-03&outcome=failed&sort=costliest", "/decisions?q=model-07&explored=yes", "/policy",
    "/advice", "/metrics",
)  # fmt: skip


def main() -> None:
    """Build the database, and look at it from a process of its own; ``python -m tests.benchmarks dashboard``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.db"
        started = time.perf_counter()
        build(path)
        print(f"built {path.stat().st_size / 1e6:,.0f} MB in {time.perf_counter() - started:.0f} s")
        for part in _PARTS:
            subprocess.run([sys.executable, "-m", "tests.benchmarks.dashboard", part, str(path)], check=True)


def pages(path: str) -> None:
    """Ask for every page once, and wait for savings and advice; print times beside the goals."""
    from modelperf_plugin.dashboard import create_app
    from modelperf_plugin.dashboard.app import warm
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store.opening import to_read
    from tests.asgi import ask

    with ModelPerf({}, store=to_read(path)) as engine:
        started = time.perf_counter()
        app = create_app(engine)
        warm(engine)
        print(f"the command is ready after another {(time.perf_counter() - started) * 1000:.0f} ms")
        decision = engine.store.decisions.newest(limit=1)[0].decision_id
        for number, page in enumerate((*_PAGES, f"/decision?id={decision}")):
            started, worked = time.perf_counter(), time.process_time()
            answer = ask(app, page)
            taken, work = (time.perf_counter() - started) * 1000, (time.process_time() - worked) * 1000
            goal = 200 if number else 300
            assert answer.status == 200, answer
            found = f"{taken:5.0f} ms (goal {goal} ms: {verdict(taken, goal)}), of it computing {work:4.0f} ms"
            print(f"{page:43} {found}, {len(answer.text) / 1000:,.0f} kB")
        started = time.perf_counter()
        while "pending" in ask(app, "/").text:
            time.sleep(0.2)
        print(f"savings and advice are there after another {time.perf_counter() - started:.1f} s, beside the pages")
    _print_memory()


def report(path: str) -> None:
    """Make a report; print its time and size beside the goals."""
    from modelperf_plugin.dashboard import make_report
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store.opening import to_read

    with ModelPerf({}, store=to_read(path)) as engine:
        started, worked = time.perf_counter(), time.process_time()
        text = make_report(engine)
        taken, work = time.perf_counter() - started, time.process_time() - worked
        megabytes = len(text.encode()) / 1e6
        print(f"report {taken:.2f} s (goal 5 s: {verdict(taken, 5)}), of it computing {work:.2f} s")
        print(f"its file {megabytes:.2f} MB (goal 3 MB: {verdict(megabytes, 3)})")
    _print_memory()


def _print_memory() -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory {memory:.0f} MB (goal 250 MB: {verdict(memory, 250)})")


_PARTS: Final = {"pages": pages, "report": report}
"""Each in a process of its own: what one computes in the background would take the time of the other."""

if __name__ == "__main__":
    _PARTS[sys.argv[1]](sys.argv[2])
