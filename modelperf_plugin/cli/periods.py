"""Options for the days that a report, chart or trend covers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period

days_option = click.option(
    "--days", type=click.IntRange(1, 3660), metavar="N", default=30, show_default=True, help="How many days back."
)
until_option = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="Last day, as in 2026-01-31. Default: today."
)


def period_until(days: int, until: datetime | None) -> Period:
    """Return the period of ``days`` up to ``until``, by default up to today."""
    from modelperf_plugin.analysis.views.trends import Period

    return Period.last(days, until=None if until is None else until.date(), now=datetime.now(UTC))
