"""``report``: write an HTML report."""

from __future__ import annotations

from datetime import datetime

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, days_option, output_option, period_until, until_option
from modelperf_plugin.cli.output_file import format_of, write_file


@command("", "-o week.html --days 7")
@output_option("File to write; - for standard output.", default="report.html")
@days_option
@until_option
@common_options
def report(common: Common, answer: Answer, output: str, days: int, until: datetime | None) -> None:
    """Write a report of everything as one HTML page.

    The page loads nothing from elsewhere, so it can be mailed. Needs the extra `dashboard`.
    """
    from modelperf_plugin.dashboard import make_report

    format_of(output, ["html", "htm"], None)
    with common.reading(answer) as engine:
        page = make_report(engine, period_until(days, until))
    write_file(answer, output, page.encode())
