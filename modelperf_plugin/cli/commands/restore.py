"""``restore``: put a copy in the place of the database."""

from __future__ import annotations

from pathlib import Path

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.text import count


@command("copy.db")
@click.argument("copy", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@common_options
def restore(common: Common, answer: Answer, copy: Path) -> None:
    """Replace the database with a copy of FILE.

    The copy is checked first, and FILE is not changed. The old database and its log are set aside, not deleted. Stop
    the hosts first.
    """
    from modelperf_plugin.store.fallback.spool import count_waiting
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.restoring import restore as restore_copy

    location = file_of(common.load().config.store.location, "restore a copy with pg_restore")
    restored = restore_copy(location, copy)
    waiting = count_waiting(location)
    if answer.as_json:
        answer.print_json(
            store=location, source=str(copy), outcomes=restored.outcomes, waiting=waiting,
            replaced=None if restored.aside is None else str(restored.aside),
            replaced_outcomes=restored.replaced_outcomes, note=None,
        )  # fmt: skip
        return
    answer.print_line(f"restored {copy} as {location}: {count(restored.outcomes, 'outcome')}")
    if restored.aside is not None:
        held = restored.replaced_outcomes
        what = "the replaced file" if held is None else f"the replaced file, with {count(held, 'outcome')},"
        answer.print_line(f"{what} was set aside as {restored.aside}")
    if waiting:
        answer.print_line(f"{count(waiting, 'outcome')} in JSON files will be added by the next host")
