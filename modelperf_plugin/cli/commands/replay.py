"""``replay``: judge a policy on recorded outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    attempts_option,
    common_options,
    json_option,
    models_option,
    seed_option,
    split_names,
)
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.cli.tables import Cell, Column, named, number
from modelperf_plugin.cli.terminal_text import sparkline
from modelperf_plugin.text import count, dollars, percent, points

if TYPE_CHECKING:
    from modelperf_plugin.analysis.simulation.replay import ReplayReport, Result, TaskTypeResult
    from modelperf_plugin.analysis.simulation.tries import TriesReport, TriesResult

_TASK_TYPES: Final[tuple[Column[TaskTypeResult], ...]] = (
    named("task type", lambda row: row.task_type),
    number("instances", lambda row: f"{row.instances:,}"),
    number("policy", lambda row: percent(row.success_rate)),
    number("random", lambda row: percent(row.random_success_rate)),
    number("best", lambda row: percent(row.best_success_rate)),
    named("best model", lambda row: row.best_model),
    Column("chosen most", lambda row: f"{row.most_chosen_model} ({percent(row.most_chosen_share)})", optional=True),
)

_TRIES: Final[tuple[Column[tuple[str, TriesResult]], ...]] = (
    Column("way of trying", lambda way: way[0]),
    number("solved", lambda way: percent(way[1].solved_rate)),
    number("± s.e.", lambda way: percent(way[1].standard_error)),
    number("first try", lambda way: percent(way[1].first_try_success_rate)),
    number("tries", lambda way: f"{way[1].tries:.2f}"),
    number("$/task", lambda way: dollars(way[1].cost_usd)),
    number("$/solved", lambda way: dollars(way[1].cost_per_solved_usd)),
    Column("order", lambda way: ", ".join(way[1].order), optional=True),
)


@command("outcomes.csv", "outcomes.csv --config new.toml --by-task-type")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@models_option("--models", metavar="A,B", description="Offer these models only, separated by commas.")
@click.option(
    "--repeats", type=click.IntRange(min=1), metavar="N", default=5, show_default=True,
    help="How often to replay the file; the standard error is that over the repeats.",
)  # fmt: skip
@click.option(
    "--order", type=click.Choice(["shuffled", "recorded"]), default="shuffled", show_default=True,
    help="shuffled: newly for each repeat; recorded: by time.",
)  # fmt: skip
@attempts_option
@seed_option
@click.option("--by-task-type", is_flag=True, help="Show every task type, too.")
@json_option
@common_options
def replay(
    common: Common, answer: Answer, /, file: str, models: tuple[str, ...], by_task_type: bool, **options: Any
) -> None:
    """Judge a policy on recorded outcomes before using it.

    FILE is a CSV file (or .csv.gz) with the columns instance_id, task_type, model_id, success or score, and if known
    timeout, tokens_used, cost_usd, timestamp: one row for every model that tried the same instance. Where there are
    scores, policies are judged by their mean. The policy is the configured one; try another with --config.
    """
    from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
    from modelperf_plugin.analysis.simulation.replay import replay as replay_policy

    config = common.load().config
    data = read_outcomes(file)
    with progress_stages() as bars:
        report = replay_policy(data, config, models=split_names(models) or None, progress=bars("replaying"), **options)
    if answer.as_json:
        answer.print_json(**report.as_dict(), note=None)
    else:
        _show(answer, report, by_task_type=by_task_type)


def _show(answer: Answer, report: ReplayReport, *, by_task_type: bool) -> None:
    answer.print_line(
        (report.source, "bold"),
        f": {count(report.instances, 'instance')} × {count(len(report.models), 'model')}, {report.order}, "
        f"{count(report.repeats, 'repeat')}",
    )
    answer.print_line()
    if report.tries is not None:
        answer.print_line((f"at most {report.attempts} tries a task", "bold"), f", objective {report.tries.objective}")
        answer.print_table(_TRIES, list(_ways_of_trying(report.tries)))
        answer.print_line()
        answer.print_line(("first tries", "bold"))
    answer.print_table(_ways_columns(report), _ways(report))
    answer.print_line(("* in hindsight: picked by the outcomes that judge it", "dim"))
    answer.print_line()
    answer.print_facts(_facts(report))
    if by_task_type:
        answer.print_line()
        answer.print_table(_TASK_TYPES, report.task_types)


def _ways_columns(report: ReplayReport) -> tuple[Column[tuple[str, str, Result]], ...]:
    single = report.best_single.success_rate
    return (
        Column("way of choosing", lambda way: (way[0], "bold") if way[2] is report.policy else way[0]),
        named("model", lambda way: way[1]),
        number("mean score" if report.graded else "success", lambda way: percent(way[2].success_rate)),
        number("± s.e.", lambda way: percent(way[2].standard_error)),
        number("vs single", lambda way: points(way[2].success_rate - single)),
        number("$/success", lambda way: dollars(way[2].cost_per_success_usd)),
    )


def _ways(report: ReplayReport) -> Iterator[tuple[str, str, Result]]:
    """Yield each way of choosing with its model, if it has a single one, and its result."""
    yield "this policy", "", report.policy
    yield "the migration guide's rule", "", report.document_rule
    yield "random", "", report.random
    yield "best single model *", report.best_single.model_id, report.best_single
    yield "best per task type *", "", report.best_per_task_type
    if report.cheapest is not None:
        yield "cheapest model", report.cheapest.model_id, report.cheapest


def _ways_of_trying(tries: TriesReport) -> Iterator[tuple[str, TriesResult]]:
    yield "this policy", tries.policy
    yield "the migration guide's rule", tries.document_rule
    yield "the best first *", tries.best_first
    if tries.cheapest_first is not None:
        yield "the cheapest first", tries.cheapest_first
    yield "best fixed order *", tries.hindsight


def _facts(report: ReplayReport) -> Iterator[tuple[str, Cell]]:
    curve = report.learning_curve
    yield "learning curve", f"{sparkline(curve)}  {percent(curve[0])} → {percent(curve[-1])}"
    yield "chosen", ", ".join(f"{model_id} {percent(share)}" for model_id, share in report.shares.items() if share)
    yield "chosen to learn", f"{percent(report.explored_share)} of {count(report.decisions, 'decision')}"
    if report.unpriced:
        yield "without a cost", f"{report.unpriced:,} of {count(report.outcomes, 'outcome')}"
    if report.left_out_models or report.left_out_instances:
        models, instances = count(len(report.left_out_models), "model"), count(report.left_out_instances, "instance")
        yield "left out", f"{models} and {instances}, so that the outcome of every model is known for every instance"
