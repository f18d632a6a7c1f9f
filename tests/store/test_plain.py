"""Records as plain JSON values."""

from __future__ import annotations

import json

import pytest

from modelperf_plugin.store.ab_tests import StoredContest, StoredTest
from modelperf_plugin.store.exchange import Attached, Merged, Prior
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.plain import from_plain, to_plain
from modelperf_plugin.store.watches import Baseline, Change, Demotion
from modelperf_plugin.values import Durations, LaterTries, Tally

TALLY = Tally("t ü", "a", 3, 4, last_used_ms=1)
SNAPSHOT = Snapshot(
    tallies=[TALLY, Tally("", "b")],
    later={"t ü": {"a": {("b",): LaterTries(1, 2, 0, -5), ("b", "c"): LaterTries()}}},
    last_event_id=2**62,
    changes=[Change(1, "a", "down", 2, 3, 4, 5, 30.0), Change(2, "a", "announced", 2, 3, 4, 5, None)],
    baselines={("t ü", "a"): Baseline(1, 2, 0.5), ("t", "b"): Baseline(1, 2, None)},
    durations={("t ü", "a"): Durations((1, 2), (0.5, 3.0))},
    demotions=[Demotion(1, "t ü", "a", 2, 0.5, float("inf"), "why", None, None, 3)],
    watch_states=(7, []),
    tests=[
        StoredTest(
            test_id=1, task_type="t", fingerprint="f", incumbent="a", share=0.1, salt="", alpha=0.05, min_samples=1,
            max_samples=None, promote=True, started_ms=1,
            contests=(StoredContest("b", (1.0, 2.5)), StoredContest("c", (), "none", 3)),
        )
    ],
    attachments=[Attached("/x.db", "t", {"model": "m"}, 1)],
    merged=[Merged(1, "n", None, "d", 20.0, 1, 2, 3)],
    priors=[Prior(TALLY, "n", 20.0)],
)  # fmt: skip


def test_what_is_written_is_read() -> None:
    """A snapshot comes back from its JSON text as it was, every type included."""
    read = from_plain(Snapshot, json.loads(json.dumps(to_plain(SNAPSHOT))))
    assert read == SNAPSHOT
    assert repr(read) == repr(SNAPSHOT)


@pytest.mark.parametrize("damaged", [None, 1, "x", [], [1], [[]], {"a": 1}])
def test_what_is_no_snapshot_is_refused(damaged: object) -> None:
    """Whatever JSON a file of that name holds."""
    with pytest.raises(ValueError, match=r"unexpected|shorter|longer"):
        from_plain(Snapshot, damaged)
