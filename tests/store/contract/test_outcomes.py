"""Recording outcomes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, Store
from tests.store.contract.examples import entry, unsound


def test_the_same_outcome_id_counts_once(store: Store) -> None:
    """Recording an id again changes nothing and says so, whatever else the second outcome holds."""
    assert store.outcomes.record(entry(outcome_id="run-1"))
    assert not store.outcomes.record(entry("other", success=False, outcome_id="run-1"))
    assert store.outcomes.record(entry(outcome_id="run-2"))
    assert store.outcomes.record_many([entry(outcome_id="run-2"), entry(outcome_id="run-3"), entry()]) == 2
    (tally,) = store.tallies.all()
    assert (tally.model_id, tally.successes, tally.failures) == ("gpt-4o", 4, 0)


def test_verdicts_are_found_by_id(store: Store) -> None:
    """The verdict in force of each known id, with its task type and model; unknown ids are left out."""
    store.outcomes.record(entry(outcome_id="run-1"))
    store.outcomes.record(entry(success=False, outcome_id="run-1"))
    verdicts = store.outcomes.verdicts_of(["run-1", "run-2"])
    assert {key: each[:3] for key, each in verdicts.items()} == {"run-1": ("execute-task", "gpt-4o", False)}


def test_a_bulk_is_written_as_a_whole_or_not_at_all(store: Store) -> None:
    """An error in the middle of a bulk leaves nothing of it behind, neither in the store nor in memory."""
    store.outcomes.record(entry())
    before = store.tallies.of("execute-task")

    def interrupted() -> Iterator[Entry]:
        yield entry()
        yield entry("never-seen-before")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.outcomes.record_many(interrupted())
    assert store.tallies.of("execute-task") == before
    assert store.outcomes.record(entry("never-seen-before"))
    assert unsound(store) == []


def test_a_poisoned_outcome_changes_nothing(store: Store) -> None:
    """An outcome that the store refuses raises StoreError and leaves everything as it was."""
    store.outcomes.record(entry())
    poisoned = entry(ended_ms=2**70)
    with pytest.raises((StoreError, OverflowError)):
        store.outcomes.record(poisoned)
    assert store.outcomes.record(entry())
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 2
    assert unsound(store) == []


def test_threads_lose_and_invent_nothing(store: Store) -> None:
    """Eight threads that record and read at once end with every outcome counted exactly once."""
    each = 200
    seen_to_fall = []

    def work(number: int) -> None:
        newest = 0
        for _ in range(each):
            store.outcomes.record(entry(f"model-{number % 3}"))
            total = sum(tally.samples for tally in store.tallies.of("execute-task").values())
            if total < newest:
                seen_to_fall.append(number)
            newest = total

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not seen_to_fall
    assert sum(tally.samples for tally in store.tallies.all()) == 8 * each
    assert sum(tally.samples for tally in store.tallies.of("execute-task").values()) == 8 * each
    assert unsound(store) == []
