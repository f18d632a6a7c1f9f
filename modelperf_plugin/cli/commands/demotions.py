"""``demotions``: list the demoted models."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.terminal_text import ago, percent
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import Demotion


_DEMOTIONS = (
    Column("task type", "bold"), Column("model", "bold"), number("since"), Column("until"),
    Column("why", overflow=True),
)  # fmt: skip
_DEMOTIONS_CSV = (
    "task_type", "model_id", "since", "threshold", "evidence", "reason", "ended", "ended_by", "probe_share",
)  # fmt: skip


@click.command()
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option("--all", "all_of_them", is_flag=True, help="Also the demotions that have ended.")
@json_option
@csv_option
@common_options
def demotions(common: Common, answer: Answer, task_type: str | None, all_of_them: bool) -> None:
    """Show who is demoted by evidence, since when, and why."""
    with common.reading(answer, demotions=[]) as engine:
        location = engine.store.location
        kept = engine.store.demotions.all(in_force=not all_of_them)
        found = [each for each in kept if task_type in {None, each.task_type}]
        in_force = Counter(each.task_type for each in kept if each.ended_ms is None)
        rows = [_demotion_row(engine, each, in_force[each.task_type]) for each in found]
        shares = [_probe_share(engine, each, in_force[each.task_type]) for each in found]
    listed = [{**each.as_dict(), "probe_share": share} for each, share in zip(found, shares, strict=True)]
    if answer.as_json:
        answer.print_json(store=location, demotions=listed, note=None)
    elif answer.as_csv:
        answer.print_csv(_DEMOTIONS_CSV, listed)
    elif found:
        answer.print_table(_DEMOTIONS, rows)
    else:
        answer.print_line("nobody is demoted by evidence")


def _probe_share(engine: ModelPerf, each: Demotion, in_force: int) -> float | None:
    """Return on which share of the decisions the model is tried again, if all that are demoted there are offered."""
    if each.ended_ms is not None:
        return None
    return engine.config.policy_for(each.task_type).demotion.probe_share / in_force


def _is_on_trial(engine: ModelPerf, each: Demotion) -> bool:
    from modelperf_plugin.engine.ab_verdicts import on_trial

    exploration = engine.config.policy_for(each.task_type).exploration
    return each.model_id in on_trial(exploration, engine.store.ab_tests.all(each.task_type))


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
