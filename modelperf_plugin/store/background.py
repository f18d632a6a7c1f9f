"""Work beside the calls: threads that end with their owner and with the process, and what to finish at its end."""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from modelperf_plugin.store import forks

if TYPE_CHECKING:
    from multiprocessing.util import Finalize

_T = TypeVar("_T")

IDLE_SECONDS: Final = 30.0
"""How long a thread waits for more work before it ends."""
END_SECONDS: Final = 5.0
"""How long the end of the process, or a fork, waits for the step that a thread is taking."""
_AFTER_OTHERS: Final = -10
"""The priority of the finalizer: after those of pools and queues."""


class Background(Generic[_T]):
    """Runs bounded steps of work for an owner, in a daemon thread. Any thread may call any method; none of them raises.

    The thread starts when there is work, and ends when there has been none for a while, when the owner is closed or
    garbage-collected, and when the process ends: then the step it is taking is waited for, so no thread is left running
    while the interpreter is taken down. It also ends before a fork; the parent resumes, and a child starts over with
    nothing to do. The owner is kept alive only while a step is due.

    Where no thread can be started, for example at the end of the process, :meth:`wake` returns False: the owner then
    takes its steps within a call, or when it is closed.
    """

    def __init__(
        self,
        owner: _T,
        step: Callable[[_T], float | None],
        *,
        name: str,
        on_error: Callable[[_T, Exception], None],
    ) -> None:
        """Take the work of ``owner``; no thread is started yet.

        Args:
            owner: whose work it is.
            step: takes one step of the work, of a second at most; returns in how many seconds it is to be called again,
                or None for "when woken". A function of the owner, such as ``Owner.step``, not a bound method.
            name: the name of the thread.
            on_error: called with what a step raised; the work then rests until it is woken.
        """
        self._owner = weakref.ref(owner, self._ring)
        self._step = step
        self._name = name
        self._on_error = on_error
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._alarm: queue.SimpleQueue[None] | None = None
        self._due_at = inf
        self._kept: _T | None = None
        """The owner, while a step is due."""
        self._closed = False
        self.stopping = False
        """Whether the thread is to end as soon as it can; a long step looks at this."""
        forks.renew(self, Background._renew)

    def wake(self, delay: float = 0.0) -> bool:
        """Have a step taken in ``delay`` seconds, or sooner if that was asked before; return False if none can be."""
        due_at = time.monotonic() + delay
        if self._due_at <= due_at and self._has_thread:
            return True
        with self._lock:
            self._due_at = min(self._due_at, due_at)
            if not self._has_thread and not self._start():
                return False
            self._kept = self._owner()
            self._ring()
            return True

    def close(self, seconds: float = END_SECONDS) -> None:
        """End the thread, waiting up to ``seconds`` for the step that it is taking; no other one begins."""
        self._closed = True
        self.stop()
        self.join(seconds)
        self._kept = None

    def stop(self) -> None:
        """Tell the thread to end."""
        self.stopping = True
        self._ring()

    def join(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the thread to end, unless this is it."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            with suppress(RuntimeError):  # it is just being started
                thread.join(max(0.0, seconds))

    def resume(self) -> None:
        """Undo ``stop``, and continue with what was due."""
        self.stopping = self._closed
        with self._lock:
            if not self._has_thread and self._due_at < inf:
                self._start()

    @property
    def _has_thread(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()  # it is not if its start was interrupted

    def _start(self) -> bool:
        if self.stopping or _process.is_ending:
            return False
        # looked up here: a library may have replaced them since the import, and they must fit together
        self._alarm = queue.SimpleQueue()
        self._thread = thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        _process.running[self] = thread
        try:
            thread.start()
        except RuntimeError:  # there are too many threads, or the interpreter is about to end
            self._forget(thread)
            return False
        return True

    def _run(self) -> None:
        try:
            while self._wait():
                owner = self._owner()
                if owner is None:
                    return
                delay = self._take_step(owner)
                del owner
                with self._lock:
                    if delay is not None:
                        self._due_at = min(self._due_at, time.monotonic() + delay)
                    if self._due_at == inf:
                        self._kept = None
        finally:
            with self._lock:
                self._forget(threading.current_thread())

    def _wait(self) -> bool:
        """Wait until a step is due; return False if the thread is to end."""
        idle_until = time.monotonic() + IDLE_SECONDS
        while not self.stopping and self._thread is threading.current_thread() and self._owner() is not None:
            now = time.monotonic()
            with self._lock:
                if self._due_at <= now:
                    self._due_at = inf
                    return True
                if self._due_at == inf and now >= idle_until:
                    self._forget(threading.current_thread())  # while locked: the next to wake it starts another
                    return False
                seconds = min(self._due_at, idle_until) - now
            alarm = self._alarm
            if alarm is not None:
                with suppress(queue.Empty):
                    alarm.get(timeout=max(0.0, seconds))
        return False

    def _take_step(self, owner: _T) -> float | None:
        try:
            return self._step(owner)
        except Exception as error:  # noqa: BLE001 - reported: there is no caller
            with suppress(Exception):
                self._on_error(owner, error)
            return None

    def _ring(self, _: object = None) -> None:
        alarm = self._alarm
        if alarm is not None:
            alarm.put(None)

    def _forget(self, thread: threading.Thread) -> None:
        if self._thread is thread:
            self._thread = self._alarm = None
            _process.running.pop(self, None)

    def _renew(self) -> None:
        """Forget the thread in a forked process, and what it had to do: that is the parent's."""
        self._lock = threading.RLock()
        self._thread = self._alarm = None
        _process.running.pop(self, None)
        self._due_at = inf
        self._kept = None
        self.stopping = self._closed


class _Process:
    """What runs in this process, and what to finish at its end."""

    def __init__(self) -> None:
        self.running: dict[Background[Any], threading.Thread] = {}
        self.finishers: dict[int, Callable[[], None]] = {}
        self.is_ending = False
        self._stopped: list[Background[Any]] = []
        self._finalizer: Finalize | None = None

    def stop(self) -> None:
        """Stop the threads: with several of them, a fork is not safe, and the interpreter cannot be taken down."""
        self._stopped = list(self.running)
        for background in self._stopped:
            background.stop()
        deadline = time.monotonic() + END_SECONDS
        for background in self._stopped:
            background.join(deadline - time.monotonic())

    def resume(self) -> None:
        """Start the threads again that were stopped for a fork."""
        for background in self._stopped:
            background.resume()
        self._stopped = []

    def end(self) -> None:
        """Stop the threads, and finish what was registered last first."""
        self.is_ending = True
        self.stop()
        for finish in reversed(list(self.finishers.values())):
            with suppress(Exception):  # the process ends: there is nobody left to be told
                finish()

    def begin_in_child(self) -> None:
        """Start over in a forked process."""
        self._stopped = []
        self.is_ending = False
        self.join_multiprocessing()

    def join_multiprocessing(self) -> None:
        """Have :meth:`end` called in children of multiprocessing, which end without running ``atexit``."""
        if "multiprocessing.util" in sys.modules:
            from multiprocessing import util  # noqa: PLC0415 - slow to import, and most hosts do without

            util.register_after_fork(self, _Process._finalize)  # a child first discards all finalizers
            self._finalize()

    def _finalize(self) -> None:
        from multiprocessing import process, util  # noqa: PLC0415

        finalizer = self._finalizer
        if process.parent_process() is not None and (finalizer is None or not finalizer.still_active()):
            self._finalizer = util.Finalize(None, self.end, exitpriority=_AFTER_OTHERS)


_process = _Process()
atexit.register(_process.end)
if hasattr(os, "register_at_fork"):
    # registered after those of ``forks``, so threads stop before the stores close
    os.register_at_fork(before=_process.stop, after_in_parent=_process.resume, after_in_child=_process.begin_in_child)


def at_process_end(owner: _T, finish: Callable[[_T], None]) -> None:
    """Call ``finish(owner)`` when the process ends, if the owner still exists; the last one registered comes first.

    That is at exit, or at the end of a child of multiprocessing, but not after ``os._exit`` or a signal without a
    handler. Other code may still run afterwards, see :func:`is_ending`, and ``finish`` be called again. A forked child
    inherits what was registered.
    """
    known, key = _process.finishers, id(owner)
    reference = weakref.ref(owner, partial(known.pop, key))  # in C: an interrupt in such a callback would be lost

    def finish_living() -> None:
        living = reference()
        if living is not None:
            finish(living)

    known[key] = finish_living
    _process.join_multiprocessing()


def is_ending() -> bool:
    """Return whether the process is ending: what is deferred now may never be done."""
    return _process.is_ending
