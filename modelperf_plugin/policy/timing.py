"""How long tries take, as far as a decision minds: a limit of time, a price of time, and faster first among equals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from modelperf_plugin.policy.cost.base import ExpectedCost
from modelperf_plugin.text import duration, percent
from modelperf_plugin.values import Durations
from modelperf_plugin.values.durations import average

PRIOR_OUTCOMES: Final = 2.0
"""Durations that the average of the candidates is worth for each of them."""
_MINUTE: Final = 60.0
NO_DURATIONS: Final[Mapping[str, Durations]] = {}


class Reported(dict[str, Durations]):
    """Durations by model that many decisions use: what follows from them is worked out once for the same candidates."""

    def __init__(self, durations: Mapping[str, Durations]) -> None:
        super().__init__(durations)
        self.last: tuple[tuple[str, ...], Timing | None] = ((), None)
        """The candidates of the last decision, and their timing; replaced as a whole, because threads share it."""


class Timing(NamedTuple):
    """How long a try of each candidate takes."""

    known: Mapping[str, Durations]
    """What hosts have reported, by model."""
    expected: Mapping[str, Durations]
    """The same of every candidate, with the average of the candidates: that alone for one without any."""
    medians: Mapping[str, float]
    """The medians of what is expected, in seconds."""
    max_seconds: float | None = None
    """The time that the task has."""

    @classmethod
    def of(
        cls, durations: Mapping[str, Durations], candidates: Iterable[str], max_seconds: float | None
    ) -> Timing | None:
        """Return the timing of the candidates; None if none of their durations is known."""
        if not durations:
            return None
        candidates = tuple(candidates)
        if not isinstance(durations, Reported):
            return cls._of(durations, candidates, max_seconds)
        known, timing = durations.last
        if known != candidates:
            timing = cls._of(durations, candidates, max_seconds)
            durations.last = candidates, timing
        return timing if timing is None else timing._replace(max_seconds=max_seconds)

    @classmethod
    def _of(
        cls, durations: Mapping[str, Durations], candidates: Sequence[str], max_seconds: float | None
    ) -> Timing | None:
        known = {each: durations[each] for each in candidates if each in durations}
        if not known:
            return None
        usual = average(list(known.values()))
        prior = usual._replace(weights=tuple([PRIOR_OUTCOMES * weight for weight in usual.weights]))
        expected = {each: known[each].plus(prior) if each in known else prior for each in candidates}
        medians = {each: expected[each].median_seconds for each in candidates}
        return cls(known, expected, medians, max_seconds)

    def chances(self) -> Mapping[str, float]:
        """Return the chance of each candidate to finish in time; without a limit none."""
        limit = self.max_seconds
        return {} if limit is None else {name: each.share_within(limit) for name, each in self.expected.items()}

    def median(self, model_id: str) -> float:
        """Return the median duration of a candidate in seconds."""
        return self.medians[model_id]

    def tries_in_time(self, model_ids: Iterable[str]) -> int:
        """Return how many tries fit into the time at most, with each of the fastest models once; at least 1."""
        return max(1, self.fitting(sorted([self.median(each) for each in model_ids])))

    def fitting(self, medians: Sequence[float]) -> int:
        """Return how many of these tries, one after another, fit into the time."""
        total = 0.0
        for count, each in enumerate(medians):
            total += each
            if self.max_seconds is not None and total > self.max_seconds:
                return count
        return len(medians)

    def prices(self, costs: Mapping[str, ExpectedCost | None], usd_per_minute: float) -> dict[str, float | None]:
        """Return the expected cost of each candidate with the price of its time; an unknown one as the lowest known."""
        least = min([cost.usd for cost in costs.values() if cost is not None], default=0.0)
        prices: dict[str, float | None] = {}
        for name, each in self.expected.items():
            cost = costs.get(name)
            prices[name] = (least if cost is None else cost.usd) + usd_per_minute * each.mean_seconds / _MINUTE
        return prices

    def reason(self, model_id: str) -> str:
        """Return how long a candidate takes, for people."""
        own = self.known.get(model_id)
        text = "durations unknown"
        if own is not None:
            text = f"median {duration(own.median_seconds)}, 95 % within {duration(own.high_seconds)}"
        if self.max_seconds is None:
            return text
        chance = self.expected[model_id].share_within(self.max_seconds)
        return f"{percent(chance)} within {duration(self.max_seconds)} ({text})"
