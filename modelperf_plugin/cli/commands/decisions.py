"""``decisions``: list the latest decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.decision_view import log_retention, outcome_cell
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_option
from modelperf_plugin.text import ago, count, percent

if TYPE_CHECKING:
    from modelperf_plugin.store import LoggedDecision

_COLUMNS: Final[tuple[Column[LoggedDecision], ...]] = (
    Column("decision", lambda row: row.decision_id, "dim"),
    number("made", lambda row: ago(row.created_at)),
    Column("task type", lambda row: row.task_type),
    Column("model", lambda row: row.model_id, "bold"),
    number("chosen", lambda row: percent(row.propensity)),
    Column("outcome", outcome_cell),
    Column("reason", lambda row: row.reason, movable=True),
)
_CSV: Final = (
    "decision_id", "created_at", "task_type", "model_id", "propensity", "explored", "mode", "policy_id", "reason",
    "outcome_model_id", "ended_at", "success", "timeout", "tokens_used", "cost_usd", "error_kind",
)  # fmt: skip


@click.command()
@task_option
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), metavar="N", default=20, show_default=True,
    help="How many decisions.",
)  # fmt: skip
@json_option
@csv_option
@common_options
def decisions(common: Common, answer: Answer, task_type: str | None, limit: int) -> None:
    """Show the latest decisions and their outcomes."""
    empty: dict[str, Any] = {"decisions": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        latest = engine.store.decisions.newest(task_type, limit=limit)
        if not latest:
            of = "" if task_type is None else f" of task type {task_type!r}"
            note = f"no decisions{of} in the log; {log_retention(engine.config.log)}"
            answer.exit_with_note(note, store=location, **empty)
    if answer.as_json:
        answer.print_json(store=location, decisions=[decision.as_dict() for decision in latest], note=None)
    elif answer.as_csv:
        answer.print_csv(_CSV, map(_record, latest))
    else:
        answer.print_line((count(len(latest), "decision"), "bold"), f" in {location}, newest first")
        answer.print_line()
        answer.print_table(_COLUMNS, latest)


def _record(decision: LoggedDecision) -> dict[str, Any]:
    outcome = {} if decision.outcome is None else decision.outcome.as_dict()
    return {**outcome, "outcome_model_id": outcome.get("model_id"), **decision.as_dict()}
