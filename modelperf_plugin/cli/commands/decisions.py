"""``decisions``: list the latest decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.decision_view import log_retention, outcome_cell
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.terminal_text import ago, count, percent

if TYPE_CHECKING:
    from modelperf_plugin.store import LoggedDecision

_DECISIONS = (
    Column("decision", "dim"), number("made"), Column("task type"), Column("model", "bold"), number("chosen"),
    Column("what came of it"), Column("reason", overflow=True),
)  # fmt: skip
_DECISIONS_CSV: Final = (
    "decision_id", "created_at", "task_type", "model_id", "propensity", "explored", "mode", "policy_id", "reason",
    "outcome_model_id", "ended_at", "success", "timeout", "tokens_used", "cost_usd", "error_kind",
)  # fmt: skip


@click.command()
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), metavar="N", default=20, show_default=True,
    help="How many.",
)  # fmt: skip
@json_option
@csv_option
@common_options
def decisions(common: Common, answer: Answer, task_type: str | None, limit: int) -> None:
    """Show the latest decisions and what came of them."""
    empty: dict[str, Any] = {"decisions": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        found = engine.store.decisions.newest(task_type, limit=limit)
        if not found:
            what = "no decisions" if task_type is None else f"no decisions of task type {task_type!r}"
            answer.exit_with_note(f"{what} are kept; {log_retention(engine.config.log)}", store=location, **empty)
    if answer.as_json:
        answer.print_json(store=location, decisions=[decision.as_dict() for decision in found], note=None)
        return
    if answer.as_csv:
        answer.print_csv(_DECISIONS_CSV, [_record(decision) for decision in found])
        return
    answer.print_line((count(len(found), "decision"), "bold"), f" in {location}, the newest first")
    answer.print_line()
    answer.print_table(_DECISIONS, [_row(decision) for decision in found])


def _row(decision: LoggedDecision) -> list[Cell]:
    return [
        decision.decision_id,
        ago(decision.created_at),
        decision.task_type,
        decision.model_id,
        percent(decision.propensity),
        outcome_cell(decision),
        decision.reason,
    ]


def _record(decision: LoggedDecision) -> dict[str, Any]:
    outcome = {} if decision.outcome is None else decision.outcome.as_dict()
    return {**outcome, "outcome_model_id": outcome.get("model_id"), **decision.as_dict()}
