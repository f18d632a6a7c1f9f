"""Ids of task types, models, outcomes and units, and checks shared by all values."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError

MAX_ID_LENGTH: Final = 512

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def check_id(field_name: str, value: Any) -> str:
    """Return ``value`` if it is a valid id of a task type, model, outcome or unit.

    Raises:
        InvalidValueError: it is not a string of 1 to 512 characters without control characters, line separators and
            lone surrogates.
    """
    if not isinstance(value, str):
        raise InvalidValueError(field_name, "a string", value)
    if not value:
        raise InvalidValueError(field_name, f"1 to {MAX_ID_LENGTH} characters long", value)
    if len(value) > MAX_ID_LENGTH:
        requirement = f"1 to {MAX_ID_LENGTH} characters long (it has {len(value)})"
        raise InvalidValueError(field_name, requirement, value)
    if _UNPRINTABLE.search(value):
        raise InvalidValueError(field_name, "free of control characters, line separators and lone surrogates", value)
    return str.__str__(value)  # str() of an enum member would be its name in the code


def check_ids(field_name: str, values: Any) -> tuple[str, ...]:
    """Return the model ids in ``values`` in their order, without duplicates.

    Raises:
        InvalidValueError: it is a single string or not iterable, or an item is not a valid id.
    """
    if isinstance(values, (str, bytes)):
        raise InvalidValueError(field_name, "a list of model ids, not one string", values)
    try:
        ids = tuple(values)
    except TypeError:
        raise InvalidValueError(field_name, "a list of model ids", values) from None
    try:
        return _check_tuple(field_name, ids)
    except TypeError:  # an item that cannot be hashed
        return _check_tuple.__wrapped__(field_name, ids)


@lru_cache(maxsize=1000)  # hosts offer the same candidates again and again
def _check_tuple(field_name: str, ids: tuple[Any, ...]) -> tuple[str, ...]:
    checked = [
        check_id(f"{field_name}[{position}]", value)
        if type(value) is not str or not 0 < len(value) <= MAX_ID_LENGTH or _UNPRINTABLE.search(value)
        else value
        for position, value in enumerate(ids)
    ]
    return tuple(dict.fromkeys(checked))


def camel_case(name: str) -> str:
    """Return a name in snake_case as other languages write it: ``maxCostUsd`` for ``max_cost_usd``."""
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def check_amount(name: str, value: Any, maximum: float = math.inf) -> float:
    """Return ``value`` as a float; raise InvalidValueError unless it is a finite number from 0 to ``maximum``."""
    try:
        amount = math.nan if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        amount = math.nan
    if not (0.0 <= amount <= maximum and amount != math.inf):
        bound = "≥ 0" if maximum == math.inf else f"from 0 to {maximum:,.0f}"
        raise InvalidValueError(name, f"a finite number {bound}", value)
    return amount
