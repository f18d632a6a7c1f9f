"""``demo``: run an example orchestrator while the plugin learns."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import tomli

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    DEMO_POLICY,
    DEMO_STORE,
    Common,
    Refusal,
    common_options,
    json_option,
)
from modelperf_plugin.cli.tables import Column, drawn, named, number
from modelperf_plugin.cli.terminal_text import program
from modelperf_plugin.errors import StoreError
from modelperf_plugin.files import write_whole
from modelperf_plugin.paths import unreachable
from modelperf_plugin.text import count, dollars, percent, span
from modelperf_plugin.values import RankedModel, Ranking

if TYPE_CHECKING:
    from modelperf_plugin.config import LoadedConfig
    from modelperf_plugin.demo.report import DemoReport, DemoTask, Lived
    from modelperf_plugin.engine.core import ModelPerf

SEED: Final = 3
"""A run in which all that happens shows: chosen from the 20 seeds with which the demo was developed."""
_TOP_MODELS: Final = 3
_BAR_LENGTH: Final = 20


class _Way(NamedTuple):
    name: str
    model_id: str
    success_rate: float
    cost_per_success_usd: float | None
    is_own: bool = False


class _LearnedRow(NamedTuple):
    task_type: str
    model: RankedModel
    published: float
    is_best: bool


_WAYS: Final[tuple[Column[_Way], ...]] = (
    Column("way of choosing", lambda way: (way.name, "bold" if way.is_own else "")),
    named("model", lambda way: way.model_id),
    number("success", lambda way: percent(way.success_rate)),
    drawn("", lambda way: "█" * round(_BAR_LENGTH * way.success_rate)),
    number("$/success", lambda way: dollars(way.cost_per_success_usd)),
)
_HAPPENINGS: Final[tuple[Column[Lived], ...]] = (
    number("day", lambda each: f"{each.day + 1:.0f}"),
    named("model", lambda each: each.model_id, "bold"),
    Column("what happened", lambda each: each.what),
    number("its share before", lambda each: percent(each.share_before)),
    number("after", lambda each: percent(each.share_after)),
    number("noticed", lambda each: "" if each.noticed_day is None else f"day {each.noticed_day + 1:.0f}"),
)
_LEARNED: Final[tuple[Column[_LearnedRow], ...]] = (
    named("task type", lambda row: row.task_type, "bold"),
    named("model", lambda row: row.model.model_id),
    number("learned", lambda row: percent(row.model.score)),
    number("interval", lambda row: span(row.model.interval)),
    number("true", lambda row: ("★ " if row.is_best else "") + percent(row.published)),
    number("outcomes", lambda row: f"{row.model.tally.samples:,}"),
)


@command("", "--tasks 2000 --seed 1")
@click.option(
    "--tasks", type=click.IntRange(min=1), metavar="N", default=1400, show_default=True, help="Number of tasks."
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    default=SEED,
    show_default=True,
    help="Random seed; the same seed gives the same answer.",
)
@json_option
@common_options
def demo(common: Common, answer: Answer, tasks: int, seed: int) -> None:
    """Watch the plugin learn in a simulation of real models.

    An example orchestrator works through tasks, with real hooks and a real database, but no network. Success rates and
    prices are published figures. In two weeks a model is down for hours, a price falls, a model gets worse, and a
    better one arrives; the answer compares the result with hosts that choose otherwise, on the same tasks with the same
    luck.

    Outcomes are written to .sf/demo.db, which every run replaces, and which other commands use until a host has
    recorded outcomes here; a file named with --store is continued instead. Without a configuration of yours the policy
    is .sf/demo.toml, which is written if it is missing: edit it and run the demo again.
    """
    from modelperf_plugin.demo.orchestrator import run_demo
    from modelperf_plugin.engine.core import ModelPerf

    if common.store == ":memory:":
        raise Refusal("a demo in memory leaves nothing to look at: name a file with --store")
    store = common.store or DEMO_STORE
    if Path(store).is_dir():
        raise Refusal(f"cannot open {store}: Is a directory")
    loaded = common.load({"mode": "apply"})
    if not loaded.files:
        loaded = _with_own_policy(common, answer)
    if common.store is None:
        _remove_last_demo(Path(DEMO_STORE))
    config = loaded.config
    with _progress(tasks) as on_task, _without_warnings(common):
        report = run_demo(config, store, tasks, seed=seed, on_task=on_task)
    with ModelPerf(config, store=store) as engine:
        rankings = _rankings(engine)
    if answer.as_json:
        answer.print_json(
            store=store,
            policy=[str(file) for file in loaded.files],
            **report.as_dict(),
            rankings={name: [row.as_dict() for row in ranking] for name, ranking in rankings.items()},
        )
    else:
        _show(answer, report, rankings, _Files(store, loaded.files, is_found=common.location_to_read() == store))


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


@contextmanager
def _without_warnings(common: Common) -> Iterator[None]:
    """Do not log demotions and changes, which the answer shows, unless asked to."""
    logger = logging.getLogger("modelperf_plugin")
    before = logger.level
    if not common.verbose:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _rankings(engine: ModelPerf) -> dict[str, Ranking]:
    from modelperf_plugin.demo.world import WORLD

    rankings = {}
    for name in WORLD.task_types:
        decision = engine.explain(name, list(WORLD.models)) if engine.store.tallies.of(name) else None
        if decision is not None:
            rankings[name] = decision.ranking
    return rankings


class _Files(NamedTuple):
    store: str
    policy: Sequence[Path]
    is_found: bool
    """Whether other commands use the store without being told."""


def _with_own_policy(common: Common, answer: Answer) -> LoadedConfig:
    """Return the demo's own policy; without --store it is a file, which is written once and never replaced."""
    from modelperf_plugin.demo.orchestrator import POLICY

    if common.store is not None:
        return common.load({**tomli.loads(POLICY), "mode": "apply"})
    file = Path(DEMO_POLICY)
    try:
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            write_whole(file, POLICY.encode())
    except OSError as error:
        raise StoreError(f"cannot write {file}: {unreachable(file) or error.strerror or error}") from None
    common.config = DEMO_POLICY
    loaded = common.load({"mode": "apply"})
    if file.read_bytes() != POLICY.encode():
        answer.print_aside(f"{file} is not as this version writes it: used as it is; to have it written, delete it")
    return loaded


def _shown(file: Path) -> str:
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _show(answer: Answer, report: DemoReport, rankings: Mapping[str, Ranking], files: _Files) -> None:
    answer.print_line(
        (f"{report.success_rate * report.tasks:,.0f} of {count(report.tasks, 'task')} successful", "bold"),
        f", {count(report.outages, 'outage')} survived, {dollars(report.cost_usd)} of play money spent; policy ",
        ", ".join(_shown(file) for file in files.policy) or "the demo's own",
    )
    answer.print_line()
    answer.print_line(("What happened", "bold"), ", and which share of the tasks the model did before and after")
    answer.print_line()
    answer.print_table(_HAPPENINGS, report.happenings)
    answer.print_line()
    answer.print_line(
        ("What a host without the plugin would have got", "bold"), ", on the same tasks, with the same luck"
    )
    answer.print_line()
    answer.print_table(_WAYS, _ways(report))
    answer.print_line()
    answer.print_line(("What it learned", "bold"), ", beside the true rate at the end, that it never saw (★ the best)")
    answer.print_line()
    answer.print_table(_LEARNED, _learned_rows(rankings, is_terminal=answer.is_terminal))
    answer.print_line()
    for source in report.sources:
        answer.print_line((source, "dim"))
    answer.print_line()
    answer.print_line(("Look closer", "bold"))
    names = list(rankings)
    option = "" if files.is_found else f" --store {shlex.quote(files.store)}"
    suggested = [f"rank {names[0]}", f"explain {names[-1]}", "changes", "demotions", "trend", "advise"]
    if find_spec("numpy") is not None:  # it needs the extra analysis
        suggested.append("savings")
    for each in suggested:
        answer.print_command(f"{program()} {each}{option}")


def _ways(report: DemoReport) -> Iterator[_Way]:
    for way in report.ways:
        if way.is_hindsight:
            yield _Way("this run", "", report.success_rate, report.cost_per_success_usd, is_own=True)
        name = f"{way.name}, known only in hindsight" if way.is_hindsight else way.name
        yield _Way(name, way.model_id or "", way.success_rate, way.cost_per_success_usd)


def _learned_rows(rankings: Mapping[str, Ranking], *, is_terminal: bool) -> Iterator[_LearnedRow]:
    """Yield the best-ranked models of each task type, and the truly best one wherever it is ranked."""
    from modelperf_plugin.demo.world import DAYS, WORLD

    conditions = WORLD.conditions(DAYS)
    for task_type, ranking in rankings.items():
        best = WORLD.best_now(task_type, conditions)
        shown = [row for place, row in enumerate(ranking) if place < _TOP_MODELS or row.model_id == best]
        for place, model in enumerate(shown):
            name = "" if place and is_terminal else task_type
            true = WORLD.rate(task_type, model.model_id, conditions)
            yield _LearnedRow(name, model, true, model.model_id == best)
