"""A decision as tables and text, for ``explain``, ``why`` and ``decisions``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.terminal_text import count, dollars, percent, short, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.store import LoggedCandidate, LoggedDecision
    from modelperf_plugin.values import Exclusion, RankedModel


_CHOICE: Final = (
    Column("model", "bold"), number("chosen"), number("score"), number("interval"), number("outcomes"),
    number("$/task"), Column("status"), Column("reason", overflow=True),
)  # fmt: skip
_COST: Final = 5
"""Which of these columns is shown only where costs matter."""


def show_candidates(answer: Answer, candidates: Sequence[tuple[RankedModel | LoggedCandidate, float, int]]) -> None:
    """Show the candidates of a decision, each with the probability that it was chosen and its number of outcomes."""
    rows = [
        [
            row.model_id,
            percent(share),
            percent(row.score),
            span(row.interval),
            f"{samples:,}",
            dollars(row.expected_cost_usd),
            row.status,
            row.reason,
        ]
        for row, share, samples in candidates
    ]
    costs_matter = any(row.expected_cost_usd is not None for row, _, _ in candidates)
    shown = [position for position in range(len(_CHOICE)) if costs_matter or position != _COST]
    answer.print_table(
        [_CHOICE[position] for position in shown], [[row[position] for position in shown] for row in rows]
    )


def show_excluded(answer: Answer, excluded: Sequence[Exclusion]) -> None:
    """Show which candidates were not permitted, if any."""
    if excluded:
        answer.print_line()
        answer.print_table(
            [Column("excluded", "bold"), Column("reason")], [[row.model_id, row.reason] for row in excluded]
        )


def log_retention(log: LogConfig) -> str:
    share = "all" if log.share == 1 else percent(log.share)
    return (
        f"{share} of the decisions are kept (log.share), for {count(log.keep_days, 'day')} (log.keep_days), "
        "and a running host writes them within seconds"
    )


def outcome_cell(decision: LoggedDecision) -> Cell:
    outcome = decision.outcome
    if outcome is None:
        if decision.mode == "observe":
            return "observed only: the host was answered None", "dim"
        if decision.is_overdue(time.time_ns() // 1_000_000):
            return "no outcome for more than an hour", "yellow"
        return "no outcome yet", "dim"
    words = ["succeeded" if outcome.success else "failed"]
    if outcome.model_id != decision.model_id:
        words[0] += f" with {outcome.model_id}, a fallback"
    if outcome.timeout:
        words.append("timed out")
    if outcome.error_kind is not None:
        words.append(outcome.error_kind)
    words.append(f"after {(outcome.ended_ms - decision.made_ms) / 1000:,.1f} s")
    if outcome.tokens_used:
        words.append(f"{short(outcome.tokens_used)} tokens")
    if outcome.cost_nano_usd:
        words.append(dollars(outcome.cost_usd))
    return ", ".join(words), "green" if outcome.success else "red"
