"""Health checks."""

from __future__ import annotations

from modelperf_plugin.store import Store
from tests.store.contract.examples import entry, unsound


def test_a_sound_store_has_no_findings(store: Store) -> None:
    """Only that there is no database is one."""
    store.outcomes.record_many([entry(), entry("other", success=False)])
    assert unsound(store) == []
    names = [finding.name for finding in store.maintenance.check()]
    assert "integrity" in names
    assert ("degraded" in names) == (store.degraded is not None)
