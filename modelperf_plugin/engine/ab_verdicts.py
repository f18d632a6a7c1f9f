"""Verdicts of A/B tests: what an outcome adds to a contest, and what the contests mean for the next choices."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from math import exp

from modelperf_plugin.engine.ab_draws import Draw
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import ABTest
from modelperf_plugin.policy.exploration.ab_test import Split
from modelperf_plugin.policy.sequential import Side, TwoSampleTest, Verdict, verdict
from modelperf_plugin.policy.sequential.two_sample_test import MAX_LOG_E_VALUE, mean_score_of
from modelperf_plugin.store import Entry, StoredContest, StoredTest


def advanced(test: StoredTest, draw: Draw, entry: Entry) -> list[StoredContest]:
    """Return the contests of a test after another outcome: that of the side that was drawn."""
    promoted = test.promote and any(contest.verdict == "challenger" and contest.share for contest in test.contests)
    if promoted or entry.task_type != test.task_type:  # outcomes of earlier choices do not reverse a verdict
        return list(test.contests)
    return [_advanced(test, contest, draw, entry) for contest in test.contests]


def _advanced(test: StoredTest, contest: StoredContest, draw: Draw, entry: Entry) -> StoredContest:
    incumbent, challenger = draw.shares.get(test.incumbent, 0.0), draw.shares.get(contest.challenger, 0.0)
    if draw.model_id not in {test.incumbent, contest.challenger} or not incumbent or not challenger:
        return contest
    side: Side = "B" if draw.model_id == contest.challenger else "A"
    state = state_of(contest)
    # the first outcomes to come are not a fair sample of the slower side
    proves = state.outcomes >= contest.calibrate_from + test.min_samples
    state = state.updated(side, entry.outcome.grade, challenger / (incumbent + challenger), counts=proves)
    contest = contest._replace(state=tuple(state.as_list()), last_ms=entry.ended_ms)
    is_full = test.max_samples is not None and state.outcomes >= test.max_samples
    if is_full and contest.verdict is None and winner_of(test, contest) is None:
        contest = contest._replace(verdict="none", decided_ms=entry.ended_ms)
    return contest


def state_of(contest: StoredContest) -> TwoSampleTest:
    """Return the state of a contest: the incumbent is side A, the challenger side B."""
    return _restored(contest.state)


@lru_cache(maxsize=256)
def _restored(stored: tuple[float, ...]) -> TwoSampleTest:
    with suppress(InvalidValueError):  # empty, or written by another version: start over
        return TwoSampleTest.from_list(stored)
    return TwoSampleTest()


def winner_of(test: StoredTest, contest: StoredContest) -> Side | None:
    """Return the winner of a contest by its evidence, whatever its verdict: the quick part of :func:`standing`."""
    return state_of(contest).winner(level_of(test), test.min_samples)


def level_of(test: StoredTest) -> float:
    """Return the e-value that decides a contest: the higher the more challengers, so that ``alpha`` holds for all."""
    return len(test.contests) / test.alpha


def standing(test: StoredTest, contest: StoredContest) -> Verdict:
    """Return where a contest stands on the present terms, whatever its verdict."""
    names = (test.incumbent, contest.challenger)
    return verdict(state_of(contest), level_of(test), test.min_samples, test.max_samples, names)


def in_words(test: StoredTest, contest: StoredContest) -> str:
    """Return the verdict of a contest in one sentence, or where it stands if there is none yet."""
    if contest.verdict is None:
        return standing(test, contest).text
    state = state_of(contest)
    if contest.verdict == "none":
        return f"no winner within {state.outcomes:,} outcomes; {test.incumbent} stays"
    current = standing(test, contest)
    sides = [(test.incumbent, current.a), (contest.challenger, current.b)]
    (better, rate), (_, other) = sides if contest.verdict == "incumbent" else sides[::-1]
    peak = exp(min(state.peak, MAX_LOG_E_VALUE))
    what = mean_score_of(current.a, current.b)
    return (
        f"{better} is better: {what}{rate.rate or 0.0:.3f} against {other.rate or 0.0:.3f} "
        f"(largest e-value {peak:.3g}, {level_of(test):g} needed)"
    )


def on_trial(exploration: object, tests: Iterable[StoredTest]) -> frozenset[str]:
    """Return the models on trial in the configured test, which are exempt from demotion; empty without a test."""
    if not isinstance(exploration, ABTest):
        return frozenset()
    splits = [progress(exploration, test) for test in tests if exploration.identifies(test.fingerprint)]
    return frozenset().union(*[split.on_trial for split in splits])


def challengers_of(exploration: ABTest, test: StoredTest) -> tuple[str, ...]:
    """Return the challengers that a test has here: those that are named, or the one that was found."""
    return exploration.challengers or (test.contests[0].challenger,)


def progress(exploration: ABTest, test: StoredTest) -> Split:
    """Return how a test spreads decisions at this point, by its verdicts and the terms that are configured here."""
    challengers = challengers_of(exploration, test)
    contests = [contest for contest in test.contests if contest.challenger in challengers]
    winners = [contest for contest in contests if contest.verdict == "challenger"]
    over = {contest.challenger for contest in contests if contest.verdict == "none"}
    beaten = {contest.challenger for contest in contests if contest.verdict == "incumbent"}
    settled = frozenset(over | beaten if test.promote else over)
    final, why = None, ""
    if winners and test.promote:
        final = max(winners, key=lambda contest: standing(test, contest).b.rate or 0.0).challenger
        why = f"won the A/B test against {test.incumbent}"
    elif len(settled) == len(challengers):
        final = test.incumbent
        why = "the A/B test is over without a winner" if over else "won the A/B test"
    return exploration.split(test.incumbent, challengers, settled=settled, final=final, why=why, test_id=test.test_id)
