"""Importing a history: into which store, how far it is, and what came of it."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import click

from modelperf_plugin.cli.options import Common, is_missing
from modelperf_plugin.cli.terminal_text import count, percent, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelperf_plugin.cli.answer import Answer
    from modelperf_plugin.exchange.importing.history import Report
    from modelperf_plugin.exchange.importing.sources import Source
    from modelperf_plugin.store import Store

LISTED: Final = 20
"""So many lines that could not be used are shown."""


@contextmanager
def writing(common: Common, *, dry_run: bool) -> Iterator[Store]:
    """Open the configured store, which is created if need be; for a dry run one in memory stands for one to create."""
    from modelperf_plugin.store import open_store

    configured = common.load().config.store
    in_memory = dry_run and is_missing(configured.path)
    store = open_store(":memory:" if in_memory else configured.path, durability=configured.durability)
    try:
        yield store
    finally:
        store.close()


def run(
    common: Common,
    answer: Answer,
    source: Source,
    *,
    dry_run: bool,
    prepare: Callable[[Store, int], int] = lambda _store, _now_ms: 0,
    explain: str | None = None,
) -> NoReturn:
    """Import a source, show how far it is on standard error, and answer what came of it.

    ``prepare`` does what comes first and returns how many outcomes that brought; ``explain`` is said of rows that do
    not say whether they succeeded.
    """
    from modelperf_plugin.exchange.importing.history import import_history

    progress = Progress(source)
    try:
        with writing(common, dry_run=dry_run) as store:
            location = None if dry_run else store.location
            now_ms = time.time_ns() // 1_000_000
            summed = 0 if dry_run else prepare(store, now_ms)
            report = import_history(store, source, now_ms, dry_run=dry_run, on_progress=progress)
    except KeyboardInterrupt:
        progress.end()
        click.echo("what was read stays imported; the same command goes on from there", err=True)
        raise
    finally:
        source.close()
        progress.end()
    if answer.as_json:
        answer.json(store=location, **report.as_dict())
    else:
        if summed:
            answer.line(f"{count(summed, 'outcome')} imported as sums")
        _show(answer, report, dry_run=dry_run)
        if explain is not None and report.unknown:
            answer.line(explain)
    raise click.exceptions.Exit(1 if report.rejected else 0)


def _show(answer: Answer, report: Report, *, dry_run: bool) -> None:
    word = "would be imported" if dry_run else "imported"
    line = f"{count(report.outcomes, 'outcome')} of {count(report.pairs, 'pair')} {word} from {report.source}"
    answer.line(line if report.outcomes or not report.before else f"nothing new in {report.source}")
    for left, what in (
        (report.before, "had been imported before"),
        (report.known, "left out: their outcome_id is in the store already"),
        (report.unknown, "left out: they do not say whether they succeeded"),
        (report.rejected, "could not be used"),
    ):
        if left:
            answer.line(f"{left:,} {what}")
    for each in report.listed[:LISTED]:
        click.echo(printable(f"line {each.line:,}: {each.reason}"), err=True)
    if report.rejected > LISTED:
        click.echo(f"and {report.rejected - LISTED:,} more; --json lists the first 1,000", err=True)


class Progress:
    """Says on standard error how far an import is: on a terminal in one line that changes, else now and then."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._begun = self._said = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = False

    def __call__(self, report: Report) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now - self._said < (0.2 if self._terminal else 10):
            return
        self._said, self._shown = now, True
        share = f", {percent(min(1.0, self._source.done / self._source.size))}" if self._source.size else ""
        text = f"{report.outcomes:,} outcomes{share}, {report.outcomes / (now - self._begun):,.0f} per second"
        click.echo(f"\r{text}  " if self._terminal else text, nl=not self._terminal, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._shown and self._terminal:
            click.echo(err=True)
