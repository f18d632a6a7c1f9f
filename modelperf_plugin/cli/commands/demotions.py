"""``demotions``: list the demoted models."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_option
from modelperf_plugin.cli.tables import Column, named, number, prose
from modelperf_plugin.text import ago, percent
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import Demotion


class _Row(NamedTuple):
    demotion: Demotion
    probe_share: float | None
    """Share of the decisions that probe the model if all demoted models are offered; None once it is reinstated."""
    until: str

    def as_dict(self) -> dict[str, Any]:
        return {**self.demotion.as_dict(), "probe_share": self.probe_share}


_COLUMNS: Final[tuple[Column[_Row], ...]] = (
    named("task type", lambda row: row.demotion.task_type, "bold"),
    named("model", lambda row: row.demotion.model_id, "bold"),
    number("since", lambda row: ago(from_milliseconds(row.demotion.since_ms))),
    Column("until", lambda row: row.until),
    prose("why", lambda row: row.demotion.reason),
)
_CSV: Final = (
    "task_type", "model_id", "since", "threshold", "evidence", "reason", "ended", "ended_by", "probe_share",
)  # fmt: skip


@command("", "--all")
@task_option
@click.option("--all", "include_ended", is_flag=True, help="Include demotions that have ended.")
@json_option
@csv_option
@common_options
def demotions(common: Common, answer: Answer, task_type: str | None, include_ended: bool) -> None:
    """Show which models are demoted by evidence, since when, and why."""
    with common.reading(answer, demotions=[]) as engine:
        location = engine.store.location
        listed = engine.store.demotions.all(in_force=not include_ended)
        in_force = Counter(demotion.task_type for demotion in listed if demotion.ended_ms is None)
        rows = [
            _row(engine, demotion, in_force[demotion.task_type])
            for demotion in listed
            if task_type in {None, demotion.task_type}
        ]
    none = "no model is demoted by evidence"
    answer.print_rows("demotions", _COLUMNS, rows, csv_columns=_CSV, none=none, store=location)


def _row(engine: ModelPerf, demotion: Demotion, in_force: int) -> _Row:
    from modelperf_plugin.engine.ab_verdicts import on_trial

    if demotion.ended_ms is not None:
        return _Row(demotion, None, f"{ago(from_milliseconds(demotion.ended_ms))}, by {demotion.ended_by}")
    configured = engine.config.policy_for(demotion.task_type)
    policy = configured.demotion
    share = policy.probe_share / in_force
    if policy.alpha == 0:
        until = f"not applied: demotion.strategy is {policy.strategy}"
    elif demotion.model_id in on_trial(configured.exploration, engine.store.ab_tests.all(demotion.task_type)):
        until = "not applied while its A/B test runs"
    else:
        until = f"reinstated once new outcomes show that it is above the threshold; probed on {percent(share)}"
    return _Row(demotion, share, until)
