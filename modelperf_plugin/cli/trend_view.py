"""Trends and changes as tables and text, for ``trend`` and ``watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.terminal_text import ago, bars, change, percent, spent_per_success
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelperf_plugin.analysis.views.trends import Trend
    from modelperf_plugin.store import Change


_COUNTS: Final = (
    number("outcomes"), number("success"), number("before", overflow=True), number("$/success"),
)  # fmt: skip
_CHANGED: Final = {"up": "does better", "down": "does worse", "announced": "was announced to have changed"}


def show_trends(answer: Answer, head: str, trends: dict[str, Trend]) -> None:
    answer.print_table(
        [Column(head, "bold"), Column("success, 0 to 100 %", "cyan"), *_COUNTS],
        [[name, bars(trend.rates), *_counts(trend)] for name, trend in trends.items()],
    )


def _counts(trend: Trend) -> list[Cell]:
    return [
        f"{trend.total.samples:,}",
        percent(trend.total.success_rate),
        change(trend.difference),
        spent_per_success(trend.total),
    ]


def show_changes(answer: Answer, changes: Sequence[Change]) -> None:
    if changes:
        answer.print_line()
    for each in changes:
        since, noticed = from_milliseconds(each.since_ms), from_milliseconds(each.noticed_ms)
        answer.print_line(
            (each.model_id, "bold"), f" {_CHANGED[each.direction]} since {ago(since)}, noticed {ago(noticed)}"
        )
