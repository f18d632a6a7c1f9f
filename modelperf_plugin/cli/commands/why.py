"""``why``: show why a decision was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.cli.terminal_text import ago, moment_text, percent

if TYPE_CHECKING:
    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import LoggedDecision
from modelperf_plugin.cli.decision_view import log_retention, outcome_cell, show_candidates, show_excluded

_SHORTEST_PREFIX: Final = 6
_MOST_NAMED: Final = 5


@click.command()
@click.argument("decision_id", metavar="DECISION_ID")
@json_option
@common_options
def why(common: Common, answer: Answer, decision_id: str) -> None:
    """Say why a decision was made, and what came of it.

    DECISION_ID is the id of the Decision that a host was given; its first characters are enough, from six on.
    """
    with common.reading(answer, decision=None) as engine:
        location = engine.store.location
        found = _find(engine, decision_id)
        if len(found) != 1:
            note = _ambiguous(decision_id, found) if found else _unknown(decision_id, engine.config.log)
            answer.exit_with_note(note, store=location, decision=None)
        (decision,) = found
    if answer.as_json:
        answer.print_json(store=location, decision=decision.as_dict(), note=None)
    else:
        _show(answer, decision, location)


def _find(engine: ModelPerf, decision_id: str) -> list[LoggedDecision]:
    exact = engine.store.decisions.get(decision_id)
    if exact is not None:
        return [exact]
    if len(decision_id) < _SHORTEST_PREFIX:
        return []
    return engine.store.decisions.starting_with(decision_id, _MOST_NAMED + 1)


def _unknown(decision_id: str, log: LogConfig) -> str:
    if len(decision_id) < _SHORTEST_PREFIX:
        return f"{decision_id!r} is too short: give {_SHORTEST_PREFIX} characters of the id at least"
    return f"no decision {decision_id!r} is known; {log_retention(log)}"


def _ambiguous(decision_id: str, found: list[LoggedDecision]) -> str:
    named = ", ".join(decision.decision_id for decision in found[:_MOST_NAMED])
    more = " …" if len(found) > _MOST_NAMED else ""
    return f"several decisions start with {decision_id!r}: {named}{more}; give more of it"


def _show(answer: Answer, decision: LoggedDecision, location: str) -> None:
    answer.print_line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.print_line(decision.reason)
    made = f"{moment_text(decision.created_at)} ({ago(decision.created_at)})"
    answer.print_line((f"decision {decision.decision_id}, made {made}", "dim"))
    answer.print_line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.print_line()
    answer.print_facts([("what came of it", outcome_cell(decision)), ("chosen", percent(decision.propensity))])
    answer.print_line()
    show_candidates(answer, [(row, row.propensity, row.samples) for row in decision.candidates])
    show_excluded(answer, decision.excluded)
