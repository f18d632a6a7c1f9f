"""``move``: move everything to another store."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, Refusal, common_options, dry_run_option, is_missing, json_option
from modelperf_plugin.cli.progress import Stages, Update, progress_stages
from modelperf_plugin.cli.tables import Column, number
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.exchange.moving.run import OnProgress, Report
    from modelperf_plugin.store.moving.session import Totals

_NAMES: Final = {
    "outcomes": "outcomes counted", "events": "single outcomes", "dropped": "outcomes dropped",
    "imported": "outcomes imported as sums", "ids": "ids of outcomes", "replaced_verdicts": "replaced verdicts",
    "served_models": "served models", "decisions": "decisions", "joined": "decisions with an outcome",
    "further_tries": "further tries", "waiting": "outcomes without a decision",
}  # fmt: skip


class _Row(NamedTuple):
    name: str
    source: int
    target: int | None


_COLUMNS: Final[tuple[Column[_Row], ...]] = (
    Column("", lambda row: row.name),
    number("FROM", lambda row: f"{row.source:,}"),
    number("TO", lambda row: "-" if row.target is None else f"{row.target:,}"),
)


@command(".sf/model-performance.db postgresql://db.example.com/agents")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@dry_run_option
@json_option
@common_options
def move(common: Common, answer: Answer, source: str, target: str, dry_run: bool) -> None:
    """Move everything to another store.

    FROM and TO are paths or URLs. Hosts may record in FROM meanwhile, and it stays as it is. TO is empty, or the target
    of an earlier move from FROM: then only what came since is moved. A move that was interrupted continues.
    """
    if common.store is not None:
        raise click.UsageError("name both stores as arguments, without --store")
    if is_missing(source):
        raise Refusal(f"{source} does not exist")
    if dry_run:
        _preview(answer, source, target)
    from modelperf_plugin.exchange.moving.run import Move
    from modelperf_plugin.store.opening import open_archive, open_to_read

    open_to_read(source).close()  # says if there is nothing in it, before anything is created
    try:
        with ExitStack() as opened, progress_stages() as stages:
            here, there = (opened.enter_context(closing(open_archive(each))) for each in (source, target))
            locations = here.location, there.location
            report = Move(here, there, _on_progress(stages)).run()
    except KeyboardInterrupt:
        click.echo("what was moved so far is kept; run the same command again to continue", err=True)
        raise
    _show(answer, report, *locations)


def _on_progress(stages: Stages) -> OnProgress:
    """Return a function that shows a bar for each kind of what is moved."""
    bars: dict[str, Update | None] = {}

    def update(name: str, done: int, total: int) -> None:
        if name not in bars:
            bars[name] = stages(name)
        bar = bars[name]
        if bar is not None and total:
            bar(min(done, total), total)

    return update


def _preview(answer: Answer, source: str, target: str) -> NoReturn:
    """Show what would be moved, and exit."""
    from modelperf_plugin.errors import StoreOutdatedError
    from modelperf_plugin.exchange.moving.run import preview
    from modelperf_plugin.store.opening import open_archive_to_read

    with ExitStack() as opened:
        here = opened.enter_context(closing(open_archive_to_read(source)))
        there = None
        if not is_missing(target):
            with suppress(StoreOutdatedError):  # there is nothing in it yet
                there = opened.enter_context(closing(open_archive_to_read(target)))
        totals, new_outcomes, new_decisions = preview(here, there)
        location = here.location
    if answer.as_json:
        answer.print_json(
            store=location, target=None, outcomes=new_outcomes, decisions=new_decisions, verdicts=None, has_more=None,
            differences=[], totals={"from": totals._asdict(), "to": None},
        )  # fmt: skip
    else:
        _print_totals(answer, totals, None)
        answer.print_line(
            f"{count(new_outcomes, 'outcome')} and {count(new_decisions, 'decision')} would be moved from {location}; "
            "nothing was written"
        )
    raise click.exceptions.Exit(0)


def _show(answer: Answer, report: Report, source: str, target: str) -> NoReturn:
    if answer.as_json:
        totals: dict[str, Any] = {"from": report.source._asdict(), "to": report.target._asdict()}
        answer.print_json(
            store=source, target=target, outcomes=report.outcomes, decisions=report.decisions,
            verdicts=report.verdicts, has_more=report.has_more, differences=report.differences, totals=totals,
        )  # fmt: skip
    else:
        _print_totals(answer, report.source, report.target)
        moved = ", ".join(
            (
                count(report.outcomes, "outcome"),
                count(report.decisions, "decision"),
                count(report.verdicts, "replaced verdict"),
            )
        )
        answer.print_line(f"moved {moved} from {source} to {target}")
        if report.has_more:
            answer.print_line("hosts still record there: run the same command again once they use the new store")
        else:
            answer.print_line("nothing is left; run the same command again once all hosts use the new store")
    if report.differences:
        click.echo(f"error: {target} differs from {source}: {', '.join(report.differences)}", err=True)
    raise click.exceptions.Exit(1 if report.differences else 0)


def _print_totals(answer: Answer, source: Totals, target: Totals | None) -> None:
    there = {} if target is None else target._asdict()
    answer.print_table(_COLUMNS, [_Row(name, source._asdict()[key], there.get(key)) for key, name in _NAMES.items()])
    answer.print_line()
