"""Scores as sums that a reader can follow: one column for each of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from modelperf_plugin import text
from modelperf_plugin.store import LoggedCandidate
from modelperf_plugin.values import RankedModel, ScoreTerms, Source

_HEADS: Final[dict[Source, str]] = {
    "own": "own outcomes today",
    "later tries": "by later tries",
    "since a change": "expected since a change",
    "merged sources": "merged sources",
    "other task types": "other task types and models",
    "prior": "prior",
}
_AVAILABILITY, _IN_TIME = "recent availability", "chance to end in time"


class ScoreSum(NamedTuple):
    """One score: a cell for each head of the table."""

    name: str
    cells: tuple[str, ...]
    score: float | None


class ScoreSums(NamedTuple):
    """Scores with all that they are made of; no rows if that is not known."""

    heads: tuple[str, ...]
    rows: tuple[ScoreSum, ...]
    chances: tuple[str, ...]
    """The heads that the mean of the parts is multiplied by."""


def score_sums(rows: Mapping[str, RankedModel | LoggedCandidate]) -> ScoreSums:
    """Return the sums of the rows whose terms are known, by name; parts that no row has are left out."""
    known = [(name, row.terms) for name, row in rows.items() if row.terms is not None]
    used = {part.source for _, terms in known for part in terms.parts}
    sources = [source for source in _HEADS if source in used]
    chances = []
    if any(terms.availability != 1.0 for _, terms in known):
        chances.append(_AVAILABILITY)
    if any(terms.in_time != 1.0 for _, terms in known):
        chances.append(_IN_TIME)
    heads = (*[_HEADS[source] for source in sources], *chances)
    return ScoreSums(
        heads, tuple(ScoreSum(name, _cells(terms, sources, chances), terms.score) for name, terms in known),
        tuple(chances),
    )  # fmt: skip


def _cells(terms: ScoreTerms, sources: Iterable[Source], chances: Iterable[str]) -> tuple[str, ...]:
    parts = {part.source: f"{part.outcomes:.4g} at {text.percent(part.rate)}" for part in terms.parts}
    factors = {_AVAILABILITY: terms.availability, _IN_TIME: terms.in_time}
    times = ["\u2013" if factors[name] == 1.0 else f"× {factors[name]:.3f}" for name in chances]
    return (*[parts.get(source, "\u2013") for source in sources], *times)
