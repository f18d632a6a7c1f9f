"""A/B test: a fixed share of the decisions goes to one or more challengers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from modelperf_plugin.errors import brief
from modelperf_plugin.policy.exploration.base import ChoiceSet, Shares, best_only
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import RankedModel, Ranking, Tally


class ABTest(Strategy):
    """The incumbent gets 1 − ``share`` of the decisions, the challengers equal parts of ``share``, nobody else any.

    With a ``unit_id`` in the context the side is a hash of task type and unit, so that one unit always gets the
    same side; without one it is drawn anew for every decision. Either way the propensity of a side is its share.
    While a side is not available, the incumbent gets its part too; while the incumbent is not, the best-ranked
    challenger that is named gets all, or the best-ranked candidate if none is.
    """

    strategy: Literal["ab_test"] = "ab_test"
    share: float = Field(default=0.1, gt=0, lt=1, description="Share of decisions that go to the challengers.")
    incumbent: str | None = Field(
        default=None, description="Model id; if unset, the best-ranked candidate when the test begins."
    )
    challenger: str | tuple[str, ...] | None = Field(
        default=None,
        description="Model id, or a list of them that share equally; if unset, the one with the fewest outcomes among "
        "the others when the test begins.",
    )
    salt: str = Field(default="", description="Changes the assignment of units to sides; set it for a new test.")
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="The probability with which a test of equal models ever finds a winner."
    )
    min_samples: int = Field(
        default=100,
        ge=0,
        description="So many first outcomes of incumbent and challenger together are no evidence yet: twice as many as "
        "are under way at the same time.",
    )
    max_samples: int | None = Field(
        default=None,
        ge=1,
        description="After so many outcomes of incumbent and challenger together without a winner, the incumbent gets "
        "all; if unset, the test goes on.",
    )
    promote: bool = Field(default=False, description="Whether the winner gets all decisions once there is a verdict.")

    @field_validator("challenger", mode="wrap")
    @classmethod
    def _one_or_more(cls, given: Any, _: ValidatorFunctionWrapHandler) -> str | tuple[str, ...] | None:
        if given is None or isinstance(given, str):
            return given
        if not isinstance(given, (list, tuple)) or not given or not all(isinstance(each, str) for each in given):
            raise ValueError(f"must be a model id or a list of model ids, but got {brief(given)}")
        if len(set(given)) < len(given):
            raise ValueError(f"must name each challenger once, but got {brief(given)}")
        return tuple(given)

    @model_validator(mode="after")
    def _sides_differ(self) -> Self:
        if self.incumbent is not None and self.incumbent in self.challengers:
            raise ValueError(f"incumbent and challenger must be two different models, but both are {self.incumbent!r}")
        if self.max_samples is not None and self.max_samples < self.min_samples:
            raise ValueError(
                f"max_samples must be at least min_samples, but they are {self.max_samples} and {self.min_samples}"
            )
        return self

    @property
    def challengers(self) -> tuple[str, ...]:
        """The challengers that are named, in their order; empty if none is."""
        if self.challenger is None:
            return ()
        return (self.challenger,) if isinstance(self.challenger, str) else self.challenger

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits for what makes this one test: sides, share and salt. The other keys may change."""
        settings = [self.incumbent, self.challengers or None, self.share, self.salt]
        return sha256(json.dumps(settings).encode()).hexdigest()[:12]

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        """Return the probability of each row of the choice set, with the sides found among its rows."""
        incumbent, challengers = find_sides(choice_set.rows, self.incumbent, self.challengers)
        return self.split(incumbent, challengers)(choice_set)

    def split(self, incumbent: str | None, challengers: tuple[str, ...], **progress: Any) -> Split:
        """Return this test between these sides, as far as it has come."""
        return Split(
            incumbent=incumbent,
            challengers=challengers,
            share=self.share,
            salt=self.salt,
            named=bool(self.challengers),
            **progress,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """An A/B test whose sides are fixed; it spreads decisions over them."""

    strategy: ClassVar[str] = "ab_test"
    incumbent: str | None
    """The model that the others are tried against; None if there is none to insist on."""
    challengers: tuple[str, ...]
    """The models on trial, in their order."""
    share: float
    """The share of all challengers together."""
    salt: str = ""
    """Changes which unit gets which side."""
    named: bool = True
    """Whether the challengers were named: then one of them stands in for an incumbent that is not available."""
    settled: frozenset[str] = frozenset()
    """The challengers whose part is the incumbent's by now."""
    final: str | None = None
    """The model that gets all decisions, because the test is over."""
    why: str = ""
    """Why it does, in a few words."""
    test_id: int | None = None
    """The test in the store; None while it has not begun."""

    @property
    def on_trial(self) -> frozenset[str]:
        """The models that the test still needs; nobody once it is over."""
        if self.final is not None:
            return frozenset()
        return frozenset(each for each in (self.incumbent, *self.challengers) if each is not None) - self.settled

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        """Return the probability of each row of the choice set."""
        present = model_ids(choice_set.rows)
        if self.final is not None:
            return _all_to(choice_set, self.final if self.final in present else None, self._finally(present))
        active = [each for each in self.challengers if each in present and each not in self.settled]
        if self.incumbent in present and active:
            return self._split(choice_set, present, active)
        return self._unsplit(choice_set, present, active)

    def _split(self, choice_set: ChoiceSet, present: Sequence[str], active: Sequence[str]) -> Shares:
        part = self.share / len(self.challengers)
        rest = 1 - self.share * (len(active) / len(self.challengers))
        unit = "" if choice_set.unit_id is None else ", by its unit"
        probabilities: list[float] = []
        reasons: list[str | None] = []
        for model_id in present:
            share, word = 0.0, ""
            if model_id == self.incumbent:
                share, word = rest, "incumbent"
            elif model_id in active:
                share, word = part, "challenger"
            probabilities.append(share)
            reasons.append(f"{word} of an A/B test, share {share:g}{unit}" if word else None)
        if choice_set.unit_id is None:
            return Shares(probabilities, None, reasons)
        side = self.side_of(choice_set.task_type, choice_set.unit_id)
        position = present.index(side if side in active else self.incumbent)
        return Shares(probabilities, sum(probabilities[:position]) + probabilities[position] / 2, reasons)

    def _unsplit(self, choice_set: ChoiceSet, present: Sequence[str], active: Sequence[str]) -> Shares:
        """Return all for the side that is there, or for the best-ranked row if there is none to insist on."""
        sides = [each for each in (self.incumbent, *self.challengers) if each is not None]
        missing = [each for each in sides if each not in present]
        why = ", ".join(f"{each} is not available" for each in missing) or "there is no other candidate"
        stands_in = None
        if self.incumbent in present:
            stands_in = self.incumbent
        elif self.named:
            stands_in = next((model_id for model_id in present if model_id in active), None)
        return _all_to(choice_set, stands_in, f"no A/B test: {why}")

    def _finally(self, present: Sequence[str]) -> str:
        return self.why if self.final in present else f"{self.why}, but {self.final} is not available"

    def side_of(self, task_type: str, unit_id: str) -> str | None:
        """Return the side that a unit gets while all are available: always the same one.

        [0, 1) has an equal part for each challenger; in each part what lies below ``share`` is the challenger's and
        the rest the incumbent's. So a larger share moves no unit back.
        """
        count = len(self.challengers)
        within = unit_position(self.salt, task_type, unit_id) * count
        number = min(int(within), count - 1)
        return self.challengers[number] if within - number < self.share else self.incumbent


def _all_to(choice_set: ChoiceSet, model_id: str | None, why: str) -> Shares:
    """Return all for one model, or for the best-ranked rows if that is None."""
    if model_id is None:
        shares = best_only(choice_set)
    else:
        shares = [float(each == model_id) for each in model_ids(choice_set.rows)]
    return Shares(shares, None, [why] * len(shares))


def model_ids(rows: Sequence[RankedModel]) -> Sequence[str]:
    """Return the ids of the rows; those of a ranking are known before its rows are made."""
    return rows.model_ids if isinstance(rows, Ranking) else [row.model_id for row in rows]


def find_sides(
    rows: Sequence[RankedModel], incumbent: str | None = None, challengers: tuple[str, ...] = ()
) -> tuple[str | None, tuple[str, ...]]:
    """Return incumbent and challengers, best-ranked rows first in ``rows``; None and () for a side without a model.

    A side that is named is that model and no other, whether it is there or not. If not named, the incumbent is the
    best-ranked row left, and the challenger the one with the fewest outcomes among the others (the better-ranked of
    equals).
    """
    if incumbent is None:
        incumbent = next((row.model_id for row in rows if row.model_id not in challengers), None)
    if not challengers:
        fewest = fewest_samples(row.tally for row in rows if row.model_id != incumbent)
        challengers = () if fewest is None else (fewest.model_id,)
    return incumbent, challengers


def fewest_samples(tallies: Iterable[Tally]) -> Tally | None:
    """Return the tally with the fewest outcomes, the first of equals; None if there is none."""
    return min(tallies, key=lambda tally: tally.samples, default=None)


def unit_position(salt: str, task_type: str, unit_id: str) -> float:
    """Return a number in [0, 1) that is always the same for these three and otherwise as good as random."""
    key = f"{salt}\0{task_type}\0{unit_id}".encode()
    return (int.from_bytes(blake2b(key, digest_size=8).digest()) >> 11) / 2**53
