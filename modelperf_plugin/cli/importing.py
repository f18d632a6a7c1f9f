"""Run an import: open the store, show progress, and answer what was imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NoReturn

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common
from modelperf_plugin.cli.terminal_text import printable
from modelperf_plugin.text import count, percent

if TYPE_CHECKING:
    from modelperf_plugin.exchange.importing.history import Report
    from modelperf_plugin.exchange.importing.sources import Source
    from modelperf_plugin.store import Store

_MAX_SHOWN_PROBLEMS: Final = 20


def run_import(
    common: Common,
    answer: Answer,
    source: Source,
    *,
    dry_run: bool,
    prepare: Callable[[Store, int], int] = lambda _store, _now_ms: 0,
    note: str | None = None,
) -> NoReturn:
    """Import a source and exit, with code 1 if any row was not usable.

    ``prepare`` runs first and returns how many outcomes it imported as sums; ``note`` is printed if rows were skipped
    because they do not say whether they succeeded.
    """
    from modelperf_plugin.exchange.importing.history import import_history

    progress = ImportProgress(source)
    try:
        with common.opened_store(dry_run=dry_run) as store:
            location = None if dry_run else store.location
            now_ms = time.time_ns() // 1_000_000
            summed = 0 if dry_run else prepare(store, now_ms)
            pass_score = common.load().config.quality.pass_score
            report = import_history(store, source, now_ms, pass_score=pass_score, dry_run=dry_run, on_progress=progress)
    except KeyboardInterrupt:
        progress.end()
        click.echo("outcomes imported so far are kept; run the same command again to continue", err=True)
        raise
    finally:
        source.close()
        progress.end()
    if answer.as_json:
        answer.print_json(store=location, **report.as_dict())
    else:
        if summed:
            answer.print_line(f"{count(summed, 'outcome')} imported as sums")
        _show(answer, report, dry_run=dry_run)
        if note is not None and report.unknown:
            answer.print_line(note)
    raise click.exceptions.Exit(1 if report.rejected else 0)


def _show(answer: Answer, report: Report, *, dry_run: bool) -> None:
    verb = "would be imported" if dry_run else "imported"
    line = f"{count(report.outcomes, 'outcome')} of {count(report.pairs, 'pair')} {verb} from {report.source}"
    answer.print_line(line if report.outcomes or not report.before else f"nothing new in {report.source}")
    for number, reason in (
        (report.before, "imported before"),
        (report.known, "skipped: outcome_id already in the store"),
        (report.unknown, "skipped: not known whether they succeeded"),
        (report.rejected, "not usable"),
    ):
        if number:
            answer.print_line(f"{number:,} {reason}")
    for problem in report.listed[:_MAX_SHOWN_PROBLEMS]:
        click.echo(printable(f"line {problem.line:,}: {problem.reason}"), err=True)
    if report.rejected > _MAX_SHOWN_PROBLEMS:
        more = report.rejected - _MAX_SHOWN_PROBLEMS
        click.echo(f"and {more:,} more; --json lists the first 1,000", err=True)


class ImportProgress:
    """Prints the progress of an import to standard error: on a terminal in one line that changes, else now and then."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._started = self._printed = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._line_is_open = False

    def __call__(self, report: Report) -> None:
        """Print the progress if it is time."""
        now = time.monotonic()
        if now - self._printed < (0.2 if self._is_terminal else 10):
            return
        self._printed, self._line_is_open = now, True
        share = f", {percent(min(1.0, self._source.done / self._source.size))}" if self._source.size else ""
        text = f"{report.outcomes:,} outcomes{share}, {report.outcomes / (now - self._started):,.0f} per second"
        click.echo(f"\r{text}  " if self._is_terminal else text, nl=not self._is_terminal, err=True)

    def end(self) -> None:
        """End the line of progress."""
        if self._line_is_open and self._is_terminal:
            click.echo(err=True)


def parse_columns(columns: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return a mapping from our columns to theirs, given as ``OURS=THEIRS``.

    Raises:
        click.BadParameter: one is not of that form, or is not among the ``known`` columns.
    """
    known, mapping = tuple(known), {}
    for column in columns:
        ours, _, theirs = column.partition("=")
        if ours not in known or not theirs:
            raise click.BadParameter(
                f"must be OURS=THEIRS with one of {', '.join(known)}, but got {column!r}", param_hint="--column"
            )
        mapping[ours] = theirs
    return mapping
