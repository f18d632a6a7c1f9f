"""Tries: what had failed before, and the part of the counts that came after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import MAX_TRIED, UNKNOWN_TRIED, LaterTries, Outcome, Tally, as_tried, check_tried, combine
from tests.values.test_values import outcomes


@given(st.lists(st.sampled_from("abcd"), max_size=20))
def test_what_had_failed_is_the_same_in_every_order(model_ids: list[str]) -> None:
    """The latest failures count, with repeats; the same failures in another order are the same key."""
    latest = model_ids[-MAX_TRIED:]
    assert as_tried(iter(model_ids)) == as_tried(latest) == as_tried(reversed(latest)) == tuple(sorted(latest))
    assert check_tried("tried", list(as_tried(model_ids))) == as_tried(model_ids)


@pytest.mark.parametrize("value", ["ab", None, {"a": 1}, ["a", ""], ["a", 1], ["\ud800"], ["a"] * (MAX_TRIED + 1)])
def test_what_had_failed_is_a_list_of_models(value: object) -> None:
    """Anything else is an error that names the field; only the unknown set has an empty id."""
    with pytest.raises(InvalidValueError, match="tried"):
        check_tried("tried", value)
    assert check_tried("tried", list(UNKNOWN_TRIED)) is UNKNOWN_TRIED


@given(st.lists(st.tuples(outcomes, st.booleans()), max_size=20))
def test_first_tries_are_the_difference(tries: list[tuple[Outcome, bool]]) -> None:
    """The later part of a tally is the tally of its later tries, as are the counts after a set of failures."""
    tally = first = later = Tally("t", "m")
    counts = LaterTries()
    for outcome, is_later in tries:
        tally = tally.plus(outcome, 0, later=is_later)
        if is_later:
            later = later.plus(outcome, 0)
            counts = counts.plus(outcome)
        else:
            first = first.plus(outcome, 0)
    part = (tally.later_successes, tally.later_failures, tally.later_timeout_failures)
    assert part == (later.successes, later.quality_failures, later.timeout_failures) == counts[:3]
    assert tally.successes - part[0] == first.successes
    assert tally.quality_failures - part[1] == first.quality_failures
    assert tally.timeout_failures - part[2] == first.timeout_failures
    assert (first.later_successes, first.later_failures, first.later_timeout_failures) == (0, 0, 0)
    both = combine(tally, tally)
    assert (both.later_successes, both.later_failures, both.later_timeout_failures) == counts.combined(counts)[:3]
