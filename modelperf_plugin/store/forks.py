"""Forks: no SQLite connection may be open while a process forks, and no lock may stay taken in the child."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

logger = logging.getLogger("modelperf_plugin")

_T = TypeVar("_T")


class Forkable(Protocol):
    """A connection that is notified of forks."""

    def before_fork(self) -> None:
        """Stop every thread of the store until ``after_fork``."""

    def after_fork(self) -> None:
        """Continue, in the parent and in the child."""


# Weak references by id, not weak sets: those cannot be iterated while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_renewals: dict[int, Callable[[], None]] = {}
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Notify ``store`` of every fork from now on."""
    key, known = id(store), _stores
    known[key] = weakref.ref(store, lambda _: known.pop(key, None))


def renew(owner: _T, begin_again: Callable[[_T], None]) -> None:
    """Call ``begin_again(owner)`` in every forked child, once the stores are open again.

    Other threads do not exist there, and may have left locks and data halfway. An owner has one such function, which is
    forgotten with it.
    """
    key, known = id(owner), _renewals
    # not a WeakMethod: its callback fails while the interpreter exits
    reference = weakref.ref(owner, lambda _: known.pop(key, None))

    def renew_living() -> None:
        living = reference()
        if living is not None:
            begin_again(living)

    known[key] = renew_living


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
    for renew_living in list(_renewals.values()):
        try:
            renew_living()
        except Exception:
            logger.exception("an object could not be renewed after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
