"""Columns of tables of tallies, which several commands show."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.tables import Column, Row, named, number
from modelperf_plugin.text import (
    ESTIMATED,
    ago,
    dollars,
    duration,
    first_tries,
    has_later_tries,
    has_scores,
    later_tries,
    list_prices_note,
    listed,
    percent,
    score,
    short,
    spent_per_success,
)
from modelperf_plugin.values import Durations, Tally

TASK_TYPE: Final[Column[Tally]] = named("task type", lambda tally: tally.task_type, "bold")
MODEL: Final[Column[Tally]] = named("model", lambda tally: tally.model_id, "bold")
OUTCOMES: Final[Column[Tally]] = number("outcomes", lambda tally: f"{tally.samples:,}")
SUCCESS: Final[Column[Tally]] = number("success", lambda tally: percent(tally.success_rate))
COST: Final[Column[Tally]] = number("cost", lambda tally: dollars(tally.total_cost_usd if tally.priced else None))
TIMEOUTS: Final[Column[Tally]] = number("timeouts", lambda tally: f"{tally.timeouts:,}", optional=True)
OUTAGES: Final[Column[Tally]] = number("outages", lambda tally: f"{tally.outages:,}", optional=True)
TOKENS: Final[Column[Tally]] = number("tokens", lambda tally: short(tally.total_tokens), optional=True)
LAST_USED: Final[Column[Tally]] = number("last used", lambda tally: ago(tally.last_used), optional=True)
MEAN_SCORE: Final[Column[Tally]] = number("mean score", lambda tally: score(tally.mean_score))
_TRIES: Final[tuple[Column[Tally], ...]] = (
    number("first tries", first_tries),
    number("later tries", later_tries),
)
LATER_TRIES: Final = (
    "later tries met tasks that other models had failed; both leave out outages and the caller's own errors"
)


def cost_columns(means: Mapping[str, float], estimated: Container[tuple[str, str]]) -> tuple[Column[Tally], ...]:
    """Return the columns of costs, in total and for each success; those of ``estimated`` pairs are marked."""

    def marked(tally: Tally, amount: str) -> str:
        return listed(amount) if tally[:2] in estimated else amount

    return (
        number(COST.title, lambda tally: marked(tally, str(COST.cell(tally)))),
        number("$/success", lambda tally: marked(tally, spent_per_success(tally, means.get(tally.model_id)))),
    )


def estimated_pairs(tallies: Iterable[Tally], days: Mapping[str, int]) -> set[tuple[str, str]]:
    """Return the pairs whose costs were estimated by list prices, with the sums that they are part of."""
    pairs = {tally[:2] for tally in tallies if tally.priced and tally.model_id in days}
    return pairs | {(task_type, "") for task_type, _ in pairs} | ({("", "")} if pairs else set())


def tries_columns(tallies: Iterable[Tally]) -> tuple[Column[Tally], ...]:
    """Return the columns of first and later tries; none if every outcome was a first try."""
    return _TRIES if has_later_tries(tallies) else ()


def score_columns(tallies: Iterable[Tally]) -> tuple[Column[Tally], ...]:
    """Return the column of mean scores; none if no outcome has a score."""
    return (MEAN_SCORE,) if has_scores(tallies) else ()


def time_columns(
    timings: Mapping[tuple[str, str], Durations], pair_of: Callable[[Row], tuple[str, str]]
) -> tuple[Column[Row], ...]:
    """Return the columns of durations; none if no durations are known."""
    if not timings:
        return ()

    def median(row: Row) -> str:
        each = timings.get(pair_of(row))
        return duration(None if each is None else each.median_seconds)

    def high(row: Row) -> str:
        each = timings.get(pair_of(row))
        return duration(None if each is None else each.high_seconds)

    return (number("median time", median, optional=True), number("95 % within", high, optional=True))


def print_tries_note(answer: Answer, tallies: Iterable[Tally]) -> None:
    """Print what later tries are, if there are any."""
    if has_later_tries(tallies):
        answer.print_line()
        answer.print_line((LATER_TRIES, "dim"))


def print_prices_note(answer: Answer, days: Mapping[str, int]) -> None:
    """Print by which prices costs were estimated, if any were."""
    if days:
        answer.print_line()
        answer.print_line((list_prices_note(days.values()), "dim"))


def print_estimate_note(answer: Answer, tallies: Iterable[Tally], means: Mapping[str, float]) -> None:
    """Print what ``≈`` means if any cost per success of a table is an estimate."""
    if any("≈" in spent_per_success(tally, means.get(tally.model_id)) for tally in tallies):
        answer.print_line()
        answer.print_line((ESTIMATED, "dim"))
