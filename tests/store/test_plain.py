"""Records as plain JSON values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.store.ab_tests import StoredContest, StoredTest
from modelperf_plugin.store.exchange import Attached, Prior
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.plain import from_plain, to_plain
from modelperf_plugin.store.watches import Baseline, Change, Demotion
from modelperf_plugin.values import LaterTries, Tally

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
counts = st.integers(0, 2**62)
tallies = st.builds(Tally, names, names, counts, counts)
tests = st.builds(
    StoredTest,
    test_id=counts, task_type=names, fingerprint=names, incumbent=names, share=st.floats(0, 1), salt=names,
    alpha=st.floats(0, 1), min_samples=counts, max_samples=st.none() | counts, promote=st.booleans(),
    started_ms=counts, ended_ms=st.none() | counts,
    contests=st.lists(
        st.builds(
            StoredContest, names, st.lists(st.floats(allow_nan=False)).map(tuple),
            st.sampled_from([None, "incumbent", "challenger", "none"]),
            share=st.floats(0, 1),
        )
    ).map(tuple),
)  # fmt: skip
tried = st.lists(names, min_size=1, max_size=2).map(tuple)
snapshots = st.builds(
    Snapshot,
    tallies=st.lists(tallies),
    later=st.dictionaries(
        names, st.dictionaries(names, st.dictionaries(tried, st.builds(LaterTries, counts, counts, counts, counts)))
    ),
    last_event_id=counts,
    changes=st.lists(st.builds(Change)),
    baselines=st.dictionaries(st.tuples(names, names), st.builds(Baseline)),
    demotions=st.lists(st.builds(Demotion)),
    watch_states=st.just((None, [])),
    tests=st.lists(tests),
    attachments=st.lists(st.builds(Attached)),
    priors=st.lists(st.builds(Prior, tallies, names, st.floats(0, 100))),
)


@given(snapshots)
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    """A snapshot comes back from its JSON text as it was, every type included."""
    text = json.dumps(to_plain(snapshot))
    assert from_plain(Snapshot, json.loads(text)) == snapshot


@pytest.mark.parametrize("damaged", [None, 1, "x", [], [1], [[]], {"a": 1}])
def test_what_is_no_snapshot_is_refused(damaged: object) -> None:
    """Whatever JSON a file of that name holds."""
    with pytest.raises(ValueError, match=r"unexpected|shorter|longer"):
        from_plain(Snapshot, damaged)
