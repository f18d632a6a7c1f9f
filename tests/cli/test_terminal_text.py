"""Numbers and names as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelperf_plugin.cli.terminal_text import bars, printable, sparkline
from modelperf_plugin.text import ago, change, count, dollars, percent, points, short, span, spent_per_success
from modelperf_plugin.values import NANO_USD, Tally, mean_costs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "-"),
        (0.0, "$0.00"),
        (1234.5, "$1,234.50"),
        (1.0, "$1.00"),
        (0.9999, "$1.00"),
        (0.25, "$0.250"),
        (0.0061, "$0.00610"),
        (0.000000001, "$0.00000000100"),
    ],
)
def test_dollars_have_three_digits_that_count(amount: float | None, text: str) -> None:
    """Small prices are not rounded to nothing, and never written with an exponent."""
    assert dollars(amount) == text


def priced(successes: int, failures: int, costs: int, model_id: str = "m") -> Tally:
    """Return a tally of which so many outcomes have cost a dollar each."""
    return Tally("t", model_id, successes, failures, total_cost_nano_usd=costs * NANO_USD, priced=costs)


@pytest.mark.parametrize(
    ("tally", "mean", "text"),
    [
        (priced(4, 4, 8), None, "$2.00"),
        (priced(4, 4, 8), 50.0, "$2.00"),
        (priced(4, 4, 2), None, "≈$2.00"),
        (priced(4, 4, 0), 0.5, "≈$1.00"),
        (priced(4, 4, 0), None, "-"),
        (priced(0, 4, 4), 0.5, "-"),
    ],
)
def test_an_estimated_cost_is_marked(tally: Tally, mean: float | None, text: str) -> None:
    """Outcomes without a cost are taken at the pair's own mean, or else the model's, and the figure says so."""
    assert spent_per_success(tally, mean) == text


def test_mean_costs_are_those_of_the_outcomes_that_have_one() -> None:
    """Over all task types of a model; a model without any cost has none."""
    assert mean_costs([priced(3, 1, 1), priced(5, 5, 3), priced(1, 1, 0, "n")]) == {"m": 1.0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "in the future"), (0.4, "now"), (59, "59 s ago"), (60, "1 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")],
)
def test_ago_is_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    """A moment in the future has no negative age."""
    assert ago(NOON - timedelta(seconds=seconds), NOON) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1234, "1.23k"), (999_499, "999k"), (999_999, "1M"), (2**53, "9,007,199G")],
)
def test_large_numbers_are_short(number: int, text: str) -> None:
    """Three digits that count, and a letter."""
    assert short(number) == text


def test_shares_are_percentages() -> None:
    """One decimal for a share, none for where it may lie, a sign for a difference; a dash for what is not known."""
    assert (percent(0.1234), percent(1.0), percent(None)) == ("12.3 %", "100.0 %", "-")
    assert (span((0.801, 0.927)), span(None)) == ("80 – 93 %", "-")
    assert (points(0.0344), points(-0.5), points(0.0)) == ("+3.4", "-50.0", "+0.0")


def test_one_is_singular() -> None:
    """Everything else is plural."""
    assert (count(1, "outcome"), count(0, "outcome"), count(2000, "outcome")) == (
        "1 outcome", "0 outcomes", "2,000 outcomes",
    )  # fmt: skip


def test_a_sparkline_spans_lowest_to_highest() -> None:
    """The lowest value is the lowest bar; where all are equal, all are low."""
    assert sparkline([0.1, 0.5, 0.9]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "▁▁"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("naïve 通", "naïve 通"), ("a\x1bb\nc\u202e\u2028", "a\\x1bb\\nc\\u202e\\u2028")],
)
def test_printable_spells_out_what_steers_a_terminal(text: str, shown: str) -> None:
    """Letters of all scripts stay as they are."""
    assert printable(text) == shown


def test_bars_are_on_one_scale() -> None:
    """From 0 to 100 %, whatever the other values are."""
    assert bars([0.0, 0.5, 1.0, None]) == "▁▅█·"
    assert [change(each) for each in (None, 0.0, 0.012, -0.012)] == ["-", "+0.0", "▲ +1.2", "▼ -1.2"]
