"""``compact``: reclaim unused disk space."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.text import count

_PAUSE_SECONDS: Final = 0.01
"""Between two steps, so that waiting hosts get the lock."""
_REPORT_SECONDS: Final = 1.0


@command("")
@json_option
@common_options
def compact(common: Common, answer: Answer) -> None:
    """Reclaim unused disk space without stopping hosts.

    That is the space of dropped outcomes and expired decisions. Also upgrades a file of an older version.
    """
    from modelperf_plugin.store.opening import file_of, open_file

    location = file_of(
        common.existing_store(answer, before_bytes=None, after_bytes=None), "its server reclaims space by autovacuum"
    )
    file = Path(location)
    with closing(open_file(location)) as store:
        before = file.stat().st_size
        report_at = time.monotonic() + _REPORT_SECONDS
        while left := store.maintenance.shrink():
            if not answer.as_json and time.monotonic() >= report_at:
                report_at = time.monotonic() + _REPORT_SECONDS
                click.echo(f"{count(left, 'page')} left", err=True)
            time.sleep(_PAUSE_SECONDS)
        store.maintenance.checkpoint()
    after = file.stat().st_size
    if answer.as_json:
        answer.print_json(store=location, before_bytes=before, after_bytes=after, note=None)
    else:
        sizes = f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now"
        answer.print_line(f"{location}: {(before - after) / 1e6:,.1f} MB saved ({sizes})")
