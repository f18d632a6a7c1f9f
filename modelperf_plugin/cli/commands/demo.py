"""``demo``: an example orchestrator works through tasks, and the plugin learns."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.terminal_text import count, dollars, percent, program, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from modelperf_plugin.demo.orchestrator import DemoReport, DemoTask
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.values import Ranking

DEFAULT_STORE: Final = ".sf/demo.db"
"""Where a demo's outcomes go: a file that every run replaces, unlike one that was named."""
_COMPARISON = (Column("way of choosing"), number("success"), Column("", "cyan"), number("$/success"))
_LEARNED = (
    Column("task type", "bold"), Column("model"), number("learned"), number("interval"), number("published"),
    number("outcomes"),
)  # fmt: skip
_MOST_SHOWN: Final = 3
_BAR_LENGTH: Final = 20


@click.command()
@click.option(
    "--tasks", type=click.IntRange(min=1), metavar="N", default=600, show_default=True, help="How many tasks."
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="The same seed gives the same run.")
@json_option
@common_options
def demo(common: Common, answer: Answer, tasks: int, seed: int) -> None:
    """Watch it learn, in a simulation with the figures of real models.

    An example orchestrator works through tasks, with real hooks and a real database. Success rates and prices
    are published ones; there is no network. The outcomes go into .sf/demo.db, which every run replaces; a file
    that you name with --store is continued.
    """
    from modelperf_plugin.demo.orchestrator import run_demo
    from modelperf_plugin.engine.core import ModelPerf

    if common.store == ":memory:":
        raise Refusal("a demo in memory leaves nothing to look at: name a file with --store")
    if common.store is None:
        common.store = DEFAULT_STORE
        _make_room(Path(DEFAULT_STORE))
    config = common.load({"mode": "apply"}).config
    with _progress(tasks) as on_task:
        report = run_demo(config, common.store, tasks, seed=seed, on_task=on_task)
    with ModelPerf(config, store=common.store) as engine:
        rankings = _rankings(engine)
    if answer.as_json:
        answer.print_json(
            store=common.store,
            **report.as_dict(),
            rankings={name: [row.as_dict() for row in ranking] for name, ranking in rankings.items()},
        )
    else:
        _show(answer, report, rankings, common.store)


def _make_room(file: Path) -> None:
    """Remove the database of the last demo; refuse if anything else has written to it."""
    from modelperf_plugin.demo.world import WORLD
    from modelperf_plugin.store import open_store

    if not file.exists():
        return
    store = open_store(file)
    try:
        foreign = [
            tally
            for tally in store.tallies.all()
            if tally.task_type not in WORLD.task_types or tally.model_id not in WORLD.models
        ]
    finally:
        store.close()
    if foreign:
        raise Refusal(
            f"{file} holds outcomes that no demo has written ({foreign[0].task_type}, {foreign[0].model_id}), so it "
            "was not replaced: move it away, or name another file with --store"
        )
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def _progress(tasks: int) -> Iterator[Callable[[DemoTask], None] | None]:
    """Show on standard error how it goes while the block runs, if a person can see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.description}", markup=False)
    successes = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        progress = bar.add_task("", total=tasks)

        def show(task: DemoTask) -> None:
            nonlocal successes
            successes += task.success
            said = f"{percent(successes / task.number)} done well; {task.task_type} → {task.attempts[-1].model_id}"
            bar.update(progress, advance=1, description=said)

        yield show


def _rankings(engine: ModelPerf) -> dict[str, Ranking]:
    from modelperf_plugin.demo.world import WORLD

    rankings = {}
    for name in WORLD.task_types:
        tried = [model_id for model_id in WORLD.models if model_id in engine.store.tallies.of(name)]
        decision = engine.explain(name, tried)
        if decision is not None:
            rankings[name] = decision.ranking
    return rankings


def _show(answer: Answer, report: DemoReport, rankings: Mapping[str, Ranking], store: str) -> None:
    answer.print_line(
        (f"{report.success_rate * report.tasks:,.0f} of {count(report.tasks, 'task')} done well", "bold"),
        f", {count(report.outages, 'outage')} survived, {dollars(report.cost_usd)} of play money spent",
    )
    answer.print_line()
    _show_comparison(answer, report)
    answer.print_line()
    answer.print_line(
        f"Judged by published rates its choices went from {percent(report.curve[0].expected_success)} to ",
        (percent(report.curve[-1].expected_success), "green"),
        f"; {report.explored:,} explored",
    )
    answer.print_line()
    answer.print_line(("What it learned", "bold"), ", beside the published rate that it never saw (★ the best)")
    answer.print_line()
    _show_rankings(answer, rankings)
    answer.print_line()
    for source in report.sources:
        answer.print_line((source, "dim"))
    answer.print_line()
    answer.print_line(("Look closer", "bold"))
    known = list(rankings)
    for command in (f"rank {known[0]}", f"explain {known[-1]}", "trend"):
        answer.print_command(f"{program()} {command} --store {shlex.quote(store)}")


def _show_comparison(answer: Answer, report: DemoReport) -> None:
    ways = [
        ("a random model every time", report.random),
        ("this run", (report.success_rate, report.cost_per_success_usd)),
        (f"always {report.best_single_model}, the best single model", report.best_single),
        ("the best model of each task type", report.best_per_task_type),
    ]
    answer.print_table(
        _COMPARISON,
        [[name, percent(success), "█" * round(_BAR_LENGTH * success), dollars(cost)] for name, (success, cost) in ways],
    )


def _show_rankings(answer: Answer, rankings: Mapping[str, Ranking]) -> None:
    from modelperf_plugin.demo.world import WORLD

    rows = []
    for task_type, ranking in rankings.items():
        best = WORLD.best_model(task_type)
        for position, row in enumerate(ranking[:_MOST_SHOWN]):
            star = "★ " if row.model_id == best else ""
            rows.append(
                [
                    "" if position and answer.is_terminal else task_type,
                    row.model_id,
                    percent(row.score),
                    span(row.interval),
                    star + percent(WORLD.expected_success(task_type, row.model_id)),
                    f"{row.tally.samples:,}",
                ]
            )
    answer.print_table(_LEARNED, rows)
