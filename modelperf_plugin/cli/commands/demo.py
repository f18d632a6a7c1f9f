"""``demo``: run an example orchestrator while the plugin learns."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import DEMO_STORE, Common, Refusal, common_options, json_option, seed_option
from modelperf_plugin.cli.tables import Column, drawn, named, number
from modelperf_plugin.cli.terminal_text import program
from modelperf_plugin.text import count, dollars, percent, span
from modelperf_plugin.values import RankedModel, Ranking

if TYPE_CHECKING:
    from modelperf_plugin.demo.orchestrator import DemoReport, DemoTask
    from modelperf_plugin.engine.core import ModelPerf

_TOP_MODELS: Final = 3
_BAR_LENGTH: Final = 20


class _Way(NamedTuple):
    name: str
    success_rate: float
    cost_per_success_usd: float | None


class _LearnedRow(NamedTuple):
    task_type: str
    model: RankedModel
    published: float
    is_best: bool


_WAYS: Final[tuple[Column[_Way], ...]] = (
    Column("way of choosing", lambda way: way.name),
    number("success", lambda way: percent(way.success_rate)),
    drawn("", lambda way: "█" * round(_BAR_LENGTH * way.success_rate)),
    number("$/success", lambda way: dollars(way.cost_per_success_usd)),
)
_LEARNED: Final[tuple[Column[_LearnedRow], ...]] = (
    named("task type", lambda row: row.task_type, "bold"),
    named("model", lambda row: row.model.model_id),
    number("learned", lambda row: percent(row.model.score)),
    number("interval", lambda row: span(row.model.interval)),
    number("published", lambda row: ("★ " if row.is_best else "") + percent(row.published)),
    number("outcomes", lambda row: f"{row.model.tally.samples:,}"),
)


@command("", "--tasks 2000 --seed 1")
@click.option(
    "--tasks", type=click.IntRange(min=1), metavar="N", default=600, show_default=True, help="Number of tasks."
)
@seed_option
@json_option
@common_options
def demo(common: Common, answer: Answer, tasks: int, seed: int) -> None:
    """Watch the plugin learn in a simulation of real models.

    An example orchestrator works through tasks, with real hooks and a real database, but no network. Success rates and
    prices are published figures. Outcomes are written to .sf/demo.db, which every run replaces, and which other
    commands use until a host has recorded outcomes here; a file named with --store is continued instead.
    """
    from modelperf_plugin.demo.orchestrator import run_demo
    from modelperf_plugin.engine.core import ModelPerf

    if common.store == ":memory:":
        raise Refusal("a demo in memory leaves nothing to look at: name a file with --store")
    store = common.store or DEMO_STORE
    if Path(store).is_dir():
        raise Refusal(f"cannot open {store}: Is a directory")
    config = common.load({"mode": "apply"}).config
    if common.store is None:
        _remove_last_demo(Path(DEMO_STORE))
    with _progress(tasks) as on_task:
        report = run_demo(config, store, tasks, seed=seed, on_task=on_task)
    with ModelPerf(config, store=store) as engine:
        rankings = _rankings(engine)
    if answer.as_json:
        answer.print_json(
            store=store,
            **report.as_dict(),
            rankings={name: [row.as_dict() for row in ranking] for name, ranking in rankings.items()},
        )
    else:
        _show(answer, report, rankings, store, is_found=common.location_to_read() == store)


def _remove_last_demo(file: Path) -> None:
    """Remove the database of the last demo; refuse if anything else has written to it."""
    from modelperf_plugin.demo.world import WORLD
    from modelperf_plugin.store import open_store

    if not file.exists():
        return
    with closing(open_store(file)) as store:
        for tally in store.tallies.all():
            if tally.task_type not in WORLD.task_types or tally.model_id not in WORLD.models:
                raise Refusal(
                    f"{file} has outcomes that are not from a demo ({tally.task_type}, {tally.model_id}), so it was "
                    "not replaced: move it away, or name another file with --store"
                )
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def _progress(tasks: int) -> Iterator[Callable[[DemoTask], None] | None]:
    """Show the progress on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.description}", markup=False)
    successes = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=tasks)

        def update(task: DemoTask) -> None:
            nonlocal successes
            successes += task.success
            rate = percent(successes / task.number)
            text = f"{rate} successful; {task.task_type} → {task.attempts[-1].model_id}"
            bars.update(bar, advance=1, description=text)

        yield update


def _rankings(engine: ModelPerf) -> dict[str, Ranking]:
    from modelperf_plugin.demo.world import WORLD

    rankings = {}
    for name in WORLD.task_types:
        evidence = engine.store.tallies.of(name)
        decision = engine.explain(name, [model_id for model_id in WORLD.models if model_id in evidence])
        if decision is not None:
            rankings[name] = decision.ranking
    return rankings


def _show(
    answer: Answer, report: DemoReport, rankings: Mapping[str, Ranking], store: str, *, is_found: bool
) -> None:  # fmt: skip
    answer.print_line(
        (f"{report.success_rate * report.tasks:,.0f} of {count(report.tasks, 'task')} successful", "bold"),
        f", {count(report.outages, 'outage')} survived, {dollars(report.cost_usd)} of play money spent",
    )
    answer.print_line()
    answer.print_table(_WAYS, _ways(report))
    answer.print_line()
    answer.print_line(
        f"By published rates, its choices improved from {percent(report.curve[0].expected_success)} to ",
        (percent(report.curve[-1].expected_success), "green"),
        f"; {report.explored:,} explored",
    )
    answer.print_line()
    answer.print_line(("What it learned", "bold"), ", beside the published rate that it never saw (★ the best)")
    answer.print_line()
    answer.print_table(_LEARNED, _learned_rows(rankings, is_terminal=answer.is_terminal))
    answer.print_line()
    for source in report.sources:
        answer.print_line((source, "dim"))
    answer.print_line()
    answer.print_line(("Look closer", "bold"))
    names = list(rankings)
    option = "" if is_found else f" --store {shlex.quote(store)}"
    for each in (f"rank {names[0]}", f"explain {names[-1]}", "trend"):
        answer.print_command(f"{program()} {each}{option}")


def _ways(report: DemoReport) -> Iterator[_Way]:
    yield _Way("a random model every time", *report.random)
    yield _Way("this run", report.success_rate, report.cost_per_success_usd)
    yield _Way(f"always {report.best_single_model}, the best single model", *report.best_single)
    yield _Way("the best model of each task type", *report.best_per_task_type)


def _learned_rows(rankings: Mapping[str, Ranking], *, is_terminal: bool) -> Iterator[_LearnedRow]:
    from modelperf_plugin.demo.world import WORLD

    for task_type, ranking in rankings.items():
        best = WORLD.best_model(task_type)
        for position, model in enumerate(ranking[:_TOP_MODELS]):
            name = "" if position and is_terminal else task_type
            published = WORLD.expected_success(task_type, model.model_id)
            yield _LearnedRow(name, model, published, model.model_id == best)
