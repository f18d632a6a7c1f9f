"""``merged``: list and remove merged sources."""

from __future__ import annotations

from typing import Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.cli.terminal_text import ago
from modelperf_plugin.values import from_milliseconds

_SOURCES: Final = (
    Column("source", "bold"), number("pairs"), number("outcomes"), number("strength"), number("merged"),
)  # fmt: skip


@click.group()
def merged() -> None:
    """See and take out what was merged from other projects."""


@merged.command(name="list")
@json_option
@common_options
def list_merged(common: Common, answer: Answer) -> None:
    """Show which projects' experience was merged."""
    with common.reading(answer, sources=[]) as engine:
        location, sources = engine.store.location, engine.store.merged.all()
    if answer.as_json:
        answer.print_json(store=location, sources=[each.as_dict() for each in sources], note=None)
    elif sources:
        rows = [
            [
                each.name,
                f"{each.pairs:,}",
                f"{each.outcomes:,}",
                f"{each.strength:g}",
                ago(from_milliseconds(each.merged_ms)),
            ]
            for each in sources
        ]
        answer.print_table(_SOURCES, rows)
    else:
        answer.print_line("nothing was merged")


@merged.command()
@click.argument("name", metavar="NAME")
@common_options
def remove(common: Common, answer: Answer, name: str) -> None:
    """Take a merged project's experience out again."""
    with common.writing(answer) as engine:
        if not engine.store.merged.remove(name):
            answer.exit_with_note(f"nothing was merged as {name!r}")
    answer.print_line(f"what was merged as {name} counts no longer")
