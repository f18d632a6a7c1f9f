"""Imports of histories and sums."""

from __future__ import annotations

from modelperf_plugin.store import Step, Store, Sums
from modelperf_plugin.store.exchange import EventRow

FIRST = Step("csv", "history.csv", "digest 1", 100, 0, 1, 1000)


def row(store: Store, *, success: bool = True) -> EventRow:
    """Return an outcome of a batch."""
    return (store.imports.pair_id("t", "m"), 5, int(success), 0, 7, 2_000_000_000, None, None)


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
