"""Closing a store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Store
from tests.store.contract.examples import entry
from tests.store.contract.test_ab_tests import TEST
from tests.store.contract.test_decisions import NOON_MS, decided, keep

CALLS: list[Callable[[Store], object]] = [
    lambda store: store.outcomes.record(entry()),
    lambda store: store.outcomes.record_many([entry()]),
    lambda store: store.outcomes.record(entry()._replace(tried=("a",))),
    lambda store: store.tallies.of("execute-task"),
    lambda store: store.tallies.later("execute-task"),
    lambda store: store.tallies.all(),
    lambda store: store.events.last_id(),
    lambda store: store.changes.all(),
    lambda store: store.demotions.all(),
    lambda store: store.demotions.end("t", "a", 1, "operator"),
    lambda store: store.watch_states.load(),
    lambda store: keep(store, decided()),
    lambda store: store.decisions.get("d1"),
    lambda store: store.decisions.starting_with("d"),
    lambda store: store.decisions.newest(),
    lambda store: store.decisions.after(0, 10),
    lambda store: store.decisions.summary(NOON_MS),
    lambda store: store.decisions.forget(NOON_MS),
    lambda store: store.ab_tests.all(),
    lambda store: store.ab_tests.begin(TEST),
    lambda store: store.ab_tests.end("t", 1),
    lambda store: store.served_models.counts(),
    lambda store: store.imports.all(),
    lambda store: store.attachments.all(),
    lambda store: store.merged.all(),
    lambda store: store.problems.all(),
    lambda store: store.problems.clear(),
    lambda store: store.maintenance.check(),
]


def test_a_closed_store_says_so(store: Store) -> None:
    """After ``close``, which may be called twice, every other call is a StoreError that says it is closed."""
    store.outcomes.record(entry())
    store.close()
    store.close()
    for call in CALLS:
        with pytest.raises(StoreError, match="closed"):
            call(store)
