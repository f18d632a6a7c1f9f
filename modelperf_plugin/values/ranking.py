"""Candidates of one task type, best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import FrozenInstanceError
from typing import Any, Literal, NamedTuple, Self, overload

from modelperf_plugin.values.tally import Tally

Status = Literal["ranked", "unproven", "demoted", "probe", "unavailable", "pinned"]


class RankedModel(NamedTuple):
    """One row of a ranking: a candidate with its score and why it stands where it stands."""

    model_id: str
    score: float | None
    """Estimated probability of success, 0 to 1; None where the strategy has no estimate."""
    interval: tuple[float, float] | None
    """Where that probability lies with 95 % credibility or confidence, as (low, high)."""
    tally: Tally
    """The evidence behind the score."""
    status: Status
    """``ranked``; ``unproven`` (fewer outcomes than ``min_samples``); ``demoted``; ``probe`` (demoted, and tried again
    by this decision); ``unavailable`` (it has had outages, and is left alone for a while); ``pinned``."""
    reason: str
    """One sentence for a person."""
    expected_cost_usd: float | None = None
    """What a task is expected to cost in US dollars, where costs matter to the decision and something is known."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {
            "model_id": self.model_id,
            "score": self.score,
            "interval": None if self.interval is None else list(self.interval),
            "status": self.status,
            "reason": self.reason,
            "expected_cost_usd": self.expected_cost_usd,
            "tally": self.tally.as_dict(),
        }


class Ranking(Sequence[RankedModel]):
    """The candidates of one task type, best first; demoted ones last. Read only, equal if the rows are.

    The rows of a decision are made when somebody looks at them: a host that only wants the model does not wait for
    intervals and sentences.
    """

    __slots__ = ("_make", "_rows", "model_ids", "strategy")

    _rows: tuple[RankedModel, ...] | None
    _make: Callable[[], Iterable[RankedModel]] | None
    model_ids: tuple[str, ...]
    """The candidates' ids, in the order of the rows."""
    strategy: str
    """The ranking strategy that made it, by its name in TOML."""

    def __init__(self, rows: Iterable[RankedModel], strategy: str) -> None:
        """Make a ranking of ``rows``, best first, each model once."""
        made = tuple(rows)
        self._fill(tuple([row.model_id for row in made]), strategy, made, None)

    @classmethod
    def deferred(cls, model_ids: tuple[str, ...], strategy: str, make: Callable[[], Iterable[RankedModel]]) -> Self:
        """Return a ranking of ``model_ids`` whose rows are made by ``make`` when they are first asked for."""
        ranking = cls.__new__(cls)
        ranking._fill(model_ids, strategy, None, make)  # noqa: SLF001 - a second way to make one
        return ranking

    def _fill(
        self,
        model_ids: tuple[str, ...],
        strategy: str,
        rows: tuple[RankedModel, ...] | None,
        make: Callable[[], Iterable[RankedModel]] | None,
    ) -> None:
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
        make, rows = self._make, self._rows  # in this order: the rows are there before `make` goes
        if rows is None:
            # two threads may both make them: they make the same
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
