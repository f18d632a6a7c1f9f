"""Telling objects when their process forks: no SQLite connection may be open then, and no lock may stay taken."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Protocol, TypeVar

logger = logging.getLogger("modelperf_plugin")

_T = TypeVar("_T")


class Forkable(Protocol):
    """A store that is told of forks."""

    def before_fork(self) -> None:
        """Be at rest until ``after_fork``: no thread of the store goes on."""

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""


# Weak references by id, not weak sets: those cannot be gone through while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_in_child: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Tell ``store`` of every fork from now on."""
    key = id(store)
    _stores[key] = weakref.ref(store, lambda _: _stores.pop(key, None))


def renew(begin_anew: Callable[[], None]) -> None:
    """Call a method in every child from now on, when the stores are open again.

    It makes its object begin anew: other threads are not there, and may have left locks and data halfway. It is
    forgotten with its object, of which there is one such method.
    """
    key = id(begin_anew.__self__)  # type: ignore[attr-defined]
    _in_child[key] = weakref.WeakMethod(begin_anew, lambda _: _in_child.pop(key, None))


def _alive(known: Mapping[int, Callable[[], _T | None]]) -> list[_T]:
    found = [reference() for _, reference in sorted(dict(known).items(), key=itemgetter(0))]
    return [each for each in found if each is not None]


def _before() -> None:
    _resting[:] = _alive(_stores)  # two threads that fork at once take the locks in the same order
    for store in _resting:
        store.before_fork()


def _after() -> None:
    for store in reversed(_resting):
        store.after_fork()
    _resting.clear()


def _after_in_child() -> None:
    _after()
    for begin_anew in _alive(_in_child):
        try:
            begin_anew()
        except Exception:
            logger.exception("what was in memory could not be made anew after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
