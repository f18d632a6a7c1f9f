"""``explain``: show which model would be chosen now, and why."""

from __future__ import annotations

from typing import Any, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_view import print_candidates, print_excluded, print_plan
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    json_option,
    model_option,
    models_option,
    split_names,
    task_argument,
)
from modelperf_plugin.cli.task_types import task_type_note, unknown_task_type
from modelperf_plugin.values import Decision

_MODE_WARNINGS: Final = {
    "observe": "mode is observe: hosts are answered None; this is what would be chosen",
    "off": "mode is off: hosts are answered None, nothing is recorded; this would be chosen",
}


@command("code-review", "code-review --candidates gpt-4o,claude-opus --max-cost-usd 0.05")
@task_argument
@models_option(
    "--candidates", metavar="A,B,C",
    description="Candidates, separated by commas; may be repeated. Default: all models with outcomes.",
)  # fmt: skip
@model_option("--pin", description="Decide as if the host had pinned this model.")
@models_option("--exclude", metavar="A,B", description="Decide as if the host had excluded these; like --candidates.")
@click.option("--unit-id", metavar="ID", help="Unit of the task, which decides its side in an A/B test.")
@click.option("--max-cost-usd", metavar="USD", type=float, help="Budget of the task.")
@click.option("--max-seconds", metavar="S", type=float, help="Time that the task has, all its tries together.")
@model_option("--current-model", description="Model that the conversation has used so far.")
@click.option("--attempts", metavar="N", type=int, help="How many tries the host makes for the task.")
@click.option(
    "--retry-of", metavar="ID", shell_complete=completing.decision_ids, help="An earlier decision for the same task."
)
@json_option
@common_options
def explain(
    common: Common, answer: Answer, /, task_type: str, candidates: tuple[str, ...], exclude: tuple[str, ...],
    **context: Any,
) -> None:  # fmt: skip
    """Explain which model would be chosen now, and why.

    Runs the same code as a host and shows the most likely choice. Draws no random numbers and writes nothing.
    """
    empty: dict[str, Any] = {"task_type": task_type, "decision": None}
    with common.reading(answer, **empty) as engine:
        evidence = engine.store.tallies.of(task_type)
        if not evidence and not candidates:
            unknown_task_type(answer, engine, **empty)
        offered = split_names(candidates) if candidates else None
        decision = engine.explain(task_type, offered, {**context, "exclude": split_names(exclude)})
        if decision is None:
            used_up = [f"; {state.describe()}" for state in engine.budgets() if state.is_used_up]
            why = "no candidate is left: all are excluded or over the budget" + "".join(used_up)
            answer.exit_with_note(why, **empty)
        note = None if evidence else task_type_note(engine, task_type)
        location = engine.store.location
    if answer.as_json:
        answer.print_json(store=location, task_type=task_type, decision=decision.as_dict(), note=note)
    else:
        _show(answer, decision, note, location)


def _show(answer: Answer, decision: Decision, note: str | None, location: str) -> None:
    from modelperf_plugin.analysis.views.tasks import Step

    answer.print_line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.print_line(decision.reason)
    for warning in (note, _MODE_WARNINGS.get(decision.mode)):
        if warning is not None:
            answer.print_line((warning, "yellow"))
    answer.print_line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.print_line()
    propensities = decision.propensities
    causes = dict(zip(decision.ranking.model_ids, decision.causes, strict=False))
    print_candidates(
        answer, decision.ranking, lambda row: propensities[row.model_id], lambda row: row.tally.samples, causes
    )
    if len(decision.plan) > 1:
        print_plan(answer, [Step(planned, None) for planned in decision.plan], is_logged=False)
    print_excluded(answer, decision.excluded)
