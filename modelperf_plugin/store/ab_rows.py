"""From rows of A/B tests to values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.rows import moments, numbers, usable
from modelperf_plugin.values import ERROR_KINDS, WHOLE_SCORE, Outcome

_TEST: Final = (
    "test_id", "task_type", "fingerprint", "incumbent", "share", "salt", "alpha", "min_samples", "max_samples",
    "promote", "started_ms", "ended_ms",
)  # fmt: skip


def tests_of(rows: Sequence[Any]) -> list[StoredTest]:
    """Return the readable tests in ``rows``, each with one row for each challenger."""
    tests = groupby(rows, key=lambda row: row[: len(_TEST)])
    return usable(_test, ((head, [row[len(_TEST) :] for row in group]) for head, group in tests))


def drawn_of(row: Sequence[Any]) -> DrawnDecisions:
    """Return the decisions of a test that a row counts."""
    model_id, shares, decisions, reported, is_old = row
    probabilities = {name: float(share) for name, share in parse_json(shares).items()}
    return DrawnDecisions(model_id, probabilities, decisions, reported, bool(is_old))


def stakes_of(state: str) -> dict[str, Stake]:
    """Return what the contests of a test have staked on an outcome, by challenger."""
    return {name: _stake(*each) for name, each in parse_json(state).items()}


def outcome_of(success: Any, timeout: Any, error_kind: str | None, score: int | None) -> Outcome:
    """Return what a test needs of the outcome of a decision."""
    return Outcome(
        success=bool(success),
        timeout=bool(timeout),
        error_kind=error_kind if error_kind in {None, *ERROR_KINDS} else "other",
        score=None if score is None else score / WHOLE_SCORE,
    )


def _stake(grade: float | None, side: str, share_b: float, proves: bool, before: Sequence[float]) -> Stake:
    return Stake(grade, side, share_b, proves, tuple(before))


def _test(found: tuple[Sequence[Any], Sequence[Any]]) -> StoredTest:
    """Return the test with these columns and challengers; raise ValueError if one of them is missing."""
    head, challengers = found
    if len(challengers) != challengers[0][-1]:
        raise ValueError("a challenger is not readable")
    contests = tuple(StoredContest(row[0], numbers(row[1]), *row[2:-1]) for row in challengers)
    test = StoredTest(**{**dict(zip(_TEST, head, strict=True)), "promote": bool(head[9])}, contests=contests)
    if not (0 < test.alpha < 1 and 0 <= test.share <= 1 and test.min_samples >= 0 and (test.max_samples or 0) >= 0):
        raise ValueError("the terms are not those of a test")
    moments(test.started_ms, test.ended_ms, *(moment for contest in contests for moment in contest[3:5]))
    return test
