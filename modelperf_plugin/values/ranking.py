"""Candidates of one task type, best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import FrozenInstanceError
from typing import Any, Final, Literal, NamedTuple, Self, get_args, overload

from modelperf_plugin.values.tally import Tally

Status = Literal["ranked", "unproven", "demoted", "probe", "unavailable", "pinned"]


Source = Literal["own", "later tries", "since a change", "merged sources", "other task types", "prior"]
_SOURCES: Final[tuple[Source, ...]] = get_args(Source)


class ScorePart(NamedTuple):
    """A part of a score: so many outcomes at such a success rate."""

    source: Source
    """``own``: first tries on this task type, as they weigh today; ``later tries``: the first tries that say the same;
    ``since a change``: the expectation in the place of outcomes before; ``merged sources``: outcomes of other projects;
    ``other task types``: what these, and other models, suggest; ``prior``: the configured one."""
    outcomes: float
    rate: float

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


class ScoreTerms(NamedTuple):
    """What a score is made of: the mean of its parts, times the chance of no outage and of an end in time."""

    parts: tuple[ScorePart, ...]
    availability: float = 1.0
    """The recent chance that a try meets no outage."""
    in_time: float = 1.0
    """The chance to end within ``max_seconds``, if the host named a limit."""

    @property
    def score(self) -> float | None:
        """The score; None without any outcome."""
        total = sum(part.outcomes for part in self.parts)
        if total <= 0.0:
            return None
        return sum(part.outcomes * part.rate for part in self.parts) / total * self.availability * self.in_time

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "parts": [part.as_dict() for part in self.parts]}

    def to_text(self) -> str:
        """Return the terms as the decision log keeps them.

        >>> ScoreTerms((ScorePart("own", 16.84, 0.669), ScorePart("prior", 2, 0.5)), availability=0.97).to_text()
        'own 16.84 0.669; prior 2 0.5; availability 0.97'
        """
        text = "; ".join([f"{source} {outcomes:.6g} {rate:.6g}" for source, outcomes, rate in self.parts])
        if self.availability != 1.0:
            text += f"; availability {self.availability:.6g}"
        return text if self.in_time == 1.0 else f"{text}; in time {self.in_time:.6g}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the terms that :meth:`to_text` has written; raise ValueError if it has not."""
        parts: list[ScorePart] = []
        chances = {"availability": 1.0, "in time": 1.0}
        for term in text.split("; "):
            name, last = term.rsplit(" ", 1)
            if name in chances:
                chances[name] = float(last)
                continue
            name, outcomes = name.rsplit(" ", 1)
            source = next((each for each in _SOURCES if each == name), None)
            if source is None:
                raise ValueError(f"unknown part of a score: {name!r}")
            parts.append(ScorePart(source, float(outcomes), float(last)))
        return cls(tuple(parts), *chances.values())


class RankedModel(NamedTuple):
    """One row of a ranking: a candidate with its score and the reason for its rank."""

    model_id: str
    score: float | None
    """Estimated probability of success, 0 to 1; None if the strategy has no estimate."""
    interval: tuple[float, float] | None
    """95 % credible or confidence interval of it, as (low, high)."""
    tally: Tally
    """The evidence behind the score."""
    status: Status
    """``ranked``; ``unproven`` (fewer outcomes than ``min_samples``); ``demoted``; ``probe`` (demoted, but tried by
    this decision); ``unavailable`` (back-off after outages); ``pinned``."""
    reason: str
    """One sentence for people."""
    expected_cost_usd: float | None = None
    """Expected cost of a task in US dollars, if costs matter to the decision and one is known."""
    terms: ScoreTerms | None = None
    """What the score is made of."""

    def as_dict(self) -> dict[str, Any]:
        values = {**self._asdict(), "terms": None if self.terms is None else self.terms.as_dict()}
        del values["tally"]  # comes last
        interval = None if self.interval is None else list(self.interval)
        return {**values, "interval": interval, "tally": self.tally.as_dict()}


class Ranking(Sequence[RankedModel]):
    """The candidates of one task type, best first, demoted ones last. Immutable; equal if the rows are.

    The rows of a decision are built on first access, so that a host that only needs the model does not wait for
    intervals and reasons.
    """

    __slots__ = ("_make", "_rows", "model_ids", "strategy")

    _rows: tuple[RankedModel, ...] | None
    _make: Callable[[], Iterable[RankedModel]] | None
    model_ids: tuple[str, ...]
    """Ids of the candidates, in the order of the rows."""
    strategy: str
    """TOML name of the ranking strategy."""

    def __init__(self, rows: Iterable[RankedModel], strategy: str) -> None:
        """Rank ``rows``, best first, each model once."""
        rows = tuple(rows)
        self._fill(tuple([row.model_id for row in rows]), strategy, rows, None)

    @classmethod
    def deferred(cls, model_ids: tuple[str, ...], strategy: str, make: Callable[[], Iterable[RankedModel]]) -> Self:
        """Return a ranking of ``model_ids`` whose rows ``make`` builds on first access."""
        ranking = cls.__new__(cls)
        ranking._fill(model_ids, strategy, None, make)  # noqa: SLF001 - an alternative constructor
        return ranking

    def _fill(
        self, model_ids: tuple[str, ...], strategy: str, rows: tuple[RankedModel, ...] | None,
        make: Callable[[], Iterable[RankedModel]] | None,
    ) -> None:  # fmt: skip
        put = object.__setattr__
        put(self, "model_ids", model_ids)
        put(self, "strategy", strategy)
        put(self, "_rows", rows)
        put(self, "_make", make)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @property
    def rows(self) -> tuple[RankedModel, ...]:
        """The candidates, each once."""
        make, rows = self._make, self._rows  # in this order: rows are set before `make` is cleared
        if rows is None:
            rows = tuple(make()) if make is not None else ()
            self._fill(self.model_ids, self.strategy, rows, None)
        return rows

    @overload
    def __getitem__(self, index: int) -> RankedModel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RankedModel, ...]: ...
    def __getitem__(self, index: int | slice) -> RankedModel | tuple[RankedModel, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.model_ids)

    def __iter__(self) -> Iterator[RankedModel]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranking):
            return NotImplemented
        return self.rows == other.rows and self.strategy == other.strategy

    def __hash__(self) -> int:
        return hash((self.model_ids, self.strategy))

    def __repr__(self) -> str:
        return f"Ranking({list(self.rows)}, {self.strategy!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Ranking, (self.rows, self.strategy)

    def first(self, count: int) -> Ranking:
        """Return the ranking of the first ``count`` candidates."""
        if count >= len(self.model_ids):
            return self
        return Ranking.deferred(self.model_ids[:count], self.strategy, lambda: self.rows[:count])

    def of(self, model_id: str) -> RankedModel:
        """Return the row of ``model_id``; raise KeyError if it is not a candidate."""
        for row in self.rows:
            if row.model_id == model_id:
                return row
        raise KeyError(model_id)
