"""``replay``: what a policy would have got on recorded outcomes."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.options import Common, common_options, json_option, split_names
from modelperf_plugin.cli.terminal_text import count, dollars, percent, points, sparkline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelperf_plugin.analysis.simulation.replay import ReplayReport, Result, TaskTypeResult

_COMPARISON = (
    Column("way of choosing"), Column("model"), number("success"), number("± s.e."), number("vs single"),
    number("$/success"),
)  # fmt: skip
_TASK_TYPES = (
    Column("task type"), number("instances"), number("policy"), number("random"), number("best"),
    Column("best model"), Column("chosen most", overflow=True),
)  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--models", metavar="A,B", multiple=True, help="Offer only these, separated by commas.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    metavar="N",
    default=5,
    show_default=True,
    help="How often to replay everything; what differs between the repeats is the standard error.",
)
@click.option(
    "--order",
    type=click.Choice(["shuffled", "recorded"]),
    default="shuffled",
    show_default=True,
    help="shuffled: anew for each repeat; recorded: by time.",
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="The same seed, the same answer.")
@click.option("--by-task-type", is_flag=True, help="Also show every task type.")
@json_option
@common_options
def replay(
    common: Common,
    answer: Answer,
    file: str,
    models: tuple[str, ...],
    repeats: int,
    order: Literal["shuffled", "recorded"],
    seed: int,
    by_task_type: bool,
) -> None:
    """Judge a policy on recorded outcomes before using it.

    FILE is a CSV file (or .csv.gz) with the columns instance_id, task_type, model_id, success, and if known
    timeout, tokens_used, cost_usd, timestamp: one row for every model that tried the same instance. The policy
    is the configured one, so try another with --config.
    """
    from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
    from modelperf_plugin.analysis.simulation.replay import replay as replay_policy

    config = common.load().config
    data = read_outcomes(file)
    with _progress() as progress:
        report = replay_policy(
            data,
            config,
            models=split_names(models) or None,
            repeats=repeats,
            order=order,
            seed=seed,
            progress=progress,
        )
    if answer.as_json:
        answer.print_json(**report.as_dict(), note=None)
    else:
        _show(answer, report, by_task_type=by_task_type)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on standard error while the block runs, if a person can see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int) -> None:
            if done % 50 == 1 or done == total:
                bar.update(task, completed=done, total=total)

        yield show


def _show(answer: Answer, report: ReplayReport, *, by_task_type: bool) -> None:
    answer.print_line(
        (report.source, "bold"),
        f": {count(report.instances, 'instance')} × {count(len(report.models), 'model')}, {report.order}, "
        f"{count(report.repeats, 'repeat')}",
    )
    answer.print_line()
    answer.print_table(_COMPARISON, [_compared(report, *way) for way in _ways(report)])
    answer.print_line(("* in hindsight: picked by the outcomes that it is judged by", "dim"))
    answer.print_line()
    answer.print_facts(_facts(report))
    if by_task_type:
        answer.print_line()
        answer.print_table(_TASK_TYPES, map(_task_type_row, report.task_types))


def _ways(report: ReplayReport) -> Iterator[tuple[str, str, Result]]:
    """Yield each way of choosing with its model, if it has one, and what it got."""
    yield "this policy", "", report.policy
    yield "the migration guide's rule", "", report.document_rule
    yield "random", "", report.random
    yield "best single model *", report.best_single.model_id, report.best_single
    yield "best per task type *", "", report.best_per_task_type
    if report.cheapest is not None:
        yield "cheapest model", report.cheapest.model_id, report.cheapest


def _compared(report: ReplayReport, name: str, model_id: str, result: Result) -> list[Cell]:
    return [
        (name, "bold") if result is report.policy else name,
        model_id,
        percent(result.success_rate),
        percent(result.standard_error),
        points(result.success_rate - report.best_single.success_rate),
        dollars(result.cost_per_success_usd),
    ]


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


def _task_type_row(row: TaskTypeResult) -> list[Cell]:
    return [
        row.task_type,
        f"{row.instances:,}",
        percent(row.success_rate),
        percent(row.random_success_rate),
        percent(row.best_success_rate),
        row.best_model,
        f"{row.most_chosen_model} ({percent(row.most_chosen_share)})",
    ]
