"""Numbers and moments, as text for a person."""

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
    """Return 0.034 as ``+3.4``: a difference of two shares in percentage points."""
    return f"{100 * difference:+.1f}"


def span(interval: tuple[float, float] | None) -> str:
    """Return an interval of shares as ``80 – 93 %``."""
    return UNKNOWN if interval is None else f"{100 * interval[0]:.0f} – {100 * interval[1]:.0f} %"


def dollars(amount: float | None) -> str:
    """Return an amount of US dollars with three digits that count, two decimals at least."""
    if amount is None:
        return UNKNOWN
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    digits = f"{amount:.2e}"
    return f"${amount:.{max(2, 2 - int(digits[digits.index('e') + 1 :]))}f}"


def spent_per_success(tally: Tally, model_mean_usd: float | None = None) -> str:
    """Return the dollars spent for each success; ``≈`` says that outcomes without a cost were taken at a mean.

    That is the pair's own mean or, if it has no cost at all, the model's mean over its other task types.
    """
    own = tally.cost_per_success_usd
    if own is not None:
        return dollars(own) if tally.priced == tally.samples else f"≈{dollars(own)}"
    if tally.priced or not tally.successes or model_mean_usd is None:
        return UNKNOWN
    return f"≈{dollars(model_mean_usd * tally.samples / tally.successes)}"


ESTIMATED: Final = "≈: outcomes without a reported cost are taken at the model's own mean"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 outcome`` or ``2,000 outcomes``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short(number: int) -> str:
    """Return a large number with three digits that count: 1.23M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * size:
            amount = number / size
            return f"{amount:,.0f}{unit}" if amount >= 100 else f"{amount:.3g}{unit}"
    return str(number)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago ``moment`` was, in the largest unit that fits."""
    if moment is None:
        return UNKNOWN
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < 0:
        return "in the future"
    size, unit = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{seconds // size} {unit} ago" if seconds else "now"


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def change(difference: float | None) -> str:
    """Return a difference of two shares in percentage points, with an arrow if it is one."""
    if difference is None:
        return UNKNOWN
    arrow = "▲ " if difference >= 0.0005 else "▼ " if difference <= -0.0005 else ""
    return f"{arrow}{points(difference)}"
