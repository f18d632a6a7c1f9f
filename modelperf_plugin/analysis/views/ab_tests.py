"""The state of A/B tests: each challenger against its incumbent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log
from typing import Any

from modelperf_plugin.config import Config
from modelperf_plugin.engine.ab_ratios import RatioCheck, check, checked_in_words
from modelperf_plugin.engine.ab_verdicts import challengers_of, level_of, standing
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.policy import ABTest
from modelperf_plugin.policy.sequential import SampleRatio, Verdict
from modelperf_plugin.policy.sequential.two_sample_test import Rate
from modelperf_plugin.store import Store, StoredContest, StoredTest
from modelperf_plugin.values import from_milliseconds, to_milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One challenger of a test."""

    test: StoredTest
    contest: StoredContest
    standing: Verdict
    needed: float
    """The e-value that decides."""
    verdict: str
    configured: bool
    """Whether the configuration in force here has this contest."""
    checked: RatioCheck
    """Whether outcomes are missing on one side."""

    @property
    def sides(self) -> tuple[tuple[str, Rate], tuple[str, Rate]]:
        """The incumbent and the challenger, each with its success rate in the test."""
        return (self.test.incumbent, self.standing.a), (self.contest.challenger, self.standing.b)

    @property
    def outcomes(self) -> int:
        """Number of outcomes on both sides."""
        return self.standing.a.outcomes + self.standing.b.outcomes

    @property
    def share(self) -> float:
        """The share of tasks that this challenger gets."""
        return self.contest.share

    @property
    def withheld(self) -> bool:
        """Whether there is no verdict because outcomes are missing on one side more than on the other."""
        return self.contest.verdict is None and self.checked.withholds

    @property
    def ratio(self) -> SampleRatio:
        """How many decisions of each side have an outcome, among those old enough."""
        return self.checked.ratio

    @property
    def reported(self) -> tuple[float | None, float | None]:
        """The share of decisions with an outcome, of incumbent and challenger; None without decisions."""
        return self.ratio.share_a, self.ratio.share_b

    @property
    def winner(self) -> str | None:
        """The winner; None before there is one."""
        return {"incumbent": self.test.incumbent, "challenger": self.contest.challenger}.get(self.contest.verdict or "")

    @property
    def progress(self) -> float:
        """The logarithm of the e-value as a share of what is needed, from 0 to 1."""
        if self.winner is not None:
            return 1.0
        return min(1.0, max(0.0, log(max(self.standing.e_value, 1.0)) / log(self.needed)))

    @property
    def state(self) -> str:
        """The state in a few words."""
        if self.winner is not None:
            return f"{self.winner} has won" + (" and gets all" if self.test.promote else ", the split continues")
        if self.contest.verdict == "none":
            return f"given up, {self.test.incumbent} gets all"
        if not self.configured:
            return "not in the configuration here"
        return "withheld, outcomes are missing on one side" if self.withheld else "running"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        test, contest = self.test, self.contest
        return {
            "test_id": test.test_id, "incumbent": test.incumbent, "challenger": contest.challenger, "share": self.share,
            "salt": test.salt, "alpha": test.alpha, "min_samples": test.min_samples, "max_samples": test.max_samples,
            "promote": test.promote, "configured": self.configured, "started": _moment(test.started_ms),
            "last_outcome": _moment(contest.last_ms), "sides": self._sides(), "withheld": self.withheld,
            "e_value": self.standing.e_value, "needed": self.needed,
            "more": None if contest.verdict is not None else self.standing.more, "verdict": contest.verdict,
            "winner": self.winner, "promoted": self.winner is not None and test.promote,
            "decided": _moment(contest.decided_ms), "text": self.verdict,
        }  # fmt: skip

    def _sides(self) -> list[dict[str, Any]]:
        made = (self.ratio.decisions_a, self.ratio.decisions_b)
        reported = (self.ratio.reported_a, self.ratio.reported_b)
        return [
            {**_side(model_id, rate), "decisions": decisions, "reported": outcomes, "reported_share": share}
            for (model_id, rate), decisions, outcomes, share in zip(
                self.sides, made, reported, self.reported, strict=True
            )
        ]


def trials(engine: ModelPerf, task_type: str | None = None, *, now: datetime | None = None) -> tuple[Trial, ...]:
    """Return every challenger in the tests of a task type, or of all task types; newest test first."""
    now_ms = to_milliseconds(now or datetime.now(UTC))
    return tuple(
        trial
        for test in engine.store.ab_tests.all(task_type)
        for trial in trials_of(engine.store, engine.config, test, now_ms)
    )


def trials_of(store: Store, config: Config, test: StoredTest, now_ms: int) -> Iterator[Trial]:
    """Yield the challengers of a test that take part in it, or have outcomes in it."""
    exploration = config.policy_for(test.task_type).exploration
    here: tuple[str, ...] = ()
    if isinstance(exploration, ABTest) and exploration.identifies(test.fingerprint):
        here = challengers_of(exploration, test)
    drawn = store.ab_tests.drawn(test.test_id, now_ms)
    for contest in test.contests:
        checked = check(test, contest, drawn)
        yield Trial(
            test=test, contest=contest, standing=standing(test, contest), needed=level_of(test),
            verdict=checked_in_words(test, contest, checked), configured=contest.challenger in here, checked=checked,
        )  # fmt: skip


def _side(model_id: str, rate: Rate) -> dict[str, Any]:
    counts = {"model_id": model_id, "successes": rate.successes, "outcomes": rate.outcomes}
    return {**counts, "rate": rate.rate, "interval": [rate.low, rate.high]}


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else from_milliseconds(milliseconds).isoformat()
