"""A decision as tables and text, for ``explain``, ``why`` and ``decisions``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.text import count, dollars, percent, short, span
from modelperf_plugin.values import Exclusion, RankedModel

if TYPE_CHECKING:
    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.store import LoggedCandidate, LoggedDecision

_Candidate = TypeVar("_Candidate", bound="RankedModel | LoggedCandidate")


def print_candidates(
    answer: Answer,
    candidates: Iterable[_Candidate],
    propensity: Callable[[_Candidate], float],
    samples: Callable[[_Candidate], int],
) -> None:
    """Print the ranking of a decision; expected costs only if any is known."""
    candidates = list(candidates)
    columns: list[Column[_Candidate]] = [
        Column("model", lambda row: row.model_id, "bold"),
        number("chosen", lambda row: percent(propensity(row))),
        number("score", lambda row: percent(row.score)),
        number("interval", lambda row: span(row.interval)),
        number("outcomes", lambda row: f"{samples(row):,}"),
        Column("status", lambda row: row.status),
        Column("reason", lambda row: row.reason, movable=True),
    ]
    if any(row.expected_cost_usd is not None for row in candidates):
        columns.insert(5, number("$/task", lambda row: dollars(row.expected_cost_usd)))
    answer.print_table(columns, candidates)


def print_excluded(answer: Answer, excluded: Sequence[Exclusion]) -> None:
    """Print which candidates were not permitted, if any."""
    if excluded:
        answer.print_line()
        answer.print_table(
            [Column("excluded", lambda row: row.model_id, "bold"), Column("reason", lambda row: row.reason)], excluded
        )


def log_retention(log: LogConfig) -> str:
    """Return which decisions the decision log keeps, and for how long."""
    share = "all" if log.share == 1 else percent(log.share)
    return (
        f"the decision log keeps {share} of the decisions (log.share) for {count(log.keep_days, 'day')} "
        "(log.keep_days); a running host writes them within seconds"
    )


def outcome_cell(decision: LoggedDecision) -> Cell:
    """Return the outcome of a decision, or why there is none."""
    outcome = decision.outcome
    if outcome is None:
        if decision.mode == "observe":
            return "observed only: the host was answered None", "dim"
        if decision.is_overdue(time.time_ns() // 1_000_000):
            return "no outcome for more than an hour", "yellow"
        return "no outcome yet", "dim"
    parts = ["succeeded" if outcome.success else "failed"]
    if outcome.model_id != decision.model_id:
        parts[0] += f" with {outcome.model_id}, a fallback"
    if outcome.timeout:
        parts.append("timed out")
    if outcome.error_kind is not None:
        parts.append(outcome.error_kind)
    parts.append(f"after {(outcome.ended_ms - decision.made_ms) / 1000:,.1f} s")
    if outcome.tokens_used:
        parts.append(f"{short(outcome.tokens_used)} tokens")
    if outcome.cost_nano_usd:
        parts.append(dollars(outcome.cost_usd))
    return ", ".join(parts), "green" if outcome.success else "red"
