"""The check before each verdict of an A/B test: whether the outcomes of both sides arrive alike."""

from __future__ import annotations

import pytest

from modelperf_plugin.engine.ab_ratios import check, settled
from modelperf_plugin.policy.sequential import TwoSampleTest
from modelperf_plugin.store import DrawnDecisions, StoredContest, StoredTest

DECISIONS = 200


def ab_test(reported_b: int) -> StoredTest:
    """Return a test in which every outcome of b is a success, and one in twenty of a."""
    state = TwoSampleTest()
    for number in range(DECISIONS):
        state = state.updated("A", number % 20 == 0, 0.5)
        if number < reported_b:
            state = state.updated("B", grade=True, share_b=0.5)
    return StoredTest(
        task_type="t", fingerprint="", incumbent="a", share=0.5, salt="", alpha=0.05, min_samples=0, max_samples=None,
        promote=False, started_ms=0, contests=(StoredContest("b", tuple(state.as_list()), share=0.5),),
    )  # fmt: skip


@pytest.mark.parametrize(("reported_b", "verdict"), [(DECISIONS, "challenger"), (DECISIONS * 3 // 4, None)])
def test_a_loss_on_one_side_withholds_the_verdict_however_strong_it_is(reported_b: int, verdict: str | None) -> None:
    """Also if the missing outcomes could not change it: why they are missing is not known."""
    test, shares = ab_test(reported_b), {"a": 0.5, "b": 0.5}
    drawn = [
        DrawnDecisions("a", shares, DECISIONS, DECISIONS, True),
        DrawnDecisions("b", shares, DECISIONS, reported_b, True),
    ]
    checked = check(test, test.contests[0], drawn)
    assert checked.holds
    assert checked.withholds == (verdict is None)
    (contest,) = settled(test, {"b": checked.withholds})
    assert contest.verdict == verdict
