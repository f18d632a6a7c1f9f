"""Locks that no interrupt leaves taken, whichever instruction it hits.

A signal handler runs, and may raise, wherever the interpreter looks for signals: when a function is entered, when a
loop goes back, and after every call. So these are not safe:

- ``lock.acquire()`` before ``try``: the interrupt comes after the call, and nobody releases the lock;
- ``finally: release()``: the interrupt comes when ``release``, a function in Python, is entered;
- ``@contextmanager``, or ``__enter__`` and ``__exit__`` in Python: the interrupt comes inside of them.

It does not look between an ``__enter__`` in C and the block of its ``with``, nor during an ``__exit__`` in C. So
everything here is a ``with`` statement whose two methods are functions in C, and the rule is:

1. What must be undone is guarded before it is done: ``with`` the guard of an :class:`Undo` first, the deed inside.
2. A lock is held by ``with lock:``, with a deadline by ``with`` :func:`entering`, without waiting by :func:`attempt`.
3. What is remembered about a block ("a thread is inside") is set inside, and may be left over by an interrupt. Whoever
   holds the lock next knows that nobody else is inside, and corrects it.
4. Data changes by one assignment of the new value; or it is marked as doubtful before, and no longer after, so that
   whoever finds the mark discards it.

A handler may also call this package while the thread that it interrupted is inside a block. A lock that is waited for
is therefore an ``RLock``: the handler passes, and must find data that it can use. For :func:`attempt` it is a ``Lock``:
the handler does not pass, and what the block does is left to the block.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from threading import Condition, Lock, RLock
from types import TracebackType
from typing import NoReturn, Protocol, TypeVar

_T = TypeVar("_T")


class _Enter(Protocol):
    def __call__(self) -> object:
        """Begin the block."""


class _Leave(Protocol):
    def __call__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """End the block."""


class Guard:
    """A context manager made of two functions in C: ``with`` finds them in its slots and calls nothing else."""

    __slots__ = ("__enter__", "__exit__")

    __enter__: _Enter
    __exit__: _Leave

    def __init__(self, enter: _Enter, leave: _Leave) -> None:
        self.__enter__ = enter
        self.__exit__ = leave


def entering(lock: Lock | RLock, seconds: float, refuse: Callable[[float], NoReturn]) -> Guard:
    """Return what holds ``lock`` in one ``with`` statement.

    If it is not free within ``seconds``, ``refuse(seconds)`` raises, and nothing is held.
    """
    # any() stops at the first that is true: the lock was taken
    attempts = chain(map(lock.acquire, (True,), (seconds,)), map(refuse, (seconds,)))
    return Guard(partial(any, attempts), lock.__exit__)


def attempt(lock: Lock | RLock, action: Callable[[], object], seconds: float = 0.0) -> bool:
    """Run ``action`` while holding ``lock``; return False, without it, if the lock is not free within ``seconds``."""
    entered = False
    try:
        with entering(lock, seconds, _refuse):
            entered = True
            action()
    except _TakenError:
        if entered:
            raise
    return entered


def insist(action: Callable[[], object]) -> None:
    """Run ``action`` until no interrupt ends it, and raise the interrupt then: for what is better done twice than half.

    Not a loop, which would have to keep the interrupt, whose traceback keeps alive what its frames hold.
    """
    try:
        action()
    except Exception:
        raise
    except BaseException:
        insist(action)
        raise


def first(items: Iterable[_T], default: _T) -> _T:
    """Return the first of ``items``, or ``default``; no signal handler can change them meanwhile."""
    for item in items:
        return item
    return default


def is_held_here(lock: RLock) -> bool:
    """Return whether the calling thread holds ``lock``."""
    try:
        Condition(lock).notify(0)
    except RuntimeError:  # says so
        return False
    return True


class Undo(io.IOBase):
    """Calls a function in C at the end of every block under its :meth:`guard`."""

    closed = True  # there is nothing to close when it is deleted

    def __init__(self, function: Callable[[], object]) -> None:
        self.call(function)

    def guard(self) -> Guard:
        """Return a context manager for any number of blocks, one at a time."""
        return Guard(bool, self.__exit__)

    def call(self, function: Callable[[], object]) -> None:
        """Call another function from now on, at the end of a block that has begun as well."""
        self.__dict__["close"] = function  # which is what `__exit__` of a file calls, in C


class _TakenError(Exception):
    """Another thread holds the lock, or the code that a signal handler interrupted."""


def _refuse(_: float) -> NoReturn:
    raise _TakenError
