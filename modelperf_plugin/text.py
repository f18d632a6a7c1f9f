"""Numbers and moments as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final

from modelperf_plugin.errors import ModelPerfError
from modelperf_plugin.values import WHOLE_SCORE, ScorePart, Tally

UNKNOWN: Final = "-"
_PACKAGE: Final = str(Path(__file__).parent)
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def printable(text: str, limit: int = 1000) -> str:
    """Return the beginning of ``text`` with what cannot be encoded or stored as escapes."""
    return text[:limit].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def describe_error(error: BaseException) -> str:
    """Return the message of an error of this package; of any other, its type and where it was raised.

    Other messages may hold text of the host: its prompts and answers are neither kept nor logged.
    """
    if not isinstance(error, ModelPerfError):
        reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        return f"{type(error).__name__}{reason}{_place(error.__traceback__)}"
    return printable(str(error))


def _place(traceback: TracebackType | None) -> str:
    """Return the innermost line of this package that an error passed."""
    place = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(_PACKAGE):
            place = f" in {Path(code.co_filename).name}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


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


def listed(amount: str) -> str:
    """Return an amount of dollars, marked as an estimate by the prices of tokens."""
    return amount if amount == UNKNOWN or amount.startswith("≈") else f"≈{amount}"


def list_prices_note(days: Iterable[int]) -> str:
    """Return what :func:`listed` marks, with the day of the newest prices."""
    return f"≈: costs estimated from tokens, by the prices of {iso_day(max(days))}"


def iso_day(day: int) -> str:
    """Return a day, counted from the Unix epoch, as in 2026-01-31."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 outcome`` or ``2,000 outcomes``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``3rd``, ``4th``."""
    teens = 10 <= number % 100 <= 20
    return f"{number:,}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def seconds(milliseconds: int | None) -> str:
    """Return a duration as ``12.3 s``."""
    return UNKNOWN if milliseconds is None else f"{milliseconds / 1000:,.1f} s"


_TIMES: Final = (("ms", 0.001, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0))
"""Units of time in seconds, and up to how many seconds they are used."""


def duration(length: float | None) -> str:
    """Return seconds with what matters of them: ``430 ms``, ``2.3 s``, ``41 s``, ``12 min``, ``3.5 h``.

    >>> duration(0.43), duration(2.3), duration(40.9), duration(720.0), duration(12_600.0)
    ('430 ms', '2.3 s', '41 s', '12 min', '3.5 h')
    """
    if length is None:
        return UNKNOWN
    unit, in_seconds = next(((unit, size) for unit, size, up_to in _TIMES if length < up_to), ("h", 3600.0))
    number = length / in_seconds
    return f"{number:,.0f} {unit}" if number >= 9.95 or unit == "ms" else f"{number:.1f} {unit}"


def first_tries(tally: Tally) -> str:
    """Return the successes of first tries as ``61 of 70``; outages and the caller's errors are left out.

    Where there are scores, their sum takes the place of the successes: ``52.4 of 70``.
    """
    shift = tally.score_shift - tally.later_score_shift
    return _of(tally.first_successes, tally.first_failures, shift if tally.graded else None)


def later_tries(tally: Tally) -> str:
    """Return the same of later tries: tasks that others had failed."""
    return _of(tally.later_successes, tally.later_failures, tally.later_score_shift if tally.graded else None)


def tries_text(tally: Tally) -> str:
    """Return both as ``61 of 70 first tries, 9 of 41 tasks that others had failed``."""
    first = first_tries(tally)
    return f"{'no' if first == UNKNOWN else first} first tries, {later_tries(tally)} tasks that others had failed"


_PARTS: Final[dict[str, str]] = {
    "own": "{} own today",
    "later tries": "{} by later tries",
    "since a change": "{} expected since it changed",
    "merged sources": "{} from merged sources",
    "other task types": "{} from other task types and models",
    "prior": "{} by the prior",
}


def parts_text(parts: Iterable[ScorePart]) -> str:
    """Return the parts of a score for people: so many outcomes at such a rate.

    >>> parts_text([ScorePart("own", 16.84, 0.66912), ScorePart("other task types", 4.2, 0.841)])
    '16.84 own today at 66.9 %, 4.2 from other task types and models at 84.1 %'
    """
    return ", ".join(f"{_PARTS[each.source].format(f'{each.outcomes:.4g}')} at {percent(each.rate)}" for each in parts)


def has_later_tries(tallies: Iterable[Tally]) -> bool:
    """Return whether any try met a task that others had failed."""
    return any(tally.later_successes or tally.later_failures for tally in tallies)


def _of(successes: int, failures: int, score_shift: int | None) -> str:
    if not successes + failures:
        return UNKNOWN
    won = f"{successes:,}" if score_shift is None else f"{successes + score_shift / WHOLE_SCORE:,.1f}"
    return f"{won} of {successes + failures:,}"


def has_scores(tallies: Iterable[Tally]) -> bool:
    """Return whether any outcome has a score that says something about its model."""
    return any(tally.graded for tally in tallies)


def score(mean: float | None) -> str:
    """Return a score, or a mean of scores, with three decimals."""
    return UNKNOWN if mean is None else f"{mean:.3f}"


def mean_score_text(tally: Tally) -> str:
    """Return ``mean score 0.730 over 60 outcomes, 41 of them graded``; the others count as 1 and 0."""
    samples, mean = tally.successes + tally.quality_failures, score(tally.mean_score)
    if tally.graded == samples:
        return f"mean score {mean} over {count(samples, 'graded outcome')}"
    return f"mean score {mean} over {count(samples, 'outcome')}, {tally.graded:,} of them graded"


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
