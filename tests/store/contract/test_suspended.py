"""Roles that answer from a snapshot while the database fails, and write nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Attached, Merged, Store, WatchState, open_with_fallback
from modelperf_plugin.values import Tally
from tests.store.contract.examples import entry
from tests.store.contract.test_ab_tests import TEST
from tests.store.contract.test_imports import FIRST
from tests.store.faults import check_now, switch_of

SOURCE = Merged(0, "alpha", "origin", "digest", 10.0, 1000, 1, 4)
READS: dict[str, Callable[[Store], object]] = {
    "events": lambda store: store.events.last_id(),
    "tallies": lambda store: store.tallies.all(),
    "baselines": lambda store: store.tallies.baselines(),
    "changes": lambda store: store.changes.all(),
    "demotions": lambda store: store.demotions.all(in_force=True),
    "watch states": lambda store: store.watch_states.load(),
    "A/B tests": lambda store: store.ab_tests.all("t"),
    "attachments": lambda store: store.attachments.all(),
    "merged": lambda store: store.merged.all(),
    "priors": lambda store: store.merged.priors(),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a host's store that holds something of everything."""
    opened = open_with_fallback(tmp_path / "x.db")
    opened.outcomes.record(entry("a"))
    opened.changes.add("a", "down", (1, 1), (0, 0), 1.0, {})
    opened.demotions.add("t", "a", 1, 0.7, 20.0, "why")
    opened.watch_states.save(1, [WatchState("fall", "t", "a", (1.0,))])
    opened.ab_tests.begin(TEST)
    opened.attachments.add(Attached("/data/other.db", "runs", {}, 1000))
    opened.merged.add(SOURCE, [Tally("t", "m", 3, 1)])
    yield opened
    opened.close()


def fail(store: Store) -> None:
    """Let SQLite fail."""
    switch = switch_of(store)
    switch.handle(StoreFailedError("the disk is full"), switch.store)
    assert store.degraded == "the disk is full"


def test_what_was_known_is_still_known(store: Store) -> None:
    """The snapshot holds what each role held."""
    before = {name: read(store) for name, read in READS.items()}
    fail(store)
    assert {name: read(store) for name, read in READS.items()} == before
    assert store.events.after(0, 10) == []
    assert (store.events.long_outages(0, 10, 0), store.events.back()) == ([], {})


def test_watches_pause(store: Store) -> None:
    """What watches would write has no effect, without an error; once SQLite works they see what was spooled."""
    fail(store)
    before = {name: read(store) for name, read in READS.items()}
    assert not store.changes.add("b", "down", (1, 1), (0, 0), 1.0, {})
    assert not store.demotions.add("t", "b", 1, 0.7, 20.0, "why")
    assert not store.demotions.end("t", "a", 5, "operator")
    store.watch_states.save(9, [])
    assert store.events.drop(2**40).dropped == 0
    assert {name: read(store) for name, read in READS.items()} == before
    store.outcomes.record(entry("b"))
    check_now(store)
    assert [event.model_id for event in store.events.after(0, 10)] == ["a", "b"]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.ab_tests.begin(TEST),
        lambda store: store.ab_tests.advance(1, None, lambda test: test.contests),
        lambda store: store.ab_tests.end("t", 5),
        lambda store: store.imports.pair_id("t", "m"),
        lambda store: store.imports.add_events(FIRST, []),
        lambda store: store.imports.add_sums(FIRST, []),
        lambda store: store.imports.add_some_sums(FIRST, []),
        lambda store: store.imports.remove_some_sums(FIRST, 1),
        lambda store: store.imports.archive(1, lambda: "x.gz"),
        lambda store: store.attachments.add(Attached("/x.db", "runs", {}, 1000)),
        lambda store: store.attachments.remove("/data/other.db"),
        lambda store: store.merged.origin(),
        lambda store: store.merged.add(SOURCE, []),
        lambda store: store.merged.remove("alpha"),
    ],
)
def test_writing_is_refused_with_the_reason(store: Store, write: Callable[[Store], object]) -> None:
    """An operator's commands fail, and say why."""
    fail(store)
    with pytest.raises(StoreFailedError, match="the disk is full"):
        write(store)
    assert store.imports.all() == []
