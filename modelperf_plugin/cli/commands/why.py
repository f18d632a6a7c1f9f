"""``why``: show why a decision was made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_view import (
    log_retention,
    print_candidates,
    print_excluded,
    print_plan,
    print_tries,
    task_cell,
)
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.text import ago, moment_text, percent

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.tasks import LoggedTask
    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import LoggedDecision

_MIN_PREFIX_LENGTH: Final = 6
_MAX_LISTED_MATCHES: Final = 5


@command("", "69f14e7557f2")
@click.argument("decision_id", metavar="[DECISION_ID]", required=False, shell_complete=completing.decision_ids)
@json_option
@common_options
def why(common: Common, answer: Answer, decision_id: str | None) -> None:
    """Show why a decision was made, and how the task ended.

    DECISION_ID is the id of the Decision that the host got; its first six or more characters are enough. Without it,
    the newest decision is shown.
    """
    from modelperf_plugin.analysis.views.tasks import task_of

    with common.reading(answer, decision=None) as engine:
        location = engine.store.location
        matches = _find(engine, decision_id)
        if len(matches) != 1:
            answer.exit_with_note(_note(decision_id, matches, engine.config.log), store=location, decision=None)
        (decision,) = matches
        task = task_of(engine.store.decisions, decision)
    if answer.as_json:
        as_json = {**decision.as_dict(), "task": task.as_dict(time.time_ns() // 1_000_000)}
        answer.print_json(store=location, decision=as_json, note=None)
    else:
        _show(answer, decision, task, location)


def _find(engine: ModelPerf, decision_id: str | None) -> list[LoggedDecision]:
    if decision_id is None:
        return engine.store.decisions.newest(limit=1)
    exact = engine.store.decisions.get(decision_id)
    if exact is not None:
        return [exact]
    if len(decision_id) < _MIN_PREFIX_LENGTH:
        return []
    return engine.store.decisions.starting_with(decision_id, _MAX_LISTED_MATCHES + 1)


def _note(decision_id: str | None, matches: list[LoggedDecision], log: LogConfig) -> str:
    if decision_id is None:
        return f"no decisions in the log; {log_retention(log)}"
    if matches:
        named = ", ".join(decision.decision_id for decision in matches[:_MAX_LISTED_MATCHES])
        more = " …" if len(matches) > _MAX_LISTED_MATCHES else ""
        return f"several decisions start with {decision_id!r}: {named}{more}; give more characters"
    if len(decision_id) < _MIN_PREFIX_LENGTH:
        return f"{decision_id!r} is too short: give at least {_MIN_PREFIX_LENGTH} characters of the id"
    return f"no decision {decision_id!r} in the log; {log_retention(log)}"


def _show(answer: Answer, decision: LoggedDecision, task: LoggedTask, location: str) -> None:
    from modelperf_plugin.analysis.views.tasks import steps_of

    answer.print_line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.print_line(decision.reason)
    moment = f"{moment_text(decision.created_at)} ({ago(decision.created_at)})"
    answer.print_line((f"decision {decision.decision_id}, made {moment}", "dim"))
    answer.print_line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.print_line()
    answer.print_facts([("outcome", task_cell(task, decision)), ("chosen", percent(decision.propensity))])
    if len(task.tries) > 1 or len(task.decisions) > 1:
        print_tries(answer, task, decision)
    if len(decision.plan) > 1:
        print_plan(answer, steps_of(decision, task))
    answer.print_line()
    causes = {row.model_id: row.cause for row in decision.candidates if row.cause is not None}
    print_candidates(answer, decision.candidates, lambda row: row.propensity, lambda row: row.samples, causes)
    print_excluded(answer, decision.excluded)
