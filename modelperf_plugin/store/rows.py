"""From rows to values, where a row may be one that another program has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.values import from_milliseconds

_T = TypeVar("_T")

MAX_INTEGER: Final = 2**63 - 1
UNUSABLE: Final = (ValueError, TypeError, LookupError, OverflowError, AttributeError)
"""What making a value of a row raises if the row is not one."""


def usable(make: Callable[[Any], _T], rows: Iterable[Any]) -> list[_T]:
    """Return the values that ``make`` returns for ``rows``, without those for which it fails."""
    values = []
    for row in rows:
        try:
            values.append(make(row))
        except UNUSABLE:
            continue
    return values


def moments(*milliseconds: int | None) -> None:
    """Raise OverflowError unless each number of milliseconds since the Unix epoch is a moment."""
    for each in milliseconds:
        if each is not None:
            from_milliseconds(each)


def numbers(text: str) -> tuple[float, ...]:
    """Return the numbers in a JSON array; raise ValueError if it is not one."""
    values = parse_json(text)
    if not isinstance(values, list) or not all(type(value) in {int, float} for value in values):
        raise ValueError("it is not an array of numbers")
    return tuple(values)
