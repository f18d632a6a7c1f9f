"""What the policy has saved, arranged for a page: one row for each model to compare with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from modelperf_plugin.analysis import need_numpy
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.engine.core import ModelPerf

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.judgement import Estimate
    from modelperf_plugin.analysis.off_policy.savings import Difference, Savings

MAX_ROWS: Final = 8
"""Models to compare with that are shown, those used most."""
MAX_REPORT_DECISIONS: Final = 20_000
"""Newest decisions that a report reads, which waits for them."""
_NOTES: Final = {"current": "the current choice", "best-before": "the best before this period"}


class SavedRow(NamedTuple):
    """What was saved against always beginning with one model."""

    model_id: str
    note: str
    """What that model is; may be empty."""
    saved_usd: Estimate | None
    gained: Estimate | None
    """Points of success."""
    share: float
    """Share of the tasks that began with it anyway, or for which it was not offered."""


class Unanswered(NamedTuple):
    """A comparison that the log does not permit."""

    name: str
    """A model, or what it would be."""
    note: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The savings of a period, or why there are none to show."""

    savings: Savings | None
    rows: tuple[SavedRow, ...] = ()
    hidden: int = 0
    """Number of further models."""
    unanswered: tuple[Unanswered, ...] = ()
    """Models that there is no answer for, or only one half of it."""
    note: str | None = None
    """Why there are no savings."""


def saved_in(engine: ModelPerf, period: Period, newest: int | None = None, progress: Progress | None = None) -> Saved:
    """Return the savings of ``period``, by the ``newest`` decisions; None: as many as a page should read.

    Raises:
        MissingExtraError: numpy is not installed.
    """
    need_numpy("savings")
    from modelperf_plugin.analysis.views.savings import NEWEST_DECISIONS, savings_of  # noqa: PLC0415 - needs numpy

    days, newest = period.days, NEWEST_DECISIONS if newest is None else newest
    savings, note = savings_of(engine, since_ms=days.first_ms, until_ms=days.end_ms, newest=newest, progress=progress)
    if savings is None:
        return Saved(savings=None, note=note)
    notes, differences = _by_model(savings.against)
    answered = [each for each in differences.values() if each.saved_usd is not None or each.gained is not None]
    rows = [
        SavedRow(each.model_id or "", notes.get(each.model_id or "", ""), each.saved_usd, each.gained, each.share)
        for each in answered
    ]
    reasons = [Unanswered(name, notes.get(name, ""), _reason(each)) for name, each in differences.items()]
    unanswered = [each for each in reasons if each.reason]
    return Saved(
        savings=savings, rows=tuple(rows[:MAX_ROWS]), hidden=max(0, len(rows) - MAX_ROWS), unanswered=tuple(unanswered)
    )


def _by_model(differences: Iterable[Difference]) -> tuple[dict[str, str], dict[str, Difference]]:
    """Return what each model is, and each one's difference; rules that give no model come under their own name."""
    notes: dict[str, str] = {}
    found: dict[str, Difference] = {}
    for each in differences:
        note = _NOTES.get(each.name)
        if note is not None and each.model_id is not None:
            notes[each.model_id] = f"{notes[each.model_id]}, {note}" if each.model_id in notes else note
        found.setdefault(each.model_id or note or each.name, each)
    return notes, found


def _reason(difference: Difference) -> str:
    if difference.model_id is None:
        return "no model had enough tasks before this period"
    refusal, cost_refusal = difference.refusal, difference.cost_refusal
    if refusal == cost_refusal:
        return refusal or ""
    halves = (("success", refusal), ("dollars", cost_refusal))
    return "; ".join(f"{what}: {reason}" for what, reason in halves if reason)
