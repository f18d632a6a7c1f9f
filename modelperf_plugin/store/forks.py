"""Forks: no SQLite connection may be open while a process forks, and no lock may stay taken in the child."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator, Iterator
from functools import partial
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import Protocol, TypeVar

from modelperf_plugin.log import logger
from modelperf_plugin.values.locks import insist

_T = TypeVar("_T")


class Forkable(Protocol):
    """A connection that takes part in forks."""

    def at_rest(self) -> Generator[None]:
        """Stop every thread of the store, yield once, for the fork, and continue in the parent and in the child.

        A generator, because it holds the locks by ``with``: closed at any moment, it releases what it holds.
        """


# Weak references by id, not weak sets: those cannot be iterated while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_renewals: dict[int, Callable[[], None]] = {}
_resting: list[tuple[Forkable, Generator[None]]] = []
_generations: list[None] = []
"""One entry for each fork above this process."""


def watch(store: Forkable) -> None:
    """Let ``store`` take part in every fork from now on."""
    key = id(store)
    _stores[key] = weakref.ref(store, partial(_stores.pop, key))  # in C: an interrupt in such a callback would be lost


def renew(owner: _T, begin_again: Callable[[_T], None]) -> None:
    """Call ``begin_again(owner)`` in every forked child, once the stores are open again.

    Other threads do not exist there, and may have left locks and data halfway. An owner has one such function, which is
    forgotten with it.
    """
    key = id(owner)
    # not a WeakMethod: its callback fails while the interpreter exits
    reference = weakref.ref(owner, partial(_renewals.pop, key))

    def renew_living() -> None:
        living = reference()
        if living is not None:
            begin_again(living)

    _renewals[key] = renew_living


def generation() -> int:
    """Return how many forks there are between this process and the one that imported this module."""
    return len(_generations)


def _before() -> None:
    # in the same order in two threads that fork at once
    _insist_on(iter([partial(_stop, key) for key in sorted(_stores.copy())]))


def _stop(key: int) -> None:
    reference = _stores.get(key)
    store = None if reference is None else reference()
    if store is None or any(known is store and getgeneratorstate(rest) == GEN_SUSPENDED for known, rest in _resting):
        return
    rest = store.at_rest()
    _resting.append((store, rest))
    next(rest)


def _after() -> None:
    _insist_on(iter([rest.close for _, rest in reversed(_resting)]))
    _resting.clear()


def _after_in_child() -> None:
    _before()  # should an interrupt have kept a store from resting: closes what the parent opened
    _after()
    _insist_on(iter(list(_renewals.values())))


def _insist_on(actions: Iterator[Callable[[], object]]) -> None:
    """Run every action, whatever interrupts another one; raise the interrupt then."""
    for action in actions:
        try:
            insist(action)
        except Exception:  # noqa: BLE001 - the others are run all the same
            logger.exception("a store could not be closed, or opened again, for a fork")
        except BaseException:
            _insist_on(actions)
            raise


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(_generations.append, None))  # in C: no interrupt comes before it
    for _ in range(2):  # should an interrupt come as soon as the first one is called
        os.register_at_fork(before=_before)
    os.register_at_fork(after_in_parent=_after, after_in_child=_after_in_child)
    # in C, should an interrupt keep the others from running: closes the generators, which releases what they hold
    os.register_at_fork(after_in_parent=_resting.clear, after_in_child=_resting.clear)
