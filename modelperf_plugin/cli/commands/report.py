"""``report``: write one HTML page with everything."""

from __future__ import annotations

from datetime import datetime

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options, days_option
from modelperf_plugin.cli.output_file import write_file
from modelperf_plugin.cli.periods import period_of, until_option


@click.command()
@click.option(
    "-o", "--output", metavar="PATH", default="report.html", show_default=True, help="The file to write; - is stdout."
)
@days_option
@until_option
@common_options
def report(common: Common, answer: Answer, output: str, days: int, until: datetime | None) -> None:
    """Write one HTML page with everything, to be looked at or mailed.

    It loads nothing from anywhere. Needs the extra `dashboard`.
    """
    from modelperf_plugin.dashboard import make_report

    with common.reading(answer) as engine:
        page = make_report(engine, period_of(days, until))
    write_file(answer, output, page.encode())
