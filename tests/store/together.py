"""Hosts that act at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from modelperf_plugin.store import Store

_T = TypeVar("_T")


def at_once(stores: Sequence[Store], act: Callable[[Store, int], _T]) -> list[_T]:
    """Return what each host's act returns, all begun at the same time."""
    together = Barrier(len(stores))

    def run(store: Store, host: int) -> _T:
        together.wait()
        return act(store, host)

    with ThreadPoolExecutor(len(stores)) as threads:
        return list(threads.map(run, stores, range(len(stores))))
