"""``why`` and ``decisions``: what was decided, from what, and what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.commands.rank import show_candidates, show_excluded
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, pass_common
from modelperf_plugin.cli.terminal_text import ago, count, dollars, moment_text, percent, short

if TYPE_CHECKING:
    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import LoggedDecision

_DECISIONS = (
    Column("decision", "dim"), number("made"), Column("task type"), Column("model", "bold"), number("chosen"),
    Column("what came of it"), Column("reason", aside=True),
)  # fmt: skip
_DECISIONS_CSV: Final = (
    "decision_id", "created_at", "task_type", "model_id", "propensity", "explored", "mode", "policy_id", "reason",
    "outcome_model_id", "ended_at", "success", "timeout", "tokens_used", "cost_usd", "error_kind",
)  # fmt: skip
_SHORTEST_PREFIX: Final = 6
_MOST_NAMED: Final = 5


@click.command()
@click.argument("decision_id", metavar="DECISION_ID")
@json_option
@common_options
@pass_common
def why(common: Common, decision_id: str, as_json: bool) -> None:
    """Say why a decision was made, and what came of it.

    DECISION_ID is the id of the Decision that a host was given; its first characters are enough, from six on.
    """
    answer = Answer("why", as_json=as_json)
    with common.reading(answer, decision=None) as engine:
        location = engine.store.location
        found = _find(engine, decision_id)
        if len(found) != 1:
            note = _ambiguous(decision_id, found) if found else _unknown(decision_id, engine.config.log)
            answer.nothing(note, store=location, decision=None)
        (decision,) = found
    if as_json:
        answer.json(store=location, decision=decision.as_dict(), note=None)
    else:
        _show(answer, decision, location)


@click.command()
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=1_000_000), metavar="N", default=20, show_default=True,
    help="How many.",
)  # fmt: skip
@json_option
@csv_option
@common_options
@pass_common
def decisions(common: Common, task_type: str | None, limit: int, as_json: bool, as_csv: bool) -> None:
    """Show the latest decisions and what came of them."""
    answer = Answer("decisions", as_json=as_json, as_csv=as_csv)
    empty: dict[str, Any] = {"decisions": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        found = engine.store.decisions(task_type, limit=limit)
        if not found:
            what = "no decisions" if task_type is None else f"no decisions of task type {task_type!r}"
            answer.nothing(f"{what} are kept; {_how_long(engine.config.log)}", store=location, **empty)
    if as_json:
        answer.json(store=location, decisions=[decision.as_dict() for decision in found], note=None)
        return
    if as_csv:
        answer.csv(_DECISIONS_CSV, [_record(decision) for decision in found])
        return
    answer.line((count(len(found), "decision"), "bold"), f" in {location}, the newest first")
    answer.line()
    answer.table(_DECISIONS, [_row(decision) for decision in found])


def _find(engine: ModelPerf, decision_id: str) -> list[LoggedDecision]:
    exact = engine.store.decision(decision_id)
    if exact is not None:
        return [exact]
    if len(decision_id) < _SHORTEST_PREFIX:
        return []
    return engine.store.decisions_like(decision_id, _MOST_NAMED + 1)


def _unknown(decision_id: str, log: LogConfig) -> str:
    if len(decision_id) < _SHORTEST_PREFIX:
        return f"{decision_id!r} is too short: give {_SHORTEST_PREFIX} characters of the id at least"
    return f"no decision {decision_id!r} is known; {_how_long(log)}"


def _ambiguous(decision_id: str, found: list[LoggedDecision]) -> str:
    named = ", ".join(decision.decision_id for decision in found[:_MOST_NAMED])
    more = " …" if len(found) > _MOST_NAMED else ""
    return f"several decisions start with {decision_id!r}: {named}{more}; give more of it"


def _how_long(log: LogConfig) -> str:
    share = "all" if log.share == 1 else percent(log.share)
    return (
        f"{share} of the decisions are kept (log.share), for {count(log.keep_days, 'day')} (log.keep_days), "
        "and a running host writes them within seconds"
    )


def _show(answer: Answer, decision: LoggedDecision, location: str) -> None:
    answer.line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.line(decision.reason)
    made = f"{moment_text(decision.created_at)} ({ago(decision.created_at)})"
    answer.line((f"decision {decision.decision_id}, made {made}", "dim"))
    answer.line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.line()
    answer.facts([("what came of it", _what_came(decision)), ("chosen", percent(decision.propensity))])
    answer.line()
    show_candidates(answer, [(row, row.propensity, row.samples) for row in decision.candidates])
    show_excluded(answer, decision.excluded)


def _row(decision: LoggedDecision) -> list[Cell]:
    return [
        decision.decision_id,
        ago(decision.created_at),
        decision.task_type,
        decision.model_id,
        percent(decision.propensity),
        _what_came(decision),
        decision.reason,
    ]


def _record(decision: LoggedDecision) -> dict[str, Any]:
    outcome = {} if decision.outcome is None else decision.outcome.as_dict()
    return {**outcome, "outcome_model_id": outcome.get("model_id"), **decision.as_dict()}


def _what_came(decision: LoggedDecision) -> Cell:
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
