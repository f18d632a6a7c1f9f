"""Telling stores when their process forks: no SQLite connection may be open then."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """A store that is told of forks."""

    def before_fork(self) -> None:
        """Be at rest until ``after_fork``: no thread of the store goes on."""

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""


_stores: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: list[Forkable] = []


def watch(store: Forkable) -> None:
    """Tell ``store`` of every fork from now on."""
    _stores.add(store)


def _before() -> None:
    _resting[:] = sorted(_stores, key=id)  # two threads that fork at once take the locks in the same order
    for store in _resting:
        store.before_fork()


def _after() -> None:
    for store in reversed(_resting):
        store.after_fork()
    _resting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
