"""Trends and changes as tables and text, for ``trend`` and ``watch``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.tables import Column, drawn, named, number
from modelperf_plugin.cli.terminal_text import bars
from modelperf_plugin.text import ago, change, has_later_tries, has_scores, percent, score, spent_per_success
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Trend
    from modelperf_plugin.store import Change

_CHANGES: Final = {"up": "does better", "down": "does worse", "announced": "was announced to have changed"}
_COLUMNS: Final[tuple[Column[tuple[str, Trend]], ...]] = (
    drawn("success, 0 to 100 %", lambda row: bars(row[1].rates)),
    number("outcomes", lambda row: f"{row[1].total.samples:,}", optional=True),
    number("success", lambda row: percent(row[1].total.success_rate)),
    number("before", lambda row: change(row[1].difference), optional=True),
    number("$/success", lambda row: spent_per_success(row[1].total), optional=True),
)

_SCORES: Final[tuple[Column[tuple[str, Trend]], ...]] = (
    number("mean score", lambda row: score(row[1].total.mean_score)),
)


def print_trends(answer: Answer, name: str, trends: Mapping[str, Trend]) -> None:
    """Print a table of trends; ``name`` is the title of the column of their names."""
    scores = _SCORES if has_scores(trend.total for trend in trends.values()) else ()
    answer.print_table([named(name, lambda row: row[0], "bold"), *_COLUMNS[:3], *scores, *_COLUMNS[3:]], trends.items())


def print_tries_note(answer: Answer, trends: Iterable[Trend]) -> None:
    """Print what is counted, if tasks were tried again."""
    if has_later_tries(trend.total for trend in trends):
        answer.print_line()
        note = "all tries count alike, also on tasks that other models had failed; rank and compare tell them apart"
        answer.print_line((note, "dim"))


def print_changes(answer: Answer, changes: Sequence[Change]) -> None:
    """Print a line for each change of a model."""
    if changes:
        answer.print_line()
    for each in changes:
        since, noticed = ago(from_milliseconds(each.since_ms)), ago(from_milliseconds(each.noticed_ms))
        answer.print_line((each.model_id, "bold"), f" {_CHANGES[each.direction]} since {since}, noticed {noticed}")
