"""The days that a report or chart covers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period


until_option = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The last day, as in 2026-01-31. Default: today."
)


def period_of(days: int, until: datetime | None) -> Period:
    from modelperf_plugin.analysis.views.trends import Period

    last: date | None = None if until is None else until.date()
    return Period.last(days, until=last, now=datetime.now(UTC))
