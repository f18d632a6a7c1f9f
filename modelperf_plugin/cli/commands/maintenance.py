"""``backup`` and ``compact``: work on the file itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    is_missing,
    json_option,
    missing_note,
    pass_common,
)
from modelperf_plugin.cli.terminal_text import count

_PAUSE_SECONDS: Final = 0.01
_TOLD_SECONDS: Final = 1.0


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@json_option
@common_options
@pass_common
def backup(common: Common, target: Path, force: bool, as_json: bool) -> None:
    """Copy the database into FILE, while hosts go on.

    The copy is whole, as of one moment, and needs no other file beside it. It appears when it is complete.
    """
    from modelperf_plugin.store.sqlite.backup import back_up

    answer = Answer("backup", as_json=as_json)
    location = _existing(common, answer, target=str(target), size_bytes=None)
    if target.exists() and not force:
        raise Refusal(f"{target} exists already; --force replaces it")
    size = back_up(location, target)
    if as_json:
        answer.json(store=location, target=str(target), size_bytes=size, note=None)
    else:
        answer.line(f"{location} was copied to {target}: {size / 1e6:,.1f} MB")


@click.command()
@json_option
@common_options
@pass_common
def compact(common: Common, as_json: bool) -> None:
    """Give unused room back to the disk, while hosts go on.

    That is the room of dropped outcomes and forgotten decisions. It also brings a file of an older version up to date.
    """
    from modelperf_plugin.store.opening import open_file

    answer = Answer("compact", as_json=as_json)
    location = _existing(common, answer, before_bytes=None, after_bytes=None)
    file = Path(location)
    store = open_file(location)
    before = file.stat().st_size
    try:
        told_at = time.monotonic() + _TOLD_SECONDS
        while left := store.shrink():
            if not as_json and time.monotonic() >= told_at:
                told_at = time.monotonic() + _TOLD_SECONDS
                click.echo(f"{count(left, 'page')} left", err=True)
            time.sleep(_PAUSE_SECONDS)  # hosts that wait have their turn
        store.settle()
    finally:
        store.close()
    after = file.stat().st_size
    if as_json:
        answer.json(store=location, before_bytes=before, after_bytes=after, note=None)
    else:
        saved = f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now"
        answer.line(f"{location}: {(before - after) / 1e6:,.1f} MB saved ({saved})")


def _existing(common: Common, answer: Answer, **empty: object) -> str:
    """Return the path of the database; without one answer with ``empty`` and a note."""
    from modelperf_plugin.store.opening import file_of

    location = str(common.load().config.store.path)
    if is_missing(location):
        answer.nothing(missing_note(location), store=location, **empty)
    return file_of(location)
