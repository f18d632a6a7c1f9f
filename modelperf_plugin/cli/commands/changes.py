"""``changes``: list the models that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.terminal_text import ago
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.store import Change


_CHANGES = (
    Column("model", "bold"), Column("change"), number("since"), number("noticed"), number("evidence"),
)  # fmt: skip
_CHANGES_CSV = ("model_id", "direction", "since", "noticed", "evidence")
_WORDS = {"up": "does better", "down": "does worse", "announced": "announced by an operator"}


@click.command()
@click.option("--model", "model_id", metavar="MODEL", help="Only this model.")
@json_option
@csv_option
@common_options
def changes(common: Common, answer: Answer, model_id: str | None) -> None:
    """Show which models have changed, and since when."""
    with common.reading(answer, changes=[]) as engine:
        location = engine.store.location
        found = [each for each in engine.store.changes.all() if model_id in {None, each.model_id}]
    if answer.as_json:
        answer.print_json(store=location, changes=[each.as_dict() for each in found], note=None)
    elif answer.as_csv:
        answer.print_csv(_CHANGES_CSV, [each.as_dict() for each in found])
    elif found:
        answer.print_table(_CHANGES, [_change_row(each) for each in found])
    else:
        answer.print_line("no model has changed, as far as the outcomes show")


def _change_row(change: Change) -> list[str]:
    evidence = "-" if change.likelihood_ratio is None else f"{change.likelihood_ratio:,.0f} to 1"
    since, noticed = from_milliseconds(change.since_ms), from_milliseconds(change.noticed_ms)
    return [change.model_id, _WORDS[change.direction], ago(since), ago(noticed), evidence]
