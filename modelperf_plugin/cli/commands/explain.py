"""``explain``: show which model would be chosen now, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_view import show_candidates, show_excluded
from modelperf_plugin.cli.options import Common, common_options, json_option, split_names
from modelperf_plugin.cli.task_types import task_type_note, unknown_task_type

if TYPE_CHECKING:
    from modelperf_plugin.values import Decision

_NOT_APPLIED = {
    "observe": "mode is observe: hosts are answered None; this is what would be chosen",
    "off": "mode is off: hosts are answered None, nothing is recorded; this would be chosen",
}


@click.command()
@click.argument("task_type", metavar="TASK")
@click.option(
    "--candidates",
    metavar="A,B,C",
    multiple=True,
    help="The models on offer, separated by commas; may be given several times. Default: all with outcomes.",
)
@click.option("--pin", metavar="MODEL", help="As if the host insisted on this model.")
@click.option(
    "--exclude", metavar="A,B", multiple=True, help="As if the host had tried these already; like --candidates."
)
@click.option("--unit-id", metavar="ID", help="Whom or what the task is for: decides the side in an A/B test.")
@click.option("--max-cost-usd", metavar="USD", type=float, help="The most that the task may cost.")
@json_option
@common_options
def explain(
    common: Common,
    answer: Answer,
    /,
    task_type: str,
    candidates: tuple[str, ...],
    exclude: tuple[str, ...],
    **context: Any,
) -> None:
    """Say which model would be chosen now, and why.

    The same code decides as in a host; shown is the most likely choice. Nothing is drawn, nothing is written.
    """
    empty: dict[str, Any] = {"task_type": task_type, "decision": None}
    offered, tried = split_names(candidates), split_names(exclude)
    with common.reading(answer, **empty) as engine:
        known = engine.store.tallies.of(task_type)
        if not known and not candidates:
            unknown_task_type(answer, engine, **empty)
        decision = engine.explain(task_type, offered if candidates else None, {**context, "exclude": tried})
        if decision is None:
            answer.exit_with_note("no candidate is left: all are excluded or over the budget", **empty)
        note = None if known else task_type_note(engine, task_type)
        location = engine.store.location
    if answer.as_json:
        answer.print_json(store=location, task_type=task_type, decision=decision.as_dict(), note=note)
    else:
        _show(answer, decision, note, location)


def _show(answer: Answer, decision: Decision, note: str | None, location: str) -> None:
    answer.print_line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.print_line(decision.reason)
    for warning in (note, _NOT_APPLIED.get(decision.mode)):
        if warning is not None:
            answer.print_line((warning, "yellow"))
    answer.print_line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.print_line()
    shares = decision.propensities
    show_candidates(answer, [(row, shares[row.model_id], row.tally.samples) for row in decision.ranking])
    show_excluded(answer, decision.excluded)
