"""``changes``: list the models that have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.tables import Column, named, number
from modelperf_plugin.text import UNKNOWN, ago
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.store import Change

_DIRECTIONS: Final = {"up": "does better", "down": "does worse", "announced": "announced by an operator"}
_COLUMNS: Final[tuple[Column[Change], ...]] = (
    named("model", lambda change: change.model_id, "bold"),
    Column("change", lambda change: _DIRECTIONS[change.direction]),
    number("since", lambda change: ago(from_milliseconds(change.since_ms))),
    number("noticed", lambda change: ago(from_milliseconds(change.noticed_ms))),
    number(
        "evidence",
        lambda change: UNKNOWN if change.likelihood_ratio is None else f"{change.likelihood_ratio:,.0f} to 1",
    ),
)
_CSV: Final = ("model_id", "direction", "since", "noticed", "evidence")


@command("", "--json")
@click.option("--model", "model_id", metavar="MODEL", help="Show this model only.")
@json_option
@csv_option
@common_options
def changes(common: Common, answer: Answer, model_id: str | None) -> None:
    """Show which models have changed, and since when."""
    with common.reading(answer, changes=[]) as engine:
        location = engine.store.location
        model_id = None if model_id is None else engine.config.canonical_ids.get(model_id, model_id)
        rows = [change for change in engine.store.changes.all() if model_id in {None, change.model_id}]
    none = "no model has changed, as far as the outcomes show"
    answer.print_rows("changes", _COLUMNS, rows, csv_columns=_CSV, none=none, store=location)
