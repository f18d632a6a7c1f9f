"""``merged``: list and remove merged sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.cli.tables import Column, number
from modelperf_plugin.text import ago
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.store import Merged

_SOURCES: Final[tuple[Column[Merged], ...]] = (
    Column("source", lambda source: source.name, "bold"),
    number("pairs", lambda source: f"{source.pairs:,}"),
    number("outcomes", lambda source: "-" if _is_of_scores(source) else f"{source.outcomes:,}"),
    number("strength", lambda source: f"{source.strength:g}"),
    number("merged", lambda source: ago(from_milliseconds(source.merged_ms))),
)


def _is_of_scores(source: Merged) -> bool:
    """Return whether a source is a leaderboard that does not tell the number of tasks."""
    from modelperf_plugin.exchange.sharing.leaderboard import ORIGIN_OF_SCORES

    return source.origin is not None and source.origin.startswith(ORIGIN_OF_SCORES)


@group()
def merged() -> None:
    """List or remove what was merged: exports and leaderboards."""


@merged.command(name="list", examples=[""])
@json_option
@common_options
def _list(common: Common, answer: Answer) -> None:
    """Show which exports and leaderboards were merged."""
    with common.reading(answer, sources=[]) as engine:
        location, sources = engine.store.location, engine.store.merged.all()
    answer.print_rows("sources", _SOURCES, sources, none="nothing was merged", store=location)


@merged.command(name="remove", examples=["team-b"])
@click.argument("name", metavar="NAME", shell_complete=completing.merged_sources)
@common_options
def _remove(common: Common, answer: Answer, name: str) -> None:
    """Remove a merged source."""
    with common.writing(answer) as engine:
        if not engine.store.merged.remove(name):
            answer.exit_with_note(f"nothing was merged as {name!r}")
    answer.print_line(f"{name} was removed and no longer counts")
