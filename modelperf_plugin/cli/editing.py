"""What ``forget`` and ``rename`` share: a confirmation, and a copy of the database before it is edited."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Refusal, dry_run_option, json_option
from modelperf_plugin.cli.terminal_text import printable
from modelperf_plugin.text import count, enumerated

_Command = Callable[..., Any]


def edit_options(command: _Command) -> _Command:
    """Give a command the options of those that edit the store."""
    for option in (
        json_option,
        click.option("--no-backup", is_flag=True, help="Do not copy the database before."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
        dry_run_option,
    ):
        command = option(command)
    return command


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether to go ahead, unless ``--yes`` was given.

    Raises:
        Refusal: nobody can be asked, because standard input is not a terminal.
        click.exceptions.Exit: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refusal(f"{question} Add --yes to confirm, or --dry-run to see what would be done")
    if not click.confirm(printable(question), err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(1)


def back_up_before(answer: Answer, location: str, what: str) -> Path | None:
    """Copy the database to a file beside it; say what to do instead on PostgreSQL."""
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.backup import back_up
    from modelperf_plugin.store.urls import is_postgres

    if is_postgres(location):
        answer.print_aside("no copy was made: back up a PostgreSQL database with pg_dump before")
        return None
    path = Path(file_of(location))
    copy = path.with_name(f"{path.name}.before-{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    back_up(str(path), copy)
    return copy


def outcomes_text(outcomes: int, pairs: int, decisions: int) -> str:
    """Return what an edit is about."""
    return f"{count(outcomes, 'outcome')} of {count(pairs, 'pair')} and {count(decisions, 'logged decision')}"


def print_edit(
    answer: Answer, location: str, done: str, edited: Any, copy: Path | None, *, dry_run: bool
) -> None:  # fmt: skip
    """Print what was done, or would be."""
    if answer.as_json:
        answer.print_json(
            store=location, **edited._asdict(), dry_run=dry_run, backup=None if copy is None else str(copy), note=None
        )
        return
    answer.print_line(done)
    if copy is not None:
        answer.print_line(f"the database as it was before: {copy}; `modelperf restore` puts it back")
    if edited.tests:
        names = enumerated(edited.tests)
        answer.print_line(
            f"the running A/B tests on {names} keep what they have counted; `modelperf reset test` starts them over"
        )
