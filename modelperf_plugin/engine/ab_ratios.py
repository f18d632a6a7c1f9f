"""No verdict of an A/B test while outcomes are lost on one side: the check before each verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

from modelperf_plugin.engine.ab_verdicts import in_words, level_of, standing, state_of, winner_of
from modelperf_plugin.policy.sequential import Reported, SampleRatio, Side, excess, sample_ratio
from modelperf_plugin.store import DrawnDecisions, StoredContest, StoredTest
from modelperf_plugin.text import count, percent


class RatioCheck(NamedTuple):
    """Whether the outcomes of the two sides of a contest arrive alike; the incumbent is side A."""

    ratio: SampleRatio
    """Of the decisions that are old."""
    excess: tuple[int, int]
    """How many more outcomes one side lacks than the other one makes likely, in newer decisions too."""
    holds: bool
    """Whether the evidence would still suffice if those outcomes spoke against it; True without enough evidence."""

    @property
    def withholds(self) -> bool:
        """Whether a verdict is to wait."""
        return self.ratio.differs or not self.holds


def undecided_winners(test: StoredTest) -> list[StoredContest]:
    """Return the contests with enough evidence for a winner but no verdict: the sample ratio is to be checked first."""
    return [each for each in test.contests if each.verdict is None and winner_of(test, each) is not None]


def check(test: StoredTest, contest: StoredContest, drawn: Iterable[DrawnDecisions]) -> RatioCheck:
    """Return whether the decisions of a test that were drawn leave doubts about a contest."""
    groups, old = [], []
    for each in drawn:
        group = _reported(test, contest, each)
        if group is not None:
            groups.append(group)
            if each.is_old:
                old.append(group)
    missing = excess(groups)
    return RatioCheck(sample_ratio(old), missing, _holds(test, contest, missing, groups))


def _reported(test: StoredTest, contest: StoredContest, drawn: DrawnDecisions) -> Reported | None:
    """Return decisions of one side of a contest; None for others."""
    incumbent, challenger = drawn.shares.get(test.incumbent, 0.0), drawn.shares.get(contest.challenger, 0.0)
    if not incumbent or not challenger:
        return None
    share = challenger / (incumbent + challenger)
    if drawn.model_id == test.incumbent:
        return Reported(share, decisions_a=drawn.decisions, reported_a=drawn.reported)
    if drawn.model_id == contest.challenger:
        return Reported(share, decisions_b=drawn.decisions, reported_b=drawn.reported)
    return None


def _holds(test: StoredTest, contest: StoredContest, missing: tuple[int, int], groups: Iterable[Reported]) -> bool:
    state, current, level = state_of(contest), standing(test, contest), log(level_of(test))
    if not any(missing) or (current.winner is None and state.log_e_value < level):
        return True
    winner = current.winner or ("B" if (current.b.rate or 0.0) > (current.a.rate or 0.0) else "A")
    decisions = [(group.share_b, group.decisions_a + group.decisions_b) for group in groups]
    share_b = sum(share * number for share, number in decisions) / sum(number for _, number in decisions)
    sides: tuple[Side, Side] = ("A", "B")
    for side, number in zip(sides, missing, strict=True):
        for _ in range(number):
            state = state.updated(side, side != winner, share_b)
    return state.log_e_value >= level


def settled(test: StoredTest, withheld: Mapping[str, bool]) -> list[StoredContest]:
    """Return the contests of a test after the check of their sample ratio, by challenger.

    If nothing withholds it, what the evidence says is the verdict. Otherwise the largest e-value so far is forgotten:
    what was reached with outcomes missing on one side does not decide later either.
    """
    return [_settled(test, contest, withheld.get(contest.challenger)) for contest in test.contests]


def _settled(test: StoredTest, contest: StoredContest, withheld: bool | None) -> StoredContest:
    winner = winner_of(test, contest)
    if withheld is None or winner is None or contest.verdict is not None:
        return contest
    if withheld:
        state = state_of(contest)._replace(peak=0.0, leader=None)
        return contest._replace(state=tuple(state.as_list()))
    return contest._replace(verdict="challenger" if winner == "B" else "incumbent", decided_ms=contest.last_ms)


def checked_in_words(test: StoredTest, contest: StoredContest, checked: RatioCheck) -> str:
    """Return the verdict in one sentence, or why there is none."""
    if contest.verdict is not None or not checked.withholds:
        return in_words(test, contest)
    ratio = checked.ratio
    if ratio.differs:
        return (
            f"no verdict: {percent(ratio.share_a)} of the decisions for {test.incumbent} have an outcome, but "
            f"{percent(ratio.share_b)} of those for {contest.challenger} (p < .001), so outcomes are lost on one side; "
            f"report them all, then start over with `modelperf reset test {test.task_type}`"
        )
    side = test.incumbent if checked.excess[0] else contest.challenger
    lacking = count(max(checked.excess), "outcome")
    return f"no verdict yet: {side} lacks {lacking} more than chance explains, which could change it; report them"
