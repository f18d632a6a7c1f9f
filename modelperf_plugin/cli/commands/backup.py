"""``backup``: copy the database."""

from __future__ import annotations

from pathlib import Path

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@json_option
@common_options
def backup(common: Common, answer: Answer, target: Path, force: bool) -> None:
    """Copy the database into FILE, while hosts go on.

    The copy is whole, as of one moment, and needs no other file beside it. It appears when it is complete.
    """
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.backup import back_up

    location = file_of(common.existing_store(answer, target=str(target), size_bytes=None))
    if target.exists() and not force:
        raise Refusal(f"{target} exists already; --force replaces it")
    size = back_up(location, target)
    if answer.as_json:
        answer.print_json(store=location, target=str(target), size_bytes=size, note=None)
    else:
        answer.print_line(f"{location} was copied to {target}: {size / 1e6:,.1f} MB")
