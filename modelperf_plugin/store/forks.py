"""Forks: no SQLite connection may be open while a process forks, and no lock may stay taken in the child."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator
from functools import partial
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


def _before() -> None:
    # in the same order in two threads that fork at once
    for _, reference in sorted(_stores.copy().items()):
        store = reference()
        if store is not None:
            insist(partial(_stop, store))


def _stop(store: Forkable) -> None:
    for known, rest in _resting:
        if known is store:  # interrupted, and called again
            rest.close()
    rest = store.at_rest()
    _resting.append((store, rest))
    next(rest)


def _after() -> None:
    for _, rest in reversed(_resting):
        insist(rest.close)
    _resting.clear()


def _after_in_child() -> None:
    at_rest = {id(store) for store, _ in _resting}
    for key, reference in _stores.copy().items():
        store = reference()
        if store is not None and key not in at_rest:  # an interrupt kept it from resting before the fork
            insist(partial(_stop, store))
    _after()
    for renew_living in list(_renewals.values()):
        try:
            insist(renew_living)
        except Exception:  # noqa: BLE001 - the others are renewed all the same
            logger.exception("an object could not be renewed after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
    # in C, should an interrupt keep the others from running: closes the generators, which releases what they hold
    os.register_at_fork(after_in_parent=_resting.clear, after_in_child=_resting.clear)
