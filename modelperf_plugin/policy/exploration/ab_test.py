"""A/B test: a fixed share of the decisions goes to one or more challengers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
    """The incumbent gets 1 − ``share`` of the decisions, the challengers equal parts of ``share``, other models none.

    With a ``unit_id`` in the context the side is a hash of task type and unit, so that a unit always gets the same
    side; without one it is drawn for every decision. Either way the propensity of a side is its share. The order of
    the challengers does not matter, and another list of them moves only the units that it has to. While a
    challenger is not available, the incumbent gets its part; while the incumbent is not, the best-ranked named
    challenger gets all decisions, or the best-ranked candidate if none is named.
    """

    strategy: Literal["ab_test"] = "ab_test"
    price_probes: ClassVar[float] = 0.0
    uniform: ClassVar[float] = 0.0
    share: float = Field(default=0.1, gt=0, lt=1, description="Share of decisions that go to the challengers.")
    incumbent: str | None = Field(
        default=None, description="Model id; if unset, the best-ranked candidate when the test begins."
    )
    challenger: str | tuple[str, ...] | None = Field(
        default=None,
        description="Model id, or a list of them with equal parts; if unset, the other model with the fewest outcomes "
        "when the test begins.",
    )
    salt: str = Field(default="", description="Changes the assignment of units to sides; change it for a new test.")
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="Maximum probability that a test of equal models ever finds a winner."
    )
    min_samples: int = Field(
        default=100,
        ge=0,
        description="Number of first outcomes, of incumbent and challenger together, that do not count yet: set it to "
        "twice the number of concurrent tasks.",
    )
    max_samples: int | None = Field(
        default=None,
        ge=1,
        description="Outcomes of incumbent and challenger together after which a test without a winner ends, with all "
        "decisions to the incumbent; if unset, it continues.",
    )
    promote: bool = Field(default=False, description="Whether the winner of a test gets all decisions.")

    @field_validator("challenger", mode="wrap")
    @classmethod
    def _one_or_more(cls, value: Any, _: ValidatorFunctionWrapHandler) -> str | tuple[str, ...] | None:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(each, str) for each in value):
            raise ValueError(f"must be a model id or a list of model ids, but got {brief(value)}")
        if len(set(value)) < len(value):
            raise ValueError(f"must name each challenger once, but got {brief(value)}")
        return tuple(value)

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
        """The named challengers, in their order."""
        if self.challenger is None:
            return ()
        return (self.challenger,) if isinstance(self.challenger, str) else self.challenger

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of what identifies the test: the incumbent, whether challengers are named, the salt.

        The others may change while it runs: challengers may join and leave, each with its own evidence.
        """
        return _digest(["contests", self.incumbent, bool(self.challengers), self.salt])

    @cached_property
    def earlier_fingerprint(self) -> str:
        """The fingerprint of this test in stores of earlier versions, where another list or share was another test."""
        return _digest([self.incumbent, self.challengers or None, self.share, self.salt])

    def identifies(self, fingerprint: str) -> bool:
        """Return whether a stored test with this fingerprint is the configured one."""
        return fingerprint in {self.fingerprint, self.earlier_fingerprint}

    def under(self, canonical_ids: Mapping[str, str]) -> Self:
        """Return this test with the canonical ids of its sides; it is the same test, whatever names are configured."""
        named = (self.incumbent, *self.challengers)
        if canonical_ids.keys().isdisjoint(named):
            return self
        # an alias of a running test does not begin it anew
        fingerprints = {"fingerprint": self.fingerprint, "earlier_fingerprint": self.earlier_fingerprint}
        names = [None if name is None else canonical_ids.get(name, name) for name in named]
        copy = self.model_copy(update={"incumbent": names[0], "challenger": tuple(names[1:]) or None})
        copy.__dict__.update(fingerprints)
        return copy

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        incumbent, challengers = find_sides(choice_set.rows, self.incumbent, self.challengers)
        return self.split(incumbent, challengers)(choice_set)

    def split(self, incumbent: str | None, challengers: tuple[str, ...], **progress: Any) -> Split:
        """Return this test between these sides at its current progress."""
        return Split(
            incumbent=incumbent, challengers=challengers, share=self.share, salt=self.salt,
            named=bool(self.challengers), **progress,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """An A/B test with fixed sides; spreads decisions over them."""

    strategy: ClassVar[str] = "ab_test"
    price_probes: ClassVar[float] = 0.0
    uniform: ClassVar[float] = 0.0
    incumbent: str | None
    """None if there is no candidate for it."""
    challengers: tuple[str, ...]
    share: float
    """Of all challengers together."""
    salt: str = ""
    named: bool = True
    """Whether the challengers were named: then one of them replaces an unavailable incumbent."""
    settled: frozenset[str] = frozenset()
    """Challengers whose part the incumbent now gets."""
    final: str | None = None
    """The model that gets all decisions once the test is over."""
    why: str = ""
    test_id: int | None = None
    """Id in the store; None before the test begins."""

    @property
    def on_trial(self) -> frozenset[str]:
        """The models that the test still needs; none once it is over."""
        if self.final is not None:
            return frozenset()
        return frozenset(each for each in (self.incumbent, *self.challengers) if each is not None) - self.settled

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        present = model_ids(choice_set.rows)
        if self.final is not None:
            if self.final in present:
                return _all_to(choice_set, self.final, self.why)
            return _all_to(choice_set, None, f"{self.why}, but {self.final} is not available")
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
        """Return all for the available side, or for the best-ranked row without one."""
        sides = [each for each in (self.incumbent, *self.challengers) if each is not None]
        missing = [each for each in sides if each not in present]
        why = ", ".join(f"{each} is not available" for each in missing) or "there is no other candidate"
        substitute = None
        if self.incumbent in present:
            substitute = self.incumbent
        elif self.named:
            substitute = next((model_id for model_id in present if model_id in active), None)
        return _all_to(choice_set, substitute, f"no A/B test: {why}")

    def side_of(self, task_type: str, unit_id: str) -> str | None:
        """Return the side of a unit while all are available.

        Units below ``share`` are the challengers'; so a larger share moves no unit back, and another list of
        challengers none of the incumbent's. Among the challengers, the one with the largest hash gets the unit
        (rendezvous hashing): their order means nothing, one that joins takes an equal part from each of the others, and
        one that leaves gives its units to them.
        """
        if unit_position(self.salt, task_type, unit_id) >= self.share:
            return self.incumbent
        if len(self.challengers) == 1:
            return self.challengers[0]
        return max(self.challengers, key=lambda each: unit_position(self.salt, task_type, f"{unit_id}\0{each}"))


def _all_to(choice_set: ChoiceSet, model_id: str | None, why: str) -> Shares:
    """Return all for one model, or for the best-ranked rows if None."""
    if model_id is None:
        shares = best_only(choice_set)
    else:
        shares = [float(each == model_id) for each in model_ids(choice_set.rows)]
    return Shares(shares, None, [why] * len(shares))


def model_ids(rows: Sequence[RankedModel]) -> Sequence[str]:
    """Return the ids of the rows, without building the rows of a ranking."""
    return rows.model_ids if isinstance(rows, Ranking) else [row.model_id for row in rows]


def find_sides(
    rows: Sequence[RankedModel], incumbent: str | None = None, challengers: tuple[str, ...] = ()
) -> tuple[str | None, tuple[str, ...]]:
    """Return incumbent and challengers from ``rows``, best first; None and () for a side without a model.

    A named side is that model, available or not. Otherwise the incumbent is the best-ranked remaining row, and the
    challenger the one with the fewest outcomes among the others (the better-ranked of equals).
    """
    if incumbent is None:
        incumbent = next((row.model_id for row in rows if row.model_id not in challengers), None)
    if not challengers:
        fewest = fewest_samples(row.tally for row in rows if row.model_id != incumbent)
        challengers = () if fewest is None else (fewest.model_id,)
    return incumbent, challengers


def fewest_samples(tallies: Iterable[Tally]) -> Tally | None:
    """Return the tally with the fewest outcomes, the first of equals; None without any."""
    return min(tallies, key=lambda tally: tally.samples, default=None)


def unit_position(salt: str, task_type: str, unit_id: str) -> float:
    """Return a pseudo-random number in [0, 1) that is a hash of the arguments."""
    key = f"{salt}\0{task_type}\0{unit_id}".encode()
    return (int.from_bytes(blake2b(key, digest_size=8).digest()) >> 11) / 2**53


def _digest(settings: list[Any]) -> str:
    return sha256(json.dumps(settings).encode()).hexdigest()[:12]
