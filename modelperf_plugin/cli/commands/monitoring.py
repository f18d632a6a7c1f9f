"""``changes``, ``demotions`` and what an operator may do about them: ``announce`` and ``reset``."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, pass_common
from modelperf_plugin.cli.terminal_text import ago, count, percent
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import Change, Demotion

_CHANGES = (
    Column("model", "bold"), Column("change"), number("since"), number("noticed"), number("evidence"),
)  # fmt: skip
_DEMOTIONS = (
    Column("task type", "bold"), Column("model", "bold"), number("since"), Column("until"), Column("why", aside=True),
)  # fmt: skip
_CHANGES_CSV = ("model_id", "direction", "since", "noticed", "evidence")
_DEMOTIONS_CSV = (
    "task_type", "model_id", "since", "threshold", "evidence", "reason", "ended", "ended_by", "probe_share",
)  # fmt: skip
_WORDS = {"up": "does better", "down": "does worse", "announced": "announced by an operator"}


@click.command()
@click.option("--model", "model_id", metavar="MODEL", help="Only this model.")
@json_option
@csv_option
@common_options
@pass_common
def changes(common: Common, model_id: str | None, as_json: bool, as_csv: bool) -> None:
    """Show which models have changed, and since when."""
    answer = Answer("changes", as_json=as_json, as_csv=as_csv)
    with common.reading(answer, changes=[]) as engine:
        location = engine.store.location
        found = [each for each in engine.store.monitoring.changes() if model_id in {None, each.model_id}]
    if as_json:
        answer.json(store=location, changes=[each.as_dict() for each in found], note=None)
    elif as_csv:
        answer.csv(_CHANGES_CSV, [each.as_dict() for each in found])
    elif found:
        answer.table(_CHANGES, [_change_row(each) for each in found])
    else:
        answer.line("no model has changed, as far as the outcomes show")


@click.command()
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option("--all", "all_of_them", is_flag=True, help="Also the demotions that have ended.")
@json_option
@csv_option
@common_options
@pass_common
def demotions(common: Common, task_type: str | None, all_of_them: bool, as_json: bool, as_csv: bool) -> None:
    """Show who is demoted by evidence, since when, and why."""
    answer = Answer("demotions", as_json=as_json, as_csv=as_csv)
    with common.reading(answer, demotions=[]) as engine:
        location = engine.store.location
        kept = engine.store.monitoring.demotions(in_force=not all_of_them)
        found = [each for each in kept if task_type in {None, each.task_type}]
        in_force = Counter(each.task_type for each in kept if each.ended_ms is None)
        rows = [_demotion_row(engine, each, in_force[each.task_type]) for each in found]
        shares = [_probe_share(engine, each, in_force[each.task_type]) for each in found]
    listed = [{**each.as_dict(), "probe_share": share} for each, share in zip(found, shares, strict=True)]
    if as_json:
        answer.json(store=location, demotions=listed, note=None)
    elif as_csv:
        answer.csv(_DEMOTIONS_CSV, listed)
    elif found:
        answer.table(_DEMOTIONS, rows)
    else:
        answer.line("nobody is demoted by evidence")


@click.command()
@click.argument("model_id", metavar="MODEL")
@common_options
@pass_common
def announce(common: Common, model_id: str) -> None:
    """Say that a model has changed: its old outcomes count no more.

    They are kept, but are evidence no more, and demotions that rest on them are ended. What is expected of the model
    now is what the other models let expect.
    """
    answer = Answer("announce", as_json=False)
    with common.writing(answer) as engine:
        if all(tally.model_id != model_id for tally in engine.store.tallies()):
            answer.nothing(f"no outcomes of a model {model_id!r}: there is nothing to forget")
        now_ms = time.time_ns() // 1_000_000
        newest = engine.store.monitoring.last_event_id()
        monitoring = engine.store.monitoring
        monitoring.add_change(model_id, "announced", (newest, newest), (now_ms, now_ms), None, {})
        ended = [
            each.task_type
            for each in monitoring.demotions(in_force=True)
            if each.model_id == model_id and _end(engine, each.task_type, model_id)
        ]
    answer.line(f"{model_id} has changed: what was recorded of it before is kept, but is evidence no more")
    if ended:
        answer.line(f"it is back on {', '.join(sorted(ended))}, where it was demoted")


@click.group()
def reset() -> None:
    """Take back what the plugin has concluded."""


@reset.command()
@click.argument("task_type", metavar="TASK")
@click.argument("model_id", metavar="MODEL")
@common_options
@pass_common
def demotion(common: Common, task_type: str, model_id: str) -> None:
    """Put a demoted model back on one task type; the evidence against it begins anew."""
    answer = Answer("reset demotion", as_json=False)
    with common.writing(answer) as engine:
        if not _end(engine, task_type, model_id):
            answer.nothing(f"{model_id!r} is not demoted on {task_type!r}")
    answer.line(f"{model_id} is back on {task_type}")


@reset.command(name="demotions")
@common_options
@pass_common
def all_demotions(common: Common) -> None:
    """Put all demoted models back."""
    answer = Answer("reset demotions", as_json=False)
    with common.writing(answer) as engine:
        in_force = engine.store.monitoring.demotions(in_force=True)
        if not in_force:
            answer.nothing("nobody is demoted by evidence")
        ended = sum(_end(engine, each.task_type, each.model_id) for each in in_force)
    answer.line(f"{count(ended, 'demotion')} ended")


def _end(engine: ModelPerf, task_type: str, model_id: str) -> bool:
    now_ms = time.time_ns() // 1_000_000
    return engine.store.monitoring.end_demotion(task_type, model_id, now_ms, "operator")


def _probe_share(engine: ModelPerf, each: Demotion, in_force: int) -> float | None:
    """Return on which share of the decisions the model is tried again, if all that are demoted there are offered."""
    if each.ended_ms is not None:
        return None
    return engine.config.policy_for(each.task_type).demotion.probe_share / in_force


def _is_on_trial(engine: ModelPerf, each: Demotion) -> bool:
    from modelperf_plugin.engine.ab_verdicts import on_trial

    exploration = engine.config.policy_for(each.task_type).exploration
    return each.model_id in on_trial(exploration, engine.store.ab_tests.tests(each.task_type))


def _change_row(change: Change) -> list[str]:
    evidence = "-" if change.evidence is None else f"{change.evidence:,.0f} to 1"
    since, noticed = from_milliseconds(change.since_ms), from_milliseconds(change.noticed_ms)
    return [change.model_id, _WORDS[change.direction], ago(since), ago(noticed), evidence]


def _demotion_row(engine: ModelPerf, each: Demotion, in_force: int) -> list[str]:
    share = _probe_share(engine, each, in_force)
    demotion = engine.config.policy_for(each.task_type).demotion
    until = f"reinstated by evidence when fresh outcomes show that it is above the bar; tried again on {percent(share)}"
    if each.ended_ms is not None:
        until = f"{ago(from_milliseconds(each.ended_ms))}, by {each.ended_by}"
    elif demotion.alpha == 0:
        until = f"not heeded: demotion.strategy is {demotion.strategy}"
    elif _is_on_trial(engine, each):
        until = "not heeded while its A/B test runs"
    return [each.task_type, each.model_id, ago(from_milliseconds(each.since_ms)), until, each.reason]
