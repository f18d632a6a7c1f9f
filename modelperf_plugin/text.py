"""Numbers and moments as text for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from modelperf_plugin.values import Tally

UNKNOWN: Final = "-"
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def percent(share: float | None) -> str:
    """Return 0.1234 as ``12.3 %``."""
    return UNKNOWN if share is None else f"{share:.1%}".replace("%", " %")


def points(difference: float) -> str:
    """Return 0.034 as ``+3.4``: a difference in percentage points."""
    return f"{100 * difference:+.1f}"


def span(interval: tuple[float, float] | None) -> str:
    """Return an interval of shares as ``80 – 93 %``."""
    return UNKNOWN if interval is None else f"{100 * interval[0]:.0f} – {100 * interval[1]:.0f} %"


def dollars(amount: float | None) -> str:
    """Return an amount of US dollars with three significant digits and at least two decimals."""
    if amount is None:
        return UNKNOWN
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    digits = f"{amount:.2e}"
    return f"${amount:.{max(2, 2 - int(digits[digits.index('e') + 1 :]))}f}"


def spent_per_success(tally: Tally, model_mean_usd: float | None = None) -> str:
    """Return the dollars spent per success; ``≈`` marks that outcomes without a cost were estimated.

    The estimate is the pair's own mean or, without any cost, the model's mean over its other task types.
    """
    own = tally.cost_per_success_usd
    if own is not None:
        return dollars(own) if tally.priced == tally.samples else f"≈{dollars(own)}"
    if tally.priced or not tally.successes or model_mean_usd is None:
        return UNKNOWN
    return f"≈{dollars(model_mean_usd * tally.samples / tally.successes)}"


ESTIMATED: Final = "≈: outcomes without a reported cost are estimated at the model's mean"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 outcome`` or ``2,000 outcomes``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short(number: int) -> str:
    """Return a large number with three significant digits: 1.23M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * size:
            amount = number / size
            return f"{amount:,.0f}{unit}" if amount >= 100 else f"{amount:.3g}{unit}"
    return str(number)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return the time since ``moment`` in its largest unit."""
    if moment is None:
        return UNKNOWN
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < 0:
        return "in the future"
    size, unit = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return f"{seconds // size} {unit} ago" if seconds else "now"


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC with seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def change(difference: float | None) -> str:
    """Return a difference in percentage points, with an arrow unless it rounds to zero."""
    if difference is None:
        return UNKNOWN
    arrow = "▲ " if difference >= 0.0005 else "▼ " if difference <= -0.0005 else ""
    return f"{arrow}{points(difference)}"
