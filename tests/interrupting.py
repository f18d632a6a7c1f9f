"""Real signals at random instants of the calls of a host: ``python -m tests.interrupting COUNT [SEED [SECONDS]]``.

A timer raises KeyboardInterrupt in the main thread while it chooses, records, imports, opens or closes. After each
interrupt another process, another thread and the same thread use the store, in this order: nothing of what the first
two find was put right by the last. Prints what was found, as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Any, Final, Self

import pluggy

import modelperf_plugin as mp
from modelperf_plugin.errors import ModelPerfError
from modelperf_plugin.store import open_store

CANDIDATES: Final = ["gpt-4o", "claude-opus", "gemini-pro"]
MEASURED_SHARE: Final = 0.1
"""The share of calls that are not interrupted, to know how long they take."""
BURST_SHARE: Final = 0.1
"""The share of interrupts that are followed by more, which hit what cleans up after the first."""
HANG_SECONDS: Final = 60
"""A call that takes longer hangs; the process ends with the stacks of its threads."""
_PROBE: Final = """
import fcntl, sqlite3, sys, time
for line in sys.stdin:
    path, deadline, problem = line.rstrip("\\n"), time.monotonic() + 3.0, "-"
    while time.monotonic() < deadline:
        try:
            with open(path + ".lock", "a+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                connection = sqlite3.connect(path, timeout=0, isolation_level=None)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                finally:
                    connection.close()
        except BlockingIOError:
            problem = "the lock file is locked"
        except sqlite3.OperationalError as error:
            problem = str(error)
        else:
            problem = "-"
            break
        time.sleep(0.001)
    print(problem, flush=True)
"""


_FORK_HOOKS = {"_prepareFork", "_afterFork", "_acquireLock", "_releaseLock"}


class _Alarm:
    """Raises while it is on; switching it off is an assignment, which no signal interrupts."""

    on = False
    looking = False
    """Whether a signal is being looked at: the next one may come meanwhile."""

    @classmethod
    def ring(cls, _: int, frame: FrameType | None) -> None:
        if not cls.on or cls.looking:
            return
        cls.looking = True
        lost = _would_be_lost(frame)
        cls.looking = False
        if not lost:
            raise KeyboardInterrupt


def _would_be_lost(frame: FrameType | None) -> bool:
    """Return whether Python is in a ``__del__``, which nothing leaves, or where its own lock would stay taken."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (code.co_filename == logging.__file__ and code.co_name in _FORK_HOOKS):
            return True
        frame = frame.f_back
    return False


def strike(action: Callable[[], object], seconds: float, again: float = 0.0) -> bool:
    """Run ``action``; interrupt it after ``seconds``, and ``again`` and again. Return whether it was interrupted."""
    struck = False
    try:
        _Alarm.on = True
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), again)
        action()
        _Alarm.on = False
    except KeyboardInterrupt:
        _Alarm.on = False
        struck = True
    finally:
        _Alarm.on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    return struck


class OtherProcess:
    """A process that wants to write to a database."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def problem(self, path: Path) -> str | None:
        """Return what keeps it from writing to the database at ``path``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        return None if answer == "-" else answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class OtherThread:
    """A thread that runs what it is given."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._done: SimpleQueue[str | None] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    def problem(self, action: Callable[[], object]) -> str | None:
        """Return the error of ``action``."""
        self._work.put(action)
        return self._done.get()

    def _run(self) -> None:
        while True:
            self._done.put(problem_of(self._work.get()))


def problem_of(action: Callable[[], object]) -> str | None:
    """Return the error of ``action``, in one line."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return None


class Interrupts:
    """Strikes calls, and counts what is broken afterwards."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="interrupts-"))
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, str] = {}
        self.process = OtherProcess()
        self.thread = OtherThread()
        self.seconds: dict[str, float] = {}
        """How long an undisturbed call takes, by its name."""
        self.worlds = 0
        self._watch_at = 0.0

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, _Alarm.ring)
        sys.unraisablehook = self._count_unraisable
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.unraisablehook = sys.__unraisablehook__
        faulthandler.cancel_dump_traceback_later()
        self.process.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _count_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Count the interrupts that the interpreter keeps from their caller, as in the hooks of a fork."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            self.counts["interrupts"] += 1
            self.counts["interrupts in hooks of the interpreter"] += 1
        else:
            sys.__unraisablehook__(unraisable)

    def found(self, kind: str, problem: str | None) -> None:
        """Count a problem."""
        if problem is not None:
            self.counts[kind] += 1
            self.samples.setdefault(kind, problem)

    def watch(self) -> None:
        """End the process if it hangs from now on."""
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch_at = now + HANG_SECONDS / 10
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)

    def strike(self, name: str, action: Callable[[], object]) -> bool:
        """Interrupt ``action`` at a random instant of the time that it takes; count it."""
        self.watch()
        usual = self.seconds.get(name)
        if usual is None or self.random.random() < MEASURED_SHARE:
            started = time.perf_counter()
            action()
            took = time.perf_counter() - started
            self.seconds[name] = took if usual is None else 0.8 * usual + 0.2 * took
            return False
        again = self.random.uniform(2e-5, 2e-4) if self.random.random() < BURST_SHARE else 0.0
        try:
            struck = strike(action, self.random.uniform(0.0, 1.2 * usual), again)
        except Exception as error:  # noqa: BLE001 - the interrupt became another error
            self.found(f"another error in {name}", "".join(traceback.format_exception(error))[-1500:])
            struck = True
        self.counts["calls"] += 1
        self.counts["interrupts"] += struck
        self.counts[f"interrupts in {name}"] += struck
        return struck

    def new_path(self) -> Path:
        """Return a path for another database, in a folder of its own."""
        self.worlds += 1
        folder = self.folder / str(self.worlds)
        folder.mkdir()
        return folder / "x.db"


class Host:
    """A host whose calls are interrupted, and what it was told."""

    def __init__(self, interrupts: Interrupts, path: Path, *, durability: str = "normal") -> None:
        self.interrupts = interrupts
        self.path = path
        self.config: dict[str, Any] = {"store": {"durability": durability}}
        if interrupts.random.random() < 0.3:
            self.config["exploration"] = {"strategy": "ab_test", "incumbent": "gpt-4o", "challenger": "gemini-pro"}
        self.attempted = self.acknowledged = 0
        self.engine = self.open()

    def open(self) -> mp.ModelPerf:
        """Return another engine on the same store."""
        return mp.ModelPerf(self.config, store=self.path, seed=self.interrupts.random.getrandbits(30))

    def record(self, task_type: str = "t") -> None:
        """Record one outcome."""
        number = self.interrupts.random.getrandbits(8)
        outcome = mp.Outcome(success=number % 3 > 0, outcome_id=None if number % 2 else str(self.attempted))
        self.attempted += 1
        self.acknowledged += self.engine.record(task_type, CANDIDATES[number % 3], outcome)

    def record_many(self) -> None:
        """Record some outcomes at once."""
        self.attempted += 20
        self.acknowledged += self.engine.record_many([("t", "gpt-4o", mp.Outcome(success=True))] * 20)

    def task(self) -> None:
        """Choose a model and report on it."""
        decision = self.engine.select("t", CANDIDATES)
        assert decision is not None
        self.attempted += 1
        self.acknowledged += self.engine.record("t", decision.model_id, mp.Outcome(success=True), decision)

    def check(self) -> None:
        """Look whether everybody can go on."""
        found = self.interrupts.found
        self.interrupts.watch()
        found("locked for other processes", self.interrupts.process.problem(self.path))
        found("broken in other threads", self.interrupts.thread.problem(self.task))
        found("broken in the same thread", problem_of(self.task))

    def check_sums(self) -> None:
        """Look whether all that was acknowledged is there, once, and tallies and events agree."""
        found = self.interrupts.found
        self.engine.close()
        store = open_store(self.path)
        for finding in store.maintenance.check():
            found("half-written", None if finding.ok else f"{finding.name}: {finding.message}")
        stored = sum(tally.samples for tally in store.tallies.all())
        store.close()
        found("lost", f"{stored} of {self.acknowledged}" if stored < self.acknowledged else None)
        found("doubled", f"{stored} of {self.attempted}" if stored > self.attempted else None)


def calls(interrupts: Interrupts, number: int) -> None:
    """Choose and record in one thread."""
    host = Host(interrupts, interrupts.new_path(), durability=interrupts.random.choice(["normal", "normal", "full"]))
    for _ in range(20):
        host.task()
    actions: list[tuple[str, Callable[[], object]]] = [
        ("select", lambda: host.engine.select("t", CANDIDATES)),
        ("record", host.record),
        ("record", host.record),
        ("record_many", host.record_many),
        ("select and record", host.task),
        ("explain", lambda: host.engine.explain("t")),
    ]
    for _ in range(number):
        if interrupts.strike(*interrupts.random.choice(actions)):
            host.check()
    host.check_sums()


def threads(interrupts: Interrupts, number: int) -> None:
    """Record while other threads do, so that one writes for all."""
    host = Host(interrupts, interrupts.new_path(), durability=interrupts.random.choice(["normal", "full"]))
    host.task()
    recorded = [0, 0, 0]
    running = [True]

    def work(which: int) -> None:
        while running:
            host.engine.record("t", CANDIDATES[which], mp.Outcome(success=True))
            recorded[which] += 1

    others = [
        Thread(target=lambda which=which: interrupts.found("broken in other threads", problem_of(lambda: work(which))))
        for which in range(len(recorded))
    ]
    for other in others:
        other.start()
    for _ in range(number):
        if interrupts.strike("record among threads", host.record):
            before = list(recorded)
            deadline = time.monotonic() + 20.0
            while any(a == b for a, b in zip(before, recorded, strict=True)) and time.monotonic() < deadline:
                time.sleep(0.0002)
            stuck = [which for which, (a, b) in enumerate(zip(before, recorded, strict=True)) if a == b]
            interrupts.found("broken in other threads", f"threads {stuck} do not go on" if stuck else None)
    running.clear()
    for other in others:
        other.join()
    host.check()
    host.attempted += sum(recorded)
    host.acknowledged += sum(recorded)
    host.check_sums()


def closing(interrupts: Interrupts, number: int) -> None:
    """Close, and open again."""
    host = Host(interrupts, interrupts.new_path())
    for _ in range(number):
        host.task()
        if interrupts.strike("close", host.engine.close):
            interrupts.found("locked for other processes", interrupts.process.problem(host.path))
            interrupts.found("close fails", problem_of(host.engine.close))
        host.engine = host.open()
    host.check()
    host.check_sums()


def opening(interrupts: Interrupts, number: int) -> None:
    """Open a new or an existing store."""
    path = interrupts.new_path()
    for turn in range(number):
        if turn % 10 == 0:
            path = interrupts.new_path()
        opened: list[mp.ModelPerf] = []
        if interrupts.strike("open", lambda: opened.append(mp.ModelPerf({}, store=path))):  # noqa: B023 - runs at once
            if path.exists():
                interrupts.found("locked for other processes", interrupts.process.problem(path))
            host = problem_of(lambda: Host(interrupts, path).check_sums())  # noqa: B023
            interrupts.found("broken after opening", host)
        for engine in opened:
            engine.close()


def importing(interrupts: Interrupts, number: int) -> None:
    """Take over an old JSON file."""
    for _ in range(number):
        path = interrupts.new_path()
        old = {"t": {model: {"successes": 3, "failures": 1} for model in CANDIDATES}}
        path.with_suffix(".json").write_text(json.dumps(old))
        opened: list[mp.ModelPerf] = []
        if interrupts.strike("import", lambda: opened.append(mp.ModelPerf({}, store=path))):  # noqa: B023 - at once
            if path.exists():
                interrupts.found("locked for other processes", interrupts.process.problem(path))
            host = Host(interrupts, path)
            host.attempted = host.acknowledged = 12
            for _ in range(500):  # it is taken in beside the work
                if sum(tally.samples for tally in host.engine.store.tallies.all()) >= 12:
                    break
                time.sleep(0.01)
            host.check()
            host.check_sums()
        for engine in opened:
            engine.close()


def hooks(interrupts: Interrupts, number: int) -> None:
    """Call the hooks of a registered plugin, and close it."""
    path = interrupts.new_path()
    pm = pluggy.PluginManager("host")
    plugins = [mp.register(pm, {}, store=path)]
    recorded: list[None] = []

    def task() -> None:
        decision = pm.hook.select_model(task_type="t", candidates=CANDIDATES, context=None)
        outcome = mp.Outcome(success=True)
        pm.hook.on_task_complete(task_type="t", model_id=decision.model_id, outcome=outcome, decision=decision)
        recorded.append(None)

    for turn in range(number):
        if turn % 10:
            struck = interrupts.strike("hooks", task)
        else:
            struck = interrupts.strike("plugin.close", plugins[-1].close)
            interrupts.found("close fails", problem_of(plugins[-1].close))
            pm.unregister(name="modelperf")
            plugins.append(mp.register(pm, {}, store=path))
        if struck:
            interrupts.found("locked for other processes", interrupts.process.problem(path))
            interrupts.found("broken in other threads", interrupts.thread.problem(task))
            interrupts.found("broken in the same thread", problem_of(task))
    interrupts.found("failures in hooks", str(plugins[-1].failure_count()) if plugins[-1].failure_count() else None)
    plugins[-1].close()
    store = open_store(path)
    stored = sum(tally.samples for tally in store.tallies.all())
    interrupts.found("lost", f"{stored} of {len(recorded)}" if stored < len(recorded) else None)
    store.close()


def forking(interrupts: Interrupts, number: int) -> None:
    """Fork; the child chooses and records."""
    host = Host(interrupts, interrupts.new_path())
    parent = os.getpid()
    children: list[int] = []

    def fork() -> None:
        children.append(os.fork())

    for _ in range(number):
        host.task()
        children.clear()
        struck = interrupts.strike("fork", fork)
        if os.getpid() != parent:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(HANG_SECONDS)
            os._exit(0 if problem_of(host.task) is None else 3)
        for pid in children:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            interrupts.found("broken in a child", f"exit code {status}" if status else None)
            host.attempted += 1
            host.acknowledged += not status
        with suppress(ChildProcessError):  # of a fork that was interrupted before its number was known
            while not children and os.waitpid(-1, os.WNOHANG) != (0, 0):
                host.attempted += 1
        if struck:
            host.attempted += 1
            host.check()
    host.check_sums()


def spooling(interrupts: Interrupts, number: int) -> None:
    """Record while the database is damaged, and then into a new one."""
    path = interrupts.new_path()
    path.write_bytes(b"not a database" * 1000)
    host = Host(interrupts, path)
    for _ in range(number):
        if interrupts.strike("record to the spool", host.record):
            interrupts.found("broken in other threads", interrupts.thread.problem(host.task))
            interrupts.found("broken in the same thread", problem_of(host.task))
    with suppress(ModelPerfError):
        host.engine.close()
    path.unlink()
    for beside in path.parent.glob("x.db-*"):
        beside.unlink()
    host.engine = host.open()
    host.check()
    host.check_sums()


KINDS: Final = (
    (calls, 300, 8),
    (threads, 100, 2),
    (closing, 20, 1),
    (opening, 20, 1),
    (importing, 5, 1),
    (spooling, 100, 1),
    (hooks, 100, 2),
    (forking, 10, 1),
)
"""Each way of calling, how many calls at a time, and how often."""


def run(count: int, seed: int = 1, seconds: int = 86_400) -> dict[str, Any]:
    """Interrupt ``count`` calls, or as many as there is time; return what was counted, with examples of problems."""
    deadline = time.monotonic() + seconds
    with Interrupts(seed) as interrupts:
        while interrupts.counts["interrupts"] < count and time.monotonic() < deadline:
            kind, number, _ = interrupts.random.choices(KINDS, [weight for _, _, weight in KINDS])[0]
            try:
                kind(interrupts, min(number, count))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                problem = "".join(traceback.format_exception(error))[-1500:]
                interrupts.found(f"broken in {kind.__name__}", problem)
        return {**interrupts.counts, "examples": interrupts.samples}


@contextmanager
def timed(report: dict[str, Any]) -> Iterator[None]:
    """Add the seconds that the block takes."""
    started = time.monotonic()
    yield
    report["seconds"] = round(time.monotonic() - started, 1)


def main(arguments: list[str]) -> int:
    """Interrupt so many calls, and print what was found."""
    report: dict[str, Any] = {"python": sys.version.split()[0]}
    with timed(report):
        report.update(run(*map(int, arguments)))
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)
