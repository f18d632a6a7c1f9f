"""What an A/B test staked on an outcome, so that a later verdict can take the place of the first one.

The e-value is a product of one factor for each outcome, and the factor depends on the rates before the outcome, which
are kept. A later verdict takes out the factor and the counts of the former one and puts in its own, as if it had been
the first; the odds of later outcomes stay as they were. Given the verdicts, the sides are random draws with known
probabilities, so the expectation of the product is still 1 if sides do not matter, whatever the verdicts are by then.
A contest that has been decided stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from modelperf_plugin.engine.ab_draws import Draw
from modelperf_plugin.engine.ab_verdicts import state_of
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.sequential import Side, TwoSampleTest
from modelperf_plugin.store import Entry, Stake, StoredContest, StoredTest


def stakes_of(test: StoredTest, contests: Sequence[StoredContest], draw: Draw, entry: Entry) -> Mapping[str, Stake]:
    """Return what a test staked on an outcome, by challenger, from its contests before and after it."""
    stakes = {}
    for before, after in zip(test.contests, contests, strict=True):
        if after.state != before.state:
            incumbent, challenger = draw.shares[test.incumbent], draw.shares[before.challenger]
            old, new = state_of(before), state_of(after)
            stakes[before.challenger] = Stake(
                grade=entry.outcome.grade,
                side="B" if draw.model_id == before.challenger else "A",
                share_b=challenger / (incumbent + challenger),
                proves=new.logs != old.logs,
                before=before.state,
            )
    return stakes


def exchanged(
    test: StoredTest, stakes: Mapping[str, Stake], grade: float | None
) -> tuple[list[StoredContest], dict[str, Stake]]:
    """Return the contests and the stakes after an outcome got another verdict; ``grade`` is None if it says nothing.

    It does not end a test: the next outcome does, if the evidence suffices then.
    """
    contests, kept = [], {}
    for contest in test.contests:
        stake = stakes.get(contest.challenger)
        if stake is not None and contest.verdict is None and contest.state:
            with suppress(InvalidValueError):  # written by another version
                state = _exchanged(state_of(contest), stake, grade)
                contest = contest._replace(state=tuple(state.as_list()))  # noqa: PLW2901 - the same contest
                kept[contest.challenger] = stake._replace(grade=grade)
        contests.append(contest)
    return contests, kept


def _exchanged(state: TwoSampleTest, stake: Stake, grade: float | None) -> TwoSampleTest:
    before = TwoSampleTest.from_list(stake.before) if stake.before else TwoSampleTest()
    old, new = _after(before, stake, stake.grade), _after(before, stake, grade)
    changed = state._replace(
        outcomes_a=state.outcomes_a + new.outcomes_a - old.outcomes_a,
        successes_a=state.successes_a + new.successes_a - old.successes_a,
        outcomes_b=state.outcomes_b + new.outcomes_b - old.outcomes_b,
        successes_b=state.successes_b + new.successes_b - old.successes_b,
        logs=tuple([log + to - was for log, to, was in zip(state.logs, new.logs, old.logs, strict=True)]),
    )
    # what was reached with the former verdict does not count
    ahead = changed.successes_b * changed.outcomes_a - changed.successes_a * changed.outcomes_b
    leader: Side | None = "B" if ahead > 0 else "A" if ahead < 0 else None
    return changed._replace(peak=max(0.0, changed.log_e_value), leader=leader)


def _after(before: TwoSampleTest, stake: Stake, grade: float | None) -> TwoSampleTest:
    if grade is None:
        return before
    return before.updated(cast("Side", stake.side), grade, stake.share_b, counts=stake.proves)
