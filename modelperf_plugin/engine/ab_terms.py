"""On which terms an A/B test begins, and continues after the configuration has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelperf_plugin.engine.ab_verdicts import challengers_of, state_of
from modelperf_plugin.policy import ABTest, Assessment
from modelperf_plugin.policy.exploration.ab_test import find_sides
from modelperf_plugin.store import StoredContest, StoredTest


def proposed(
    exploration: ABTest, assessment: Assessment, tests: Iterable[StoredTest], now_ms: int
) -> StoredTest | None:
    """Return the test as it would begin now; None while a side that is not named cannot be found.

    A contest that others of the ``tests`` have, with the same salt, begins with the evidence of the newest of them.
    """
    rows = assessment.ranking.rows[: assessment.available]
    incumbent, challengers = find_sides(rows, exploration.incumbent, exploration.challengers)
    if incumbent is None or not challengers:
        return None
    known = {
        contest.challenger: _reopened(contest)
        for test in sorted(tests, key=lambda test: test.test_id)
        if (test.task_type, test.salt, test.incumbent) == (assessment.task_type, exploration.salt, incumbent)
        for contest in test.contests
    }
    share = exploration.share / len(challengers)
    return StoredTest(
        task_type=assessment.task_type,
        fingerprint=exploration.fingerprint,
        incumbent=incumbent,
        share=exploration.share,
        salt=exploration.salt,
        alpha=exploration.alpha,
        min_samples=exploration.min_samples,
        max_samples=exploration.max_samples,
        promote=exploration.promote,
        started_ms=now_ms,
        contests=tuple([_on_share(known.get(each, StoredContest(each, ())), share) for each in challengers]),
    )


def on_terms_of(terms: ABTest, stored: StoredTest) -> StoredTest:
    """Return a test that has begun, on the terms that are configured now."""
    challengers = challengers_of(terms, stored)
    known = {contest.challenger: contest for contest in stored.contests if contest.challenger in challengers}
    contests = [*known.values(), *[StoredContest(each, ()) for each in challengers if each not in known]]
    share = terms.share / len(challengers)
    if stored.share != terms.share or any(contest.share != share for contest in contests):
        contests = [_on_share(contest, share) for contest in contests]
    return replace(
        stored, fingerprint=terms.fingerprint, share=terms.share, alpha=terms.alpha, min_samples=terms.min_samples,
        max_samples=terms.max_samples, promote=terms.promote, contests=tuple(contests),
    )  # fmt: skip


def is_as_stored(proposed: StoredTest, stored: StoredTest) -> bool:
    """Return whether a test would not change; withdrawn challengers may stay."""
    return proposed == replace(stored, contests=tuple([contest for contest in stored.contests if contest.share]))


def _on_share(contest: StoredContest, share: float) -> StoredContest:
    """Return a contest that continues with another share, and so calibrates its rates again."""
    return contest._replace(share=share, calibrate_from=state_of(contest).outcomes)


def _reopened(contest: StoredContest) -> StoredContest:
    """Return a contest for another test, whose maximum number of outcomes may be another one."""
    return contest._replace(verdict=None, decided_ms=None) if contest.verdict == "none" else contest
