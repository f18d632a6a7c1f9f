"""``rank``: rank the models of a task type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import ESTIMATED, ago, count, percent, span, spent_per_success
from modelperf_plugin.values import mean_costs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelperf_plugin.values import RankedModel


_RANKING = (
    Column("model", "bold"), number("score"), number("interval"), number("outcomes"), number("success"),
    number("$/success"), Column("status"), number("last used", overflow=True), Column("reason", overflow=True),
)  # fmt: skip
_RANKING_CSV: Final = (
    "model_id", "score", "low", "high", "status", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd", "last_used", "reason",
)  # fmt: skip


@click.command()
@click.argument("task_type", metavar="TASK")
@click.option(
    "--min-samples", type=click.IntRange(min=1), metavar="N", help="Outcomes a model needs before it is proven."
)
@json_option
@csv_option
@common_options
def rank(common: Common, answer: Answer, task_type: str, min_samples: int | None) -> None:
    """Rank the models of a task type by the configured policy.

    For every model that has outcomes: its score (the estimated probability of success) and the interval in which
    that lies with 95 % certainty; then what was counted: outcomes, the share that succeeded, and the dollars spent
    for each success, failures included.
    """
    empty: dict[str, Any] = {"task_type": task_type, "ranking": []}
    flags = {} if min_samples is None else {"task_types": {task_type: {"ranking": {"min_samples": min_samples}}}}
    with common.reading(answer, flags, **empty) as engine:
        decision = engine.explain(task_type)
        if decision is None:
            unknown_task_type(answer, engine, **empty)
        means = mean_costs(engine.store.tallies.all())
        if answer.as_json:
            answer.print_json(
                store=engine.store.location,
                task_type=task_type,
                mode=decision.mode,
                policy_id=decision.policy_id,
                ranking_strategy=decision.ranking.strategy,
                ranking=[row.as_dict() for row in decision.ranking],
                note=None,
            )
            return
    if answer.as_csv:
        answer.print_csv(_RANKING_CSV, [_record(row) for row in decision.ranking])
        return
    answer.print_line((task_type, "bold"), f": {count(len(decision.ranking), 'model')}, best first")
    answer.print_line(
        (f"ranking {decision.ranking.strategy}, policy {decision.policy_id}, {engine.store.location}", "dim")
    )
    answer.print_line()
    answer.print_table(_RANKING, [_ranking_row(row, means) for row in decision.ranking])
    if any("≈" in spent_per_success(row.tally, means.get(row.model_id)) for row in decision.ranking):
        answer.print_line()
        answer.print_line((ESTIMATED, "dim"))


def _record(row: RankedModel) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {**row.tally.as_dict(), **row.as_dict(), "low": low, "high": high}


def _ranking_row(row: RankedModel, means: Mapping[str, float]) -> list[str]:
    tally = row.tally
    return [
        row.model_id,
        percent(row.score),
        span(row.interval),
        f"{tally.samples:,}",
        percent(tally.success_rate),
        spent_per_success(tally, means.get(row.model_id)),
        row.status,
        ago(tally.last_used),
        row.reason,
    ]
