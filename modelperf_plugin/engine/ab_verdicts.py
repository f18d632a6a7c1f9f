"""What A/B tests show: which decisions are part of one, what their outcomes add, and what follows for the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import exp
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import ABTest, Assessment, Choice
from modelperf_plugin.policy.exploration.ab_test import Split, unit_position
from modelperf_plugin.policy.quality import Timeouts, says_something
from modelperf_plugin.policy.sequential import Side, TwoSampleTest, Verdict, verdict
from modelperf_plugin.policy.sequential.two_sample_test import MAX_LOG_E_VALUE
from modelperf_plugin.store import ContestVerdict, Entry, LoggedDecision, StoredContest, StoredTest
from modelperf_plugin.values import CALLER_ERROR_KINDS, OUTAGE_KINDS, Assignment, Decision, Outcome

_UNIT_NUMBERS: Final = 2**53


class Drawn(NamedTuple):
    """A choice that a test made: what its outcome is judged with."""

    assignment: Assignment
    """The test, and the unit."""
    model_id: str
    """The side that was drawn."""
    shares: dict[str, float]
    """The probability with which each model would have been."""

    @classmethod
    def of(cls, decision: Decision | LoggedDecision | None) -> Self | None:
        """Return what a test drew; None if no test made this decision."""
        if decision is None or decision.assignment is None:
            return None
        if isinstance(decision, Decision):
            shares = decision.propensities
        else:
            shares = {row.model_id: row.propensity for row in decision.candidates}
        return cls(decision.assignment, decision.model_id, {name: share for name, share in shares.items() if share})


def assignment(assessment: Assessment, choice: Choice, unit_id: str | None) -> Assignment | None:
    """Return the assignment of a choice that was left to a test that goes on; None for any other choice."""
    split = assessment.policy.exploration
    if not isinstance(split, Split) or split.test_id is None or split.final is not None or assessment.pin is not None:
        return None
    shares = dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))
    sides = [side for side in (split.incumbent, *split.challengers) if side is not None and shares.get(side)]
    if len(sides) < 2 or split.incumbent not in sides or choice.order[0] not in sides:
        return None
    unit = None if unit_id is None else int(unit_position(split.salt, assessment.task_type, unit_id) * _UNIT_NUMBERS)
    return Assignment(split.test_id, unit)


def counts(outcome: Outcome, timeouts: Timeouts) -> bool:
    """Return whether an outcome says something about the model: neither an outage nor the caller's error."""
    if outcome.success:
        return True
    return says_something(outcome.error_kind not in OUTAGE_KINDS | CALLER_ERROR_KINDS, outcome.timeout, timeouts)


def judged(test: StoredTest, drawn: Drawn, entry: Entry) -> list[StoredContest]:
    """Return the contests of a test after another outcome: that of the side which was drawn."""
    promoted = test.promote and any(contest.verdict == "challenger" for contest in test.contests)
    if promoted or entry.task_type != test.task_type:  # what was under way at the verdict does not turn it
        return list(test.contests)
    return [_judged(test, contest, drawn, entry) for contest in test.contests]


def _judged(test: StoredTest, contest: StoredContest, drawn: Drawn, entry: Entry) -> StoredContest:
    incumbent, challenger = drawn.shares.get(test.incumbent, 0.0), drawn.shares.get(contest.challenger, 0.0)
    if drawn.model_id not in {test.incumbent, contest.challenger} or not incumbent or not challenger:
        return contest
    side: Side = "B" if drawn.model_id == contest.challenger else "A"
    state = state_of(contest)
    evidence = state.outcomes >= test.min_samples  # the first outcomes to come are not a fair sample of the slower side
    state = state.updated(side, entry.outcome.success, challenger / (incumbent + challenger), evidence=evidence)
    contest = contest._replace(state=tuple(state.as_list()), last_ms=entry.ended_ms)
    if contest.verdict is not None:
        return contest
    found = standing(test, contest)
    if not found.decided:
        return contest
    words: Mapping[str | None, ContestVerdict] = {"A": "incumbent", "B": "challenger", None: "none"}
    return contest._replace(verdict=words[found.winner], decided_ms=entry.ended_ms)


def state_of(contest: StoredContest) -> TwoSampleTest:
    """Return the evidence on a challenger, side B, against its incumbent, side A."""
    with suppress(InvalidValueError):  # of another version, or none yet: the evidence begins anew
        return TwoSampleTest.from_list(contest.state)
    return TwoSampleTest()


def level_of(test: StoredTest) -> float:
    """Return the e-value that decides a contest: the higher the more challengers, so that ``alpha`` holds for all."""
    return len(test.contests) / test.alpha


def standing(test: StoredTest, contest: StoredContest) -> Verdict:
    """Return what the evidence on a challenger says by the present terms, whatever was decided before."""
    names = (test.incumbent, contest.challenger)
    return verdict(state_of(contest), level_of(test), test.min_samples, test.max_samples, names)


def in_words(test: StoredTest, contest: StoredContest) -> str:
    """Return the verdict on a challenger in one sentence; what was decided stays decided."""
    if contest.verdict is None:
        return standing(test, contest).text
    state = state_of(contest)
    if contest.verdict == "none":
        return f"no winner within {state.outcomes:,} outcomes; {test.incumbent} stays"
    found = standing(test, contest)
    sides = [(test.incumbent, found.a), (contest.challenger, found.b)]
    (better, rate), (_, other) = sides if contest.verdict == "incumbent" else sides[::-1]
    peak = exp(min(state.peak, MAX_LOG_E_VALUE))
    return (
        f"{better} is better: {rate.rate or 0.0:.3f} against {other.rate or 0.0:.3f} "
        f"(largest e-value {peak:.3g}, {level_of(test):g} needed)"
    )


def on_trial(exploration: object, tests: Iterable[StoredTest]) -> frozenset[str]:
    """Return the models that the configured test still needs: evidence does not demote them; nobody without one."""
    if not isinstance(exploration, ABTest):
        return frozenset()
    going_on = [progress(exploration, test) for test in tests if test.fingerprint == exploration.fingerprint]
    return frozenset().union(*[split.on_trial for split in going_on])


def progress(exploration: ABTest, test: StoredTest) -> Split:
    """Return how a test spreads decisions at this point, by its verdicts and terms."""
    winners = [contest for contest in test.contests if contest.verdict == "challenger"]
    over = {contest.challenger for contest in test.contests if contest.verdict == "none"}
    beaten = {contest.challenger for contest in test.contests if contest.verdict == "incumbent"}
    settled = frozenset(over | beaten if test.promote else over)
    final, why = None, ""
    if winners and test.promote:
        final = max(winners, key=lambda contest: standing(test, contest).b.rate or 0.0).challenger
        why = f"won the A/B test against {test.incumbent}"
    elif len(settled) == len(test.contests):
        final = test.incumbent
        why = "the A/B test is over without a winner" if over else "won the A/B test"
    return exploration.split(
        test.incumbent,
        tuple([contest.challenger for contest in test.contests]),
        settled=settled,
        final=final,
        why=why,
        test_id=test.test_id,
    )
