"""The list of attached tables."""

from __future__ import annotations

from modelperf_plugin.store import Attached, Store


def test_a_table_is_attached_until_it_is_removed(store: Store) -> None:
    """A table is listed with its columns; detaching it twice is told."""
    attached = Attached("/data/other.db", "runs", {"success": "ok"}, 1000)
    assert store.attachments.all() == []
    store.attachments.add(attached)
    assert store.attachments.all() == [attached]
    assert store.attachments.remove("/data/other.db")
    assert not store.attachments.remove("/data/other.db")
    assert store.attachments.all() == []
