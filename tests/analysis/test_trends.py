"""Periods, points and trends."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from modelperf_plugin.analysis.views.trends import (
    MAX_DAYS,
    MAX_STEPS,
    Period,
    add_up,
    solved_tasks,
    trend_of,
    trends_of,
)
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import TrendStep
from modelperf_plugin.values import Tally

NOW = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)


def test_a_period_ends_today_in_utc() -> None:
    """Today is the last day, whatever the machine's time zone; as many days lie before."""
    period = Period.last(7, now=NOW.astimezone(tz=None))
    assert (period.first, period.last_day, period.length) == (date(2026, 3, 4), date(2026, 3, 10), 7)
    assert (period.before.end, period.before.end - period.before.first) == (period.days.first, 7)


@pytest.mark.parametrize("length", [1, 7, 59, 60, 61, 90, 365, MAX_DAYS])
def test_a_period_has_a_bounded_number_of_steps(length: int) -> None:
    """However long, it is never shown in more than sixty steps; together they are all its days."""
    days = Period.last(length, now=NOW).days
    assert days.steps <= MAX_STEPS
    assert sum(days.of(position).end - days.of(position).first for position in range(days.steps)) == length


@pytest.mark.parametrize("length", [0, -1, MAX_DAYS + 1])
def test_a_length_that_makes_no_sense_is_refused(length: int) -> None:
    """With the field and the value in the message."""
    with pytest.raises(InvalidValueError, match=rf"days must be a whole number from 1 to 3,660, but got {length}"):
        Period.last(length)


def test_a_period_before_all_time_is_refused() -> None:
    """The days before must be days, too."""
    with pytest.raises(InvalidValueError, match="until must be a later date"):
        Period.last(400, until=date(2, 1, 1))


def test_a_trend_has_every_step() -> None:
    """Steps without outcomes are there, empty; the total is the sum, the difference that to the days before."""
    period = Period.last(3, now=NOW)
    steps = [
        TrendStep(0, Tally("t", "a", 3, 1)),
        TrendStep(2, Tally("t", "a", 1, 0)),
        TrendStep(2, Tally("t", "b", 0, 3)),
    ]
    trend = trend_of(period, steps, [Tally("t", "a", 1, 3)], "t")
    assert trend.rates == [0.75, None, 0.25]
    assert [point.first for point in trend.points] == [date(2026, 3, 8) + timedelta(days=n) for n in range(3)]
    assert (trend.total.samples, trend.before.samples) == (8, 4)
    assert trend.difference == pytest.approx(0.25)
    low, high = trend.points[0].interval or (0, 0)
    assert 0.3 < low < 0.75 < high < 1
    assert trend.points[1].interval is None


def test_few_outcomes_are_taken_together() -> None:
    """A rate over several days where a day holds few outcomes; none over fewer than three."""
    period = Period.last(8, now=NOW)
    steps = [TrendStep(position, Tally("t", "a", 2, 1)) for position in (0, 1, 2, 7)]
    trend = trend_of(period, steps, [])
    assert trend.window == 2
    assert trend.steady_rates() == [pytest.approx(2 / 3)] * 4 + [None] * 3 + [pytest.approx(2 / 3)]
    assert trend_of(period, [TrendStep(0, Tally("t", "a", 100, 100))], []).window == 1
    assert (
        trend_of(period, [TrendStep(3, Tally("t", "a", 1, 0))], []).steady_rates()
        == [None] * 3 + [1.0, 1.0] + [None] * 3
    )


def test_trends_are_made_for_each_name() -> None:
    """By task type or by model; earlier counts alone give no trend."""
    period = Period.last(1, now=NOW)
    steps = [TrendStep(0, Tally("t", "a", 1, 0)), TrendStep(0, Tally("u", "a", 0, 1))]
    found = trends_of(period, steps, [Tally("t", "a", 1, 1), Tally("v", "a", 1, 1)], by="task_type")
    assert {name: (trend.total.samples, trend.before.samples) for name, trend in found.items()} == {
        "t": (1, 2),
        "u": (1, 0),
    }
    assert trends_of(period, steps, [], by="model_id")["a"].total.samples == 2


def test_adding_up_keeps_the_newest_moment() -> None:
    """Counts are summed, moments are not; nothing is nothing."""
    assert add_up([Tally("t", "a", 1, last_used_ms=5), Tally("t", "b", failures=2, last_used_ms=3)], "t") == Tally(
        "t", "", 1, 2, last_used_ms=5
    )
    assert add_up([]) == Tally("", "")


def test_solved_tasks_are_counted_by_their_first_tries() -> None:
    """Every task has one first try and at most one success; without later tries there is nothing to tell apart."""
    both = Tally("t", "", successes=80, failures=65, outages=4, caller_errors=1, later_successes=20, later_failures=20)
    assert solved_tasks(both) == (0.8, 0.6)
    assert solved_tasks(Tally("t", "", successes=80, failures=20)) is None
    assert solved_tasks(Tally("t", "", later_failures=1, failures=1)) is None
