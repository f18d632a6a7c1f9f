"""A/B test: a fixed share of the decisions goes to a challenger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal, Self

from pydantic import Field, model_validator

from modelperf_plugin.policy.exploration.base import Contest, Shares, best_only
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.types import RankedModel, Tally


class ABTest(Strategy):
    """The incumbent gets 1 − ``share`` of the decisions, the challenger ``share``, and nobody else any.

    With a ``unit_id`` in the context the side is a hash of task type and unit, so that one unit always gets the
    same side; without one it is drawn anew for every decision. Either way the propensity of a side is its share.
    While a named side is not available, the other gets all, or the best-ranked candidate if the other is not named.
    """

    strategy: Literal["ab_test"] = "ab_test"
    share: float = Field(default=0.1, gt=0, lt=1, description="Share of decisions that go to the challenger.")
    incumbent: str | None = Field(default=None, description="Model id; if unset, the best-ranked candidate.")
    challenger: str | None = Field(
        default=None, description="Model id; if unset, the one with the fewest outcomes among the others."
    )
    salt: str = Field(default="", description="Changes the assignment of units to sides; set it for a new test.")

    @model_validator(mode="after")
    def _sides_differ(self) -> Self:
        if self.incumbent is not None and self.incumbent == self.challenger:
            raise ValueError(f"incumbent and challenger must be two different models, but both are {self.incumbent!r}")
        return self

    def __call__(self, contest: Contest) -> Shares:
        """Return the probability of each row of the contest."""
        incumbent, challenger = find_sides(contest.rows, self.incumbent, self.challenger)
        if incumbent is None or challenger is None:
            return self._untested(contest, incumbent or (challenger if self.challenger is not None else None))
        probabilities = [0.0] * len(contest.rows)
        reasons: list[str | None] = [None] * len(contest.rows)
        for side, share, word in (
            (incumbent, 1 - self.share, "incumbent"),
            (challenger, self.share, "challenger"),
        ):
            position = contest.rows.index(side)
            probabilities[position] = share
            unit = "" if contest.unit_id is None else ", by its unit"
            reasons[position] = f"{word} of an A/B test, share {share:g}{unit}; {side.reason}"
        return Shares(probabilities, self._point(contest, incumbent, challenger), reasons)

    def _untested(self, contest: Contest, side: RankedModel | None) -> Shares:
        """Return all for ``side``, or for the best-ranked row if there is none to insist on."""
        present = {row.model_id for row in contest.rows}
        missing = [each for each in (self.incumbent, self.challenger) if each is not None and each not in present]
        why = ", ".join(f"{each} is not available" for each in missing) or "there is no other candidate"
        probabilities = best_only(contest) if side is None else [float(row is side) for row in contest.rows]
        return Shares(probabilities, None, [f"no A/B test: {why}; {row.reason}" for row in contest.rows])

    def _point(self, contest: Contest, incumbent: RankedModel, challenger: RankedModel) -> float | None:
        """Return where the unit falls in [0, 1): below ``share`` means the challenger, wherever it is ranked."""
        if contest.unit_id is None:
            return None
        position = unit_position(self.salt, contest.task_type, contest.unit_id)
        challenger_first = contest.rows.index(challenger) < contest.rows.index(incumbent)
        return position if challenger_first else 1.0 - position - 2.0**-53


def find_sides(
    rows: Sequence[RankedModel], incumbent_id: str | None = None, challenger_id: str | None = None
) -> tuple[RankedModel | None, RankedModel | None]:
    """Return the rows of incumbent and challenger, best-ranked rows first in ``rows``; None for a side not there.

    A side that is named is that model and no other. If not named, the incumbent is the best-ranked row left, and
    the challenger the one with the fewest outcomes among the others (the better-ranked of equals).
    """
    by_id = {row.model_id: row for row in rows}
    if incumbent_id is not None:
        incumbent = by_id.get(incumbent_id)
    else:
        incumbent = next((row for row in rows if row.model_id != challenger_id), None)
    if challenger_id is not None:
        return incumbent, by_id.get(challenger_id)
    others = [row for row in rows if row.model_id not in {incumbent_id, incumbent.model_id if incumbent else None}]
    fewest = fewest_samples(row.tally for row in others)
    return incumbent, None if fewest is None else by_id[fewest.model_id]


def fewest_samples(tallies: Iterable[Tally]) -> Tally | None:
    """Return the tally with the fewest outcomes, the first of equals; None if there is none."""
    return min(tallies, key=lambda tally: tally.samples, default=None)


def unit_position(salt: str, task_type: str, unit_id: str) -> float:
    """Return a number in [0, 1) that is always the same for these three and otherwise as good as random."""
    key = f"{salt}\0{task_type}\0{unit_id}".encode()
    return (int.from_bytes(blake2b(key, digest_size=8).digest()) >> 11) / 2**53
