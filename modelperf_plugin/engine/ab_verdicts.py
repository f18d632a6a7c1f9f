"""Verdicts of A/B tests: what an outcome adds to a contest, and what the contests mean for the next choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import exp

from modelperf_plugin.engine.ab_draws import Draw
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import ABTest
from modelperf_plugin.policy.exploration.ab_test import Split
from modelperf_plugin.policy.sequential import (
    Reported,
    SampleRatio,
    Side,
    TwoSampleTest,
    Verdict,
    sample_ratio,
    verdict,
)
from modelperf_plugin.policy.sequential.two_sample_test import MAX_LOG_E_VALUE
from modelperf_plugin.store import DrawnDecisions, Entry, StoredContest, StoredTest
from modelperf_plugin.text import percent


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
    state = state.updated(side, entry.outcome.success, challenger / (incumbent + challenger), counts=proves)
    contest = contest._replace(state=tuple(state.as_list()), last_ms=entry.ended_ms)
    current = standing(test, contest)
    if contest.verdict is None and current.decided and current.winner is None:
        contest = contest._replace(verdict="none", decided_ms=entry.ended_ms)
    return contest


def undecided_winners(test: StoredTest) -> list[StoredContest]:
    """Return the contests with enough evidence for a winner but no verdict: the sample ratio is to be checked first."""
    return [each for each in test.contests if each.verdict is None and standing(test, each).winner is not None]


def settled(test: StoredTest, mismatched: Mapping[str, bool]) -> list[StoredContest]:
    """Return the contests of a test after the check of their sample ratio, by challenger.

    Without a mismatch, what the evidence says is the verdict. With one, the largest e-value so far is forgotten: what
    was reached with outcomes missing on one side is not a verdict later either.
    """
    return [_settled(test, contest, mismatched.get(contest.challenger)) for contest in test.contests]


def _settled(test: StoredTest, contest: StoredContest, mismatched: bool | None) -> StoredContest:
    winner = standing(test, contest).winner
    if mismatched is None or winner is None or contest.verdict is not None:
        return contest
    if mismatched:
        state = state_of(contest)._replace(peak=0.0, leader=None)
        return contest._replace(state=tuple(state.as_list()))
    return contest._replace(verdict="challenger" if winner == "B" else "incumbent", decided_ms=contest.last_ms)


def ratio_of(test: StoredTest, contest: StoredContest, drawn: Iterable[DrawnDecisions]) -> SampleRatio:
    """Return whether the outcomes of the two sides of a contest arrive alike; the incumbent is side A."""
    groups = []
    for each in drawn:
        incumbent, challenger = each.shares.get(test.incumbent, 0.0), each.shares.get(contest.challenger, 0.0)
        if not incumbent or not challenger:
            continue
        share = round(challenger / (incumbent + challenger), 9)
        if each.model_id == test.incumbent:
            groups.append(Reported(share, decisions_a=each.decisions, reported_a=each.reported))
        elif each.model_id == contest.challenger:
            groups.append(Reported(share, decisions_b=each.decisions, reported_b=each.reported))
    return sample_ratio(groups)


def state_of(contest: StoredContest) -> TwoSampleTest:
    """Return the state of a contest: the incumbent is side A, the challenger side B."""
    with suppress(InvalidValueError):  # empty, or written by another version: start over
        return TwoSampleTest.from_list(contest.state)
    return TwoSampleTest()


def level_of(test: StoredTest) -> float:
    """Return the e-value that decides a contest: the higher the more challengers, so that ``alpha`` holds for all."""
    return len(test.contests) / test.alpha


def standing(test: StoredTest, contest: StoredContest) -> Verdict:
    """Return where a contest stands on the present terms, whatever its verdict."""
    names = (test.incumbent, contest.challenger)
    return verdict(state_of(contest), level_of(test), test.min_samples, test.max_samples, names)


def in_words(test: StoredTest, contest: StoredContest, ratio: SampleRatio | None = None) -> str:
    """Return the verdict of a contest in one sentence, or where it stands if there is none yet."""
    if contest.verdict is None:
        if ratio is not None and ratio.differs:
            return (
                f"no verdict: {percent(ratio.share_a)} of the decisions for {test.incumbent} have an outcome, but "
                f"{percent(ratio.share_b)} of those for {contest.challenger} (p < .001), so outcomes are lost on one "
                f"side; report them all, then start over with `modelperf reset test {test.task_type}`"
            )
        return standing(test, contest).text
    state = state_of(contest)
    if contest.verdict == "none":
        return f"no winner within {state.outcomes:,} outcomes; {test.incumbent} stays"
    current = standing(test, contest)
    sides = [(test.incumbent, current.a), (contest.challenger, current.b)]
    (better, rate), (_, other) = sides if contest.verdict == "incumbent" else sides[::-1]
    peak = exp(min(state.peak, MAX_LOG_E_VALUE))
    return (
        f"{better} is better: {rate.rate or 0.0:.3f} against {other.rate or 0.0:.3f} "
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
