"""Trends: the outcomes of a period, counted in steps of a day or more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.store import Days, TrendStep
from modelperf_plugin.values import Tally

MAX_DAYS: Final = 3660
"""The longest period, about ten years."""
MAX_STEPS: Final = 60
"""Maximum number of steps in a period; a shorter period has one step for each day."""
_LONG_STEPS: Final = 40
"""Approximate number of steps in a longer period."""
_STEADY_OUTCOMES: Final = 20
_MIN_OUTCOMES: Final = 3
_MIN_STEPS: Final = 7
"""Minimum number of steps in a chart, if the period has as many."""
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Period:
    """A range of days in UTC, divided into steps of a day or more."""

    days: Days

    @classmethod
    def last(cls, length: int, *, until: date | None = None, now: datetime | None = None) -> Period:
        """Return the ``length`` days up to and including ``until``, by default today.

        Raises:
            InvalidValueError: ``length`` is not from 1 to 3,660, or the days begin before the year 1.
        """
        if not 1 <= length <= MAX_DAYS:
            raise InvalidValueError("days", f"a whole number from 1 to {MAX_DAYS:,}", length)
        last = until or (now or datetime.now(UTC)).astimezone(UTC).date()
        if (last - date.min).days < 2 * length:
            raise InvalidValueError("until", "a later date", last.isoformat(), typed=True)
        end = (last - _EPOCH).days + 1
        step = 1 if length <= MAX_STEPS else -(-length // _LONG_STEPS)
        return cls(Days(end - length, end, step))

    @property
    def length(self) -> int:
        return self.days.end - self.days.first

    @property
    def first(self) -> date:
        return day_of(self.days.first)

    @property
    def last_day(self) -> date:
        return day_of(self.days.end - 1)

    @property
    def before(self) -> Days:
        """The same number of days just before."""
        return Days(self.days.first - self.length, self.days.first)

    def as_dict(self) -> dict[str, Any]:
        """Return the period as plain JSON values."""
        since, until = self.first.isoformat(), self.last_day.isoformat()
        return {"since": since, "until": until, "days": self.length, "step_days": self.days.step}


class Point(NamedTuple):
    """One step of a trend: its first day, its number of days, and its counts."""

    first: date
    days: int
    tally: Tally

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval (Wilson) of the success rate; None without outcomes."""
        samples = self.tally.samples
        return wilson_interval(self.tally.successes, samples) if samples else None

    def as_dict(self) -> dict[str, Any]:
        """Return the point as plain JSON values."""
        return {"since": self.first.isoformat(), "days": self.days, **counts_of(self.tally)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The outcomes of a pair, a task type or a model over a period."""

    points: tuple[Point, ...]
    """Every step, oldest first, including those without outcomes."""
    total: Tally
    before: Tally
    """The counts of the same number of days just before the period."""

    @property
    def rates(self) -> list[float | None]:
        """The success rate in each step; None without outcomes."""
        return [point.tally.success_rate for point in self.points]

    @property
    def window(self) -> int:
        """Number of steps to smooth rates over: enough for 20 outcomes on average, at most a quarter of all steps.

        With fewer outcomes the remaining noise is left to show.
        """
        steps, samples = len(self.points), self.total.samples
        return max(1, min(-(-_STEADY_OUTCOMES * steps // samples), steps // 4)) if samples else 1

    def steady_counts(self, window: int | None = None) -> list[tuple[int, int] | None]:
        """Return for each step the successes and outcomes of the last ``window`` steps.

        A window of several steps with fewer than three outcomes gives None, unless no window has more.
        """
        window = window or self.window
        counted = [(point.tally.successes, point.tally.failures) for point in self.points]
        sums = []
        for position in range(len(counted)):
            recent = counted[max(0, position - window + 1) : position + 1]
            successes = sum([each[0] for each in recent])
            sums.append((successes, successes + sum([each[1] for each in recent])))
        minimum = _MIN_OUTCOMES if window > 1 and any(samples >= _MIN_OUTCOMES for _, samples in sums) else 1
        return [each if each[1] >= minimum else None for each in sums]

    def steady_rates(self, window: int | None = None) -> list[float | None]:
        """Return the success rate of each of :meth:`steady_counts`."""
        return [None if each is None else each[0] / each[1] for each in self.steady_counts(window)]

    @property
    def first_step(self) -> int:
        """The step to begin a chart with: that of the first outcome if there were none before, but not one of the last.

        So a chart of a new project is not empty for the most part.
        """
        steps = len(self.points)
        filled = next((position for position, point in enumerate(self.points) if point.tally.samples), 0)
        return 0 if self.before.samples else max(0, min(filled, steps - _MIN_STEPS))

    @property
    def difference(self) -> float | None:
        """The success rate less that of the days before; None if either has no outcomes."""
        now, before = self.total.success_rate, self.before.success_rate
        return None if now is None or before is None else now - before

    def as_dict(self) -> dict[str, Any]:
        """Return the trend as plain JSON values."""
        return {
            "total": counts_of(self.total),
            "before": counts_of(self.before),
            "difference": self.difference,
            "points": [point.as_dict() for point in self.points],
        }


def trend_of(
    period: Period, steps: Iterable[TrendStep], before: Iterable[Tally], task_type: str = "", model_id: str = ""
) -> Trend:
    """Return the trend of all ``steps`` together, beside the counts from ``before``."""
    gathered: dict[int, list[Tally]] = defaultdict(list)
    for step in steps:
        gathered[step.position].append(step.tally)
    points = []
    for position in range(period.days.steps):
        days = period.days.of(position)
        tally = add_up(gathered.get(position, ()), task_type, model_id)
        points.append(Point(day_of(days.first), days.end - days.first, tally))
    total = add_up([point.tally for point in points], task_type, model_id)
    return Trend(points=tuple(points), total=total, before=add_up(before, task_type, model_id))


def trends_of(period: Period, steps: Iterable[TrendStep], before: Iterable[Tally], *, by: str) -> dict[str, Trend]:
    """Return the trend of each task type or model: ``by`` is ``task_type`` or ``model_id``."""
    gathered: dict[str, list[TrendStep]] = defaultdict(list)
    earlier: dict[str, list[Tally]] = defaultdict(list)
    for step in steps:
        gathered[getattr(step.tally, by)].append(step)
    for tally in before:
        earlier[getattr(tally, by)].append(tally)
    return {name: trend_of(period, of_name, earlier[name], **{by: name}) for name, of_name in gathered.items()}


def add_up(tallies: Iterable[Tally], task_type: str = "", model_id: str = "") -> Tally:
    """Return the sum of ``tallies`` under the given names."""
    listed: Sequence[Tally] = list(tallies)
    if not listed:
        return Tally(task_type, model_id)
    newest = max((tally.last_used_ms for tally in listed if tally.last_used_ms is not None), default=None)
    columns = list(zip(*listed, strict=True))
    sums = {name: sum(columns[place]) for place, name in _SUMMED}
    return Tally(task_type, model_id, **sums, last_used_ms=newest)


class SolvedTasks(NamedTuple):
    """How many tasks were solved, by all tries together and by the first."""

    share: float
    by_first_try: float


def solved_tasks(tally: Tally) -> SolvedTasks | None:
    """Return the share of tasks that were solved; None if no task was tried again.

    Every task has one first try and at most one success. Outages and the caller's own errors are left out.
    """
    tasks = tally.first_successes + tally.first_failures
    if not tasks or not tally.later_successes + tally.later_failures:
        return None
    return SolvedTasks(min(1.0, tally.successes / tasks), tally.first_successes / tasks)


def counts_of(tally: Tally) -> dict[str, Any]:
    """Return the counts of a tally as plain JSON values, without its names."""
    return {key: value for key, value in tally.as_dict().items() if key not in _NOT_COUNTS}


def day_of(number: int) -> date:
    """Return the day that is ``number`` days after the Unix epoch."""
    return _EPOCH + timedelta(days=number)


_NOT_SUMMED: Final = frozenset({"task_type", "model_id", "last_used_ms"})
_SUMMED: Final = tuple((place, name) for place, name in enumerate(Tally._fields) if name not in _NOT_SUMMED)
_NOT_COUNTS: Final = frozenset({"task_type", "model_id", "last_used"})
