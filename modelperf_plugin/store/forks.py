"""Telling objects when their process forks: no SQLite connection may be open then, and no lock may stay taken."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol, cast

logger = logging.getLogger("modelperf_plugin")


class Forkable(Protocol):
    """A store that is told of forks."""

    def before_fork(self) -> None:
        """Be at rest until ``after_fork``: no thread of the store goes on."""

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""


# Weak references by id, not weak sets: those cannot be gone through while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_owners: dict[int, tuple[weakref.ref[object], Callable[[Any], None]]] = {}
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Tell ``store`` of every fork from now on."""
    key, known = id(store), _stores
    known[key] = weakref.ref(store, lambda _: known.pop(key, None))


def renew(begin_anew: Callable[[], None]) -> None:
    """Call a method in every child from now on, when the stores are open again.

    It makes its object begin anew: other threads are not there, and may have left locks and data halfway. It is
    forgotten with its object, of which there is one such method.
    """
    method = cast("MethodType", begin_anew)
    key, known = id(method.__self__), _owners
    known[key] = (weakref.ref(method.__self__, lambda _: known.pop(key, None)), method.__func__)


def _before() -> None:
    found = [reference() for _, reference in sorted(_stores.copy().items())]
    _resting[:] = [store for store in found if store is not None]  # in the same order in two threads that fork at once
    for store in _resting:
        store.before_fork()


def _after() -> None:
    for store in reversed(_resting):
        store.after_fork()
    _resting.clear()


def _after_in_child() -> None:
    _after()
    for reference, begin_anew in _owners.copy().values():
        owner = reference()
        if owner is None:
            continue
        try:
            begin_anew(owner)
        except Exception:
            logger.exception("what was in memory could not be made anew after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
