"""Imports of histories and sums."""

from __future__ import annotations

from modelperf_plugin.store import Step, Store, Sums
from modelperf_plugin.store.exchange import EventRow
from modelperf_plugin.values import LaterTries
from tests.store.contract.examples import unsound

FIRST = Step("csv", "history.csv", "digest 1", 100, 0, 1, 1000)


def row(store: Store, *, success: bool = True) -> EventRow:
    """Return an outcome of a batch."""
    return (store.imports.pair_id("t", "m"), 5, int(success), 0, 7, 2_000_000_000, None, None, None, ())


def samples(store: Store) -> list[tuple[str, int, int]]:
    """Return the counts of each model."""
    return [(tally.model_id, tally.successes, tally.failures) for tally in store.tallies.all()]


def test_an_import_continues_from_its_position(store: Store) -> None:
    """A batch and the position after it are one transaction; a second process that continues it is told so."""
    begun = store.imports.add_events(FIRST, [row(store), row(store, success=False)])
    assert begun is not None
    import_id, new = begun
    assert new == 2
    second = FIRST._replace(digest="digest 2", position=200, from_position=100, import_id=import_id)
    assert store.imports.add_events(second, [row(store)]) == (import_id, 1)
    assert store.imports.add_events(second, [row(store)]) is None
    (record,) = store.imports.all("csv")
    assert (record.source, record.position, record.digest, record.outcomes) == ("history.csv", 200, "digest 2", 3)
    assert store.imports.all("jsonl") == []
    assert samples(store) == [("m", 2, 1)]


def test_an_imported_id_counts_once(store: Store) -> None:
    """Rows whose outcome id is known are skipped."""
    begun = store.imports.add_events(FIRST, [row(store)] * 3, ["a", "a", None])
    assert begun is not None
    assert begun[1] == 2
    assert samples(store) == [("m", 2, 0)]


def test_imported_later_tries_stay_later_tries(store: Store) -> None:
    """What had failed before an imported outcome is kept, and counts in tallies and later tries."""
    rows = [row(store), (*row(store)[:-1], ("a", "b")), (*row(store, success=False)[:-1], ("a", "b"))]
    for name in "ab":
        store.imports.add_events(FIRST._replace(source=name, digest=name, newest=9), rows)
    (tally,) = store.tallies.all()
    assert (tally.successes, tally.failures, tally.later_successes, tally.later_failures) == (4, 2, 2, 2)
    assert store.tallies.later("t") == {"m": {("a", "b"): LaterTries(2, 2, 0)}}
    assert [event.tried for event in store.events.after(0, 3)] == [(), ("a", "b"), ("a", "b")]
    assert unsound(store) == []


def test_sums_replace_earlier_ones_of_their_source(store: Store) -> None:
    """The same content is imported once; with ``once`` any content of a source is."""
    step = FIRST._replace(kind="json", source="old.json")
    assert store.imports.add_sums(step, [Sums("t", "m", 3, 1)])
    assert not store.imports.add_sums(step, [Sums("t", "m", 3, 1)])
    later = step._replace(digest="digest 2")
    assert not store.imports.add_sums(later, [Sums("t", "m", 9, 9)], once=True)
    assert samples(store) == [("m", 3, 1)]
    assert store.imports.add_sums(later, [Sums("t", "m", 4, 1)])
    assert samples(store) == [("m", 4, 1)]


def test_an_import_is_archived_once(store: Store) -> None:
    """The path of the archive is stored; the second process does not compress again."""
    begun = store.imports.add_events(FIRST, [row(store)])
    assert begun is not None
    assert store.imports.archive(begun[0], lambda: "history.csv.gz")
    assert not store.imports.archive(begun[0], lambda: "again.gz")
    assert [record.archived for record in store.imports.all()] == ["history.csv.gz"]


def test_sums_in_parts_are_counted_once(store: Store) -> None:
    """A part and the position after it are one transaction; another process that brings the same part is told so."""
    begin = FIRST._replace(kind="json", source="old.json", position=-1)
    import_id = store.imports.add_some_sums(begin, [])
    assert import_id is not None
    assert store.imports.add_some_sums(begin, []) is None
    part = begin._replace(import_id=import_id, from_position=-1, position=-3)
    assert store.imports.add_some_sums(part, [Sums("t", "m", 3, 1), Sums("t", "n", 1, 0)]) == import_id
    assert store.imports.add_some_sums(part, [Sums("t", "o", 9, 9)]) is None
    (record,) = store.imports.all("json")
    assert (record.is_complete, record.outcomes) == (False, 5)
    assert store.imports.add_some_sums(part._replace(from_position=-3, position=70), []) == import_id
    assert store.imports.all("json")[0].is_complete
    assert samples(store) == [("m", 3, 1), ("n", 1, 0)]


def test_sums_are_removed_in_parts(store: Store) -> None:
    """Sums of an older version go from the tallies part by part, until a newer import of the source has begun."""
    step = FIRST._replace(kind="json", source="old.json")
    assert store.imports.add_sums(step, [Sums("t", model_id, 3, 1) for model_id in "abc"])
    begin = step._replace(digest="digest 2", position=-1, newest=1)
    import_id = store.imports.add_some_sums(begin, [])
    at = begin._replace(import_id=import_id, from_position=-1)
    assert [store.imports.remove_some_sums(at, 2) for _ in range(3)] == [2, 1, 0]
    assert sum(successes for _, successes, _ in samples(store)) == 0
    assert import_id is not None
    assert store.imports.add_some_sums(begin._replace(digest="digest 3", newest=import_id), []) is not None
    assert store.imports.remove_some_sums(at, 2) is None
