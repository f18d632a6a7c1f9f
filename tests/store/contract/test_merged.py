"""Experience of other projects."""

from __future__ import annotations

from modelperf_plugin.store import Merged, Prior, Store
from modelperf_plugin.values import Tally
from tests.store.contract.examples import OpenStore

TALLY = Tally("t", "m", 3, 1)


def source(name: str, merged_ms: int = 1000) -> Merged:
    """Return a source."""
    return Merged(0, name, "origin", f"digest of {name}", 10.0, merged_ms, 1, 4)


def test_every_store_has_its_own_origin(opener: OpenStore) -> None:
    """The id stays the same, and differs from that of other stores."""
    one, other = opener(), opener()
    assert one.merged.origin() == one.merged.origin() != other.merged.origin()


def test_merged_tallies_are_priors_and_nothing_else(store: Store) -> None:
    """They come back with their source, change the version, and are not part of the store's own tallies."""
    nothing = store.merged.version()
    assert set(nothing) == {0}
    store.merged.add(source("alpha"), [TALLY])
    assert store.merged.priors() == [Prior(TALLY, "alpha", 10.0)]
    assert [merged.name for merged in store.merged.all()] == ["alpha"]
    assert store.tallies.all() == []
    one = store.merged.version()
    store.merged.add(source("beta", 2000), [TALLY._replace(successes=9)], replaces="alpha")
    assert [(prior.source, prior.tally.successes) for prior in store.merged.priors()] == [("beta", 9)]
    assert len({nothing, one, store.merged.version()}) == 3
    assert store.merged.remove("beta")
    assert not store.merged.remove("beta")
    assert (store.merged.priors(), store.merged.version()) == ([], nothing)
