"""``rank``: rank the models of a task type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_argument
from modelperf_plugin.cli.tables import Column, named, number, prose
from modelperf_plugin.cli.tally_columns import print_estimate_note, print_tries_note, time_columns
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.text import (
    ago,
    count,
    first_tries,
    has_later_tries,
    has_scores,
    later_tries,
    percent,
    score,
    span,
    spent_per_success,
)
from modelperf_plugin.values import Durations, RankedModel, Tally, mean_costs
from modelperf_plugin.values.durations import shown as times

_CSV: Final = (
    "model_id", "score", "low", "high", "status", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd", "last_used", "reason",
    "later_successes", "later_failures", "graded", "mean_score",
    "median_seconds", "p95_seconds",
)  # fmt: skip


@command("code-review", "code-review --json")
@task_argument
@click.option(
    "--min-samples", type=click.IntRange(min=1), metavar="N", help="Outcomes a model needs before it is proven."
)
@json_option
@csv_option
@common_options
def rank(common: Common, answer: Answer, task_type: str, min_samples: int | None) -> None:
    """Rank the models of a task type by the configured policy.

    For every model with outcomes, shows the score (the estimated probability of success) with its 95 % interval, then
    the counts: outcomes, success rate, and dollars spent per success, failures included.
    """
    from modelperf_plugin.analysis.views.timings import timings_of

    empty: dict[str, Any] = {"task_type": task_type, "ranking": []}
    flags = {} if min_samples is None else {"task_types": {task_type: {"ranking": {"min_samples": min_samples}}}}
    with common.reading(answer, flags, **empty) as engine:
        decision = engine.explain(task_type)
        if decision is None:
            unknown_task_type(answer, engine, **empty)
        timings = timings_of(engine, task_type)
        location, means = engine.store.location, mean_costs(engine.store.tallies.all())
    ranking = decision.ranking
    timed = {row.model_id: times(timings.get((task_type, row.model_id))) for row in ranking}
    if answer.as_json:
        answer.print_json(
            store=location, task_type=task_type, mode=decision.mode, policy_id=decision.policy_id,
            ranking_strategy=ranking.strategy, ranking=[{**row.as_dict(), **timed[row.model_id]} for row in ranking],
            note=None,
        )  # fmt: skip
    elif answer.as_csv:
        answer.print_csv(_CSV, [{**_record(row), **timed[row.model_id]} for row in ranking])
    else:
        answer.print_line((task_type, "bold"), f": {count(len(ranking), 'model')}, best first")
        answer.print_line((f"ranking {ranking.strategy}, policy {decision.policy_id}, {location}", "dim"))
        answer.print_line()
        tallies = [row.tally for row in ranking]
        answer.print_table(_columns(means, tallies, timings), ranking)
        print_estimate_note(answer, tallies, means)
        print_tries_note(answer, tallies)


def _columns(
    means: Mapping[str, float], tallies: Sequence[Tally], timings: Mapping[tuple[str, str], Durations]
) -> tuple[Column[RankedModel], ...]:
    tries: tuple[Column[RankedModel], ...] = (
        number("first tries", lambda row: first_tries(row.tally)),
        number("later tries", lambda row: later_tries(row.tally)),
    )
    scores: tuple[Column[RankedModel], ...] = (number("mean score", lambda row: score(row.tally.mean_score)),)
    timed: tuple[Column[RankedModel], ...] = time_columns(timings, lambda row: row.tally[:2])
    return (
        named("model", lambda row: row.model_id, "bold"),
        number("score", lambda row: percent(row.score)),
        number("interval", lambda row: span(row.interval)),
        number("outcomes", lambda row: f"{row.tally.samples:,}"),
        number("success", lambda row: percent(row.tally.success_rate)),
        *(scores if has_scores(tallies) else ()),
        *(tries if has_later_tries(tallies) else ()),
        number("$/success", lambda row: spent_per_success(row.tally, means.get(row.model_id))),
        *timed,
        Column("status", lambda row: row.status),
        number("last used", lambda row: ago(row.tally.last_used), optional=True),
        prose("reason", lambda row: row.reason),
    )


def _record(row: RankedModel) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {**row.tally.as_dict(), **row.as_dict(), "low": low, "high": high}
