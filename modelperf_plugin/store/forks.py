"""Telling objects when their process forks: no SQLite connection may be open then, and no lock may stay taken."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Any, Protocol

logger = logging.getLogger("modelperf_plugin")


class Forkable(Protocol):
    """A store that is told of forks."""

    def before_fork(self) -> None:
        """Be at rest until ``after_fork``: no thread of the store goes on."""

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""


class Renewable(Protocol):
    """Something that goes on in the parent of a fork, and begins anew in the child."""

    def renew(self) -> None:
        """Begin anew, in a child: other threads are not there, and may have left locks and data halfway."""


# Weak references by id, not weak sets: those cannot be gone through while other threads add to them.
_stores: dict[int, weakref.ref[Forkable]] = {}
_followers: dict[int, weakref.ref[Renewable]] = {}
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Tell ``store`` of every fork from now on."""
    _remember(_stores, store)


def follow(follower: Renewable) -> None:
    """Tell ``follower`` in every child from now on, when the stores are open again."""
    _remember(_followers, follower)


def _remember(known: dict[int, weakref.ref[Any]], it: object) -> None:
    key = id(it)
    known[key] = weakref.ref(it, lambda _: known.pop(key, None))


def _alive(known: dict[int, weakref.ref[Any]]) -> list[Any]:
    found = [reference() for _, reference in sorted(known.copy().items())]
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
    for follower in _alive(_followers):
        try:
            follower.renew()
        except Exception:
            logger.exception("what was in memory could not be made anew after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
