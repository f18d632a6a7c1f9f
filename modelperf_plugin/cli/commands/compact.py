"""``compact``: reclaim unused disk space."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.cli.terminal_text import count

_PAUSE_SECONDS: Final = 0.01
_TOLD_SECONDS: Final = 1.0


@click.command()
@json_option
@common_options
def compact(common: Common, answer: Answer) -> None:
    """Give unused room back to the disk, while hosts go on.

    That is the room of dropped outcomes and forgotten decisions. It also brings a file of an older version up to date.
    """
    from modelperf_plugin.store.opening import file_of, open_file

    location = file_of(common.existing_store(answer, before_bytes=None, after_bytes=None))
    file = Path(location)
    store = open_file(location)
    before = file.stat().st_size
    try:
        told_at = time.monotonic() + _TOLD_SECONDS
        while left := store.maintenance.shrink():
            if not answer.as_json and time.monotonic() >= told_at:
                told_at = time.monotonic() + _TOLD_SECONDS
                click.echo(f"{count(left, 'page')} left", err=True)
            time.sleep(_PAUSE_SECONDS)  # hosts that wait have their turn
        store.maintenance.checkpoint()
    finally:
        store.close()
    after = file.stat().st_size
    if answer.as_json:
        answer.print_json(store=location, before_bytes=before, after_bytes=after, note=None)
    else:
        saved = f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now"
        answer.print_line(f"{location}: {(before - after) / 1e6:,.1f} MB saved ({saved})")
