"""``backup``: copy the database."""

from __future__ import annotations

from pathlib import Path

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    force_option,
    json_option,
    output_option,
    refuse_to_replace,
)
from modelperf_plugin.cli.output_file import named_file


@command("copy.db", "-o copy.db --force")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@output_option("File to write, instead of FILE.")
@force_option
@json_option
@common_options
def backup(common: Common, answer: Answer, file: Path | None, output: str | None, force: bool) -> None:
    """Copy the database to FILE without stopping hosts.

    The copy is a consistent snapshot and needs no other file. It appears once it is complete.
    """
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.backup import back_up

    target = named_file(file, output)
    if target is None:
        raise click.UsageError("name the copy, as in modelperf backup -o copy.db")
    location = file_of(common.existing_store(answer, target=str(target), size_bytes=None), "back it up with pg_dump")
    refuse_to_replace(target, force=force)
    size = back_up(location, target)
    if answer.as_json:
        answer.print_json(store=location, target=str(target), size_bytes=size, note=None)
    else:
        answer.print_line(f"copied {location} to {target}: {size / 1e6:,.1f} MB")
