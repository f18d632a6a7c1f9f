"""``decisions``: list the latest decisions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_view import log_retention, task_cell
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_option
from modelperf_plugin.cli.tables import Column, named, number
from modelperf_plugin.text import ago, count, percent

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.tasks import DecisionRow

_COLUMNS: Final[tuple[Column[DecisionRow], ...]] = (
    named("decision", lambda row: row.decision.decision_id, "dim"),
    number("made", lambda row: ago(row.decision.created_at)),
    named("task type", lambda row: row.decision.task_type),
    named("model", lambda row: row.decision.model_id, "bold"),
    number("chosen", lambda row: percent(row.decision.propensity), optional=True),
    Column("outcome", lambda row: task_cell(row.task, row.decision)),
    Column("reason", lambda row: row.decision.reason, optional=True),
)
_CSV: Final = (
    "decision_id", "created_at", "task_type", "model_id", "propensity", "explored", "mode", "policy_id", "reason",
    "outcome_model_id", "ended_at", "success", "timeout", "tokens_used", "cost_usd", "error_kind", "duration_seconds",
    "retry_of", "attempt", "task_state", "task_tries", "task_solved_by", "task_tokens_used", "task_cost_usd",
    "task_duration_seconds",
)  # fmt: skip


@command("", "--task code-review --limit 50")
@task_option
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), metavar="N", default=20, show_default=True,
    help="How many decisions.",
)  # fmt: skip
@json_option
@csv_option
@common_options
def decisions(common: Common, answer: Answer, task_type: str | None, limit: int) -> None:
    """Show the latest decisions, and how their tasks ended."""
    from modelperf_plugin.analysis.views.tasks import with_tasks

    empty: dict[str, Any] = {"decisions": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        latest = engine.store.decisions.newest(task_type, limit=limit)
        if not latest:
            of = "" if task_type is None else f" of task type {task_type!r}"
            note = f"no decisions{of} in the log; {log_retention(engine.config.log)}"
            answer.exit_with_note(note, store=location, **empty)
        rows = with_tasks(engine.store.decisions, latest)
    if answer.as_json:
        answer.print_json(store=location, decisions=[_as_dict(row) for row in rows], note=None)
    elif answer.as_csv:
        answer.print_csv(_CSV, map(_record, rows))
    else:
        answer.print_line((count(len(latest), "decision"), "bold"), f" in {location}, newest first")
        answer.print_line()
        answer.print_table(_COLUMNS, rows)


def _as_dict(row: DecisionRow) -> dict[str, Any]:
    return {**row.decision.as_dict(), "task": row.task.as_dict(time.time_ns() // 1_000_000)}


def _record(row: DecisionRow) -> dict[str, Any]:
    record = _as_dict(row)
    outcome, task = record["outcome"] or {}, record["task"]
    flat = {f"task_{key}": value for key, value in {**task, "tries": len(task["tries"])}.items()}
    return {**outcome, "outcome_model_id": outcome.get("model_id"), **record, **flat}
