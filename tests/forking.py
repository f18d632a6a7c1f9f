"""Interrupts at chosen lines of a fork and its hooks: ``python -m tests.forking COUNT [SEED]``.

A trace function raises KeyboardInterrupt at one line of the hooks, and often at a few more. Afterwards parent and child
record, fork again and record, and everything is looked at. Prints what was found, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from contextlib import closing, suppress
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import Final

import modelperf_plugin as mp
from modelperf_plugin.store import open_store

CANDIDATES: Final = ["gpt-4o", "claude-opus", "gemini-pro"]
DISTANCES: Final = (1, 2, 3, 5, 8, 13, 30, 80, 200)
"""How many lines may lie between two interrupts."""
HANG_SECONDS: Final = 60


class Tracer:
    """Raises KeyboardInterrupt at the lines with the given numbers, in the parent and in the child.

    Never at a call: an error there ends a generator that is being resumed without running its ``finally``, which no
    signal does.
    """

    def __init__(self, numbers: set[int]) -> None:
        self.lines = 0
        self._numbers = numbers

    def __call__(self, _frame: FrameType, event: str, _arg: object) -> Tracer:
        if event == "line":
            self.lines += 1
            if self.lines in self._numbers:
                raise KeyboardInterrupt
        return self


class Host:
    """A host that forks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = mp.ModelPerf({}, store=path)
        self.acknowledged = sum(self.record() for _ in range(3))
        self.files = self.open_files()
        self.problems: list[str] = []

    def record(self) -> bool:
        """Choose a model and record an outcome."""
        decision = self.engine.select("t", CANDIDATES)
        assert decision is not None
        return self.engine.record("t", decision.model_id, mp.Outcome(success=True), decision)

    def open_files(self) -> Counter[str]:
        """Return the files of the database that this process has open."""
        found: Counter[str] = Counter()
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                found[target.removeprefix(str(self.path))] += target.startswith(str(self.path))
        return found

    def fork(self, numbers: set[int]) -> int:
        """Fork with interrupts at these lines, record in parent and child, and return how many lines there were."""
        parent = os.getpid()
        answer, to_parent = os.pipe()
        tracer = Tracer(numbers)
        with suppress(KeyboardInterrupt):
            sys.settrace(tracer)
            os.fork()
        sys.settrace(None)
        if os.getpid() != parent:
            signal.alarm(HANG_SECONDS)
            os.write(to_parent, json.dumps(self.use("the child")).encode())
            os._exit(0)
        os.close(to_parent)
        self.use("the parent")
        with os.fdopen(answer) as answers:
            acknowledged, problems = json.loads(answers.read() or '[0, ["the child is silent"]]')
        os.wait()
        self.acknowledged += acknowledged
        self.problems += problems
        return tracer.lines

    def use(self, who: str) -> tuple[int, list[str]]:
        """Record; return how many outcomes were acknowledged, and what is wrong."""
        before, known = self.acknowledged, len(self.problems)
        try:
            self.acknowledged += sum(self.record() for _ in range(2))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.problems.append(f"{who} fails: {error!r}")
        if more := self.open_files() - self.files:
            self.problems.append(f"{who} has open: {dict(more)}")
        return self.acknowledged - before, self.problems[known:]

    def close(self) -> list[str]:
        """Close the store; return what is wrong."""
        self.engine.close()
        with closing(open_store(self.path)) as store:
            stored = sum(tally.samples for tally in store.tallies.all())
            findings = [finding.message for finding in store.maintenance.check() if not finding.ok]
        if stored != self.acknowledged:
            findings.append(f"{stored} of {self.acknowledged} outcomes are stored")
        return [*self.problems, *findings]


def run(folder: Path, numbers: set[int]) -> tuple[int, list[str]]:
    """Interrupt one fork, and fork once more; return how many lines the first one ran, and what is wrong."""
    host = Host(folder / "x.db")
    lines = host.fork(numbers)
    host.fork(set())
    return lines, host.close()


def main(arguments: list[str]) -> int:
    """Interrupt so many forks, and print what was found."""
    count, seed = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    chance = random.Random(seed)
    sys.unraisablehook = lambda _: None  # what a hook raises ends there
    problems: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="forking-") as name:
        lines, _ = run(Path(name), set())
        for number in range(count):
            first = chance.randrange(1, lines + 1)
            steps = chance.choices(DISTANCES, k=chance.choice([0, 1, 1, 2, 3]))
            numbers = set(accumulate(steps, initial=first))
            folder = Path(name) / str(number)
            folder.mkdir()
            _, found = run(folder, numbers)
            problems.update(dict.fromkeys(found, sorted(numbers)))
    print(
        json.dumps({"python": sys.version.split()[0], "forks": count, "lines": lines, "problems": problems}, indent=1)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
