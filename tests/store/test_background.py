"""Work beside the calls ends with its owner, and with the process, however that ends."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import modelperf_plugin
from modelperf_plugin.store.background import Background
from tests.store.test_fork import in_child

PATIENCE = 10.0
"""Seconds after which something that should have happened hangs."""

OWNER = """
import multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from modelperf_plugin.store.background import Background, at_process_end, is_ending

class Owner:
    def __init__(self, delay=60.0):
        self.notes = []
        self.background = Background(self, Owner.step, name="test", on_error=Owner.failed)
        at_process_end(self, Owner.finish)
        self.delay = delay
    def step(self):
        self.write("step")
    def failed(self, error):
        self.write(repr(error))
    def finish(self):
        self.write("finish" if is_ending() else "early")
    def note(self):
        self.notes.append(1)
        self.background.wake(self.delay)
    def write(self, text):
        with open("notes.txt", "a") as file:
            file.write(f"{text} {len(self.notes)}\\n")
        self.notes = []
"""


class Owner:
    """Counts its steps."""

    def __init__(self, *, again: float | None = None) -> None:
        self.steps = 0
        self.errors: list[Exception] = []
        self.stepped = threading.Event()
        self.again = again
        self.background = Background(self, Owner.step, name="test-owner", on_error=Owner.failed)

    def step(self) -> float | None:
        self.steps += 1
        self.stepped.set()
        if self.steps == 3:
            raise ValueError("the third")
        return self.again

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        raise RuntimeError("the callback fails as well")


def threads() -> list[threading.Thread]:
    """Return the threads of owners in this process."""
    return [thread for thread in threading.enumerate() if thread.name == "test-owner"]


def until(condition: object) -> bool:
    """Wait until ``condition()`` holds; return False after :data:`PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.005)
    return False


def notes_of(folder: Path, script: str, *arguments: str) -> list[str]:
    """Run a script with an owner to its end, and return the lines that the owner wrote."""
    (folder / "script.py").write_text(OWNER + script)
    result = subprocess.run(
        [sys.executable, "-X", "dev", "script.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(modelperf_plugin.__file__).parents[1])},
        cwd=folder, timeout=60, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "rror in" not in result.stderr
    return (folder / "notes.txt").read_text().splitlines()


def test_a_step_is_taken_when_woken() -> None:
    """Work runs in a thread of its own soon after it was asked for; without work there is no thread."""
    owner = Owner()
    assert not threads()
    assert owner.background.wake()
    assert owner.stepped.wait(PATIENCE)
    owner.background.close()
    assert not threads()
    assert not owner.background.wake(), "a closed one takes no more steps"


def test_the_sooner_of_two_delays_holds() -> None:
    """Work that was put off is done sooner when woken again, and is not put off further."""
    owner = Owner()
    owner.background.wake(3600.0)
    owner.background.wake(0.0)
    owner.background.wake(3600.0)
    assert owner.stepped.wait(PATIENCE)
    owner.background.close()


def test_steps_go_on_as_long_as_there_is_work_and_after_an_error() -> None:
    """A step says when the next one is due; one that raises is reported, whatever the callback does."""
    owner = Owner(again=0.0)
    owner.background.wake()
    assert until(lambda: owner.errors)
    owner.stepped.clear()
    owner.background.wake()
    assert owner.stepped.wait(PATIENCE)
    owner.background.close()
    assert [str(error) for error in owner.errors] == ["the third"]


def test_an_owner_that_was_not_closed_is_collected_with_its_thread() -> None:
    """What is due is done first; afterwards the waiting thread keeps nobody alive."""
    owner = Owner()
    stepped = owner.stepped
    owner.background.wake(0.1)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert stepped.wait(PATIENCE)
    assert until(lambda: gone() is None)
    assert until(lambda: not threads())


def test_without_a_thread_the_owner_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, the owner hears so, and the next attempt may succeed."""
    owner = Owner()
    start = threading.Thread.start

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert not owner.background.wake()
    monkeypatch.setattr(threading.Thread, "start", start)
    assert owner.background.wake()
    assert owner.stepped.wait(PATIENCE)
    owner.background.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_finds_no_thread(tmp_path: Path) -> None:
    """The thread ends before a fork (Python warns about forks with threads) and continues in the parent alone."""
    owner = Owner(again=0.001)
    owner.steps = 10
    owner.background.wake()
    owner.stepped.wait(PATIENCE)

    def work() -> None:
        assert not threads()
        steps = owner.steps
        time.sleep(0.05)
        assert owner.steps == steps, "the parent's work was done in the child"
        owner.stepped.clear()
        assert owner.background.wake()
        assert owner.stepped.wait(PATIENCE)

    assert in_child(work) == 0
    steps = owner.steps
    assert until(lambda: owner.steps > steps)
    owner.background.close()


ENDINGS = {
    "end of the script": "o = Owner(); o.note()",
    "sys.exit": "o = Owner(); o.note(); sys.exit(3)",
    "an exception": "o = Owner(); o.note(); raise ValueError",
    "the main thread ends first": """
o = Owner()
def late():
    threading.main_thread().join()
    o.note()
threading.Thread(target=late).start()
""",
    "a forked child": """
if (pid := os.fork()) == 0:
    o = Owner(); o.note(); sys.exit()
os.waitpid(pid, 0)
""",
    "a forked child of an owner": """
o = Owner()
if (pid := os.fork()) == 0:
    o.note(); sys.exit()
os.waitpid(pid, 0)
del o
""",
}
PROCESSES = """
def work(_):
    global o
    o = Owner(); o.note()
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(1,))
    process.start(); process.join()
"""
INHERITED = """
o = Owner()
def work(_):
    o.note()
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work, args=(1,))
    process.start(); process.join()
    del o
"""
POOL = """
def work(_):
    global o
    o = Owner(); o.note()
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        list(pool.map(work, [1]))
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_rest_is_finished_when_the_process_ends(tmp_path: Path, ending: str) -> None:
    """What still waits when a process ends is finished, without waiting for its time."""
    assert notes_of(tmp_path, ENDINGS[ending])[-1:] == ["finish 1"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_rest_is_finished_when_a_child_of_multiprocessing_ends(tmp_path: Path, method: str) -> None:
    """Those end by ``os._exit``, so ``atexit`` is not called there."""
    assert notes_of(tmp_path, PROCESSES, method)[0] == "finish 1"


@pytest.mark.parametrize("script", [INHERITED, POOL], ids=["an owner of the parent", "a pool"])
def test_the_rest_is_finished_when_a_worker_ends(tmp_path: Path, script: str) -> None:
    """So it is with an object that the parent made, and in the workers of a pool."""
    assert notes_of(tmp_path, script) == ["finish 1"]


def test_a_step_is_waited_for_at_exit(tmp_path: Path) -> None:
    """A process does not end in the middle of a step."""
    script = """
class Slow(Owner):
    def step(self):
        time.sleep(0.3)
        self.write("slow")
o = Slow()
o.background = Background(o, Slow.step, name="test", on_error=Owner.failed)
o.note(); o.background.wake(); time.sleep(0.1)
"""
    assert notes_of(tmp_path, script) == ["slow 1", "finish 0"]


def test_no_thread_is_started_while_the_process_ends(tmp_path: Path) -> None:
    """Whoever still works then hears that nothing can be put off."""
    script = """
o = Owner()
background = sys.modules["modelperf_plugin.store.background"]
background.at_process_end(o, lambda o: o.write(f"woken: {o.background.wake()}"))
"""
    assert notes_of(tmp_path, script) == ["woken: False 0"]
