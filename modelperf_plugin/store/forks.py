"""Forks: no SQLite connection may be open while a process forks, and no lock may stay taken in the child."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger("modelperf_plugin")


class Forkable(Protocol):
    """A connection that is notified of forks."""

    def before_fork(self) -> None:
        """Stop every thread of the store until ``after_fork``."""

    def after_fork(self) -> None:
        """Continue, in the parent and in the child."""


# Weak references by id, not weak sets: those cannot be iterated while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_renewals: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Notify ``store`` of every fork from now on."""
    key, known = id(store), _stores
    known[key] = weakref.ref(store, lambda _: known.pop(key, None))


def renew(begin_again: Callable[[], None]) -> None:
    """Call a method in every forked child, once the stores are open again.

    Other threads do not exist there, and may have left locks and data halfway. The method is forgotten with its object.
    """
    known = _renewals
    reference = weakref.WeakMethod(begin_again, lambda dead: known.pop(id(dead), None))
    known[id(reference)] = reference


def _before() -> None:
    # in the same order in two threads that fork at once
    stores = [reference() for _, reference in sorted(_stores.copy().items())]
    _resting[:] = [store for store in stores if store is not None]
    for store in _resting:
        store.before_fork()


def _after() -> None:
    for store in reversed(_resting):
        store.after_fork()
    _resting.clear()


def _after_in_child() -> None:
    _after()
    for reference in list(_renewals.values()):
        begin_again = reference()
        if begin_again is None:
            continue
        try:
            begin_again()
        except Exception:
            logger.exception("an object could not be renewed after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
