"""Numbers as text for people."""

from __future__ import annotations

import pytest

from modelperf_plugin.text import first_tries, has_later_tries, later_tries, ordinal, seconds, tries_text
from modelperf_plugin.values import Tally


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (112, "112th")],
)
def test_tries_are_numbered(number: int, text: str) -> None:
    """As in English."""
    assert ordinal(number) == text


def test_first_and_later_tries_are_counted_apart() -> None:
    """Outages and the caller's own errors are in neither."""
    tally = Tally("t", "m", successes=70, failures=46, outages=4, caller_errors=1, later_successes=9, later_failures=32)
    assert (first_tries(tally), later_tries(tally)) == ("61 of 70", "9 of 41")
    assert tries_text(tally) == "61 of 70 first tries, 9 of 41 tasks that others had failed"
    only_later = Tally("t", "m", successes=9, failures=32, later_successes=9, later_failures=32)
    assert tries_text(only_later) == "no first tries, 9 of 41 tasks that others had failed"
    assert has_later_tries([Tally("t", "m"), tally])
    assert not has_later_tries([Tally("t", "m", successes=3, failures=2)])


def test_unknown_durations_stay_unknown() -> None:
    """A duration that was not reported is no duration of zero."""
    assert (seconds(12_500), seconds(0), seconds(None)) == ("12.5 s", "0.0 s", "-")
