"""The contract of what outcomes have cost: which models have estimated costs."""

from __future__ import annotations

from tests.store.contract.examples import OpenStore


def test_estimates_are_noted_by_model(opener: OpenStore) -> None:
    """Each model is noted once, with the newest day."""
    store = opener()
    assert store.spending.estimated() == {}
    for model_id, day in (("a", 20_000), ("b", 20_001), ("a", 20_002), ("b", 19_000)):
        store.spending.mark_estimated(model_id, day)
    assert store.spending.estimated() == {"a": 20_002, "b": 20_001}
