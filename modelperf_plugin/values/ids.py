"""Names of task types, models, outcomes and units, and the checks that every value shares."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError

MAX_ID_LENGTH: Final = 512

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def check_id(field_name: str, value: Any) -> str:
    """Return ``value`` if it can name a task type, a model, an outcome or a unit.

    Raises:
        InvalidValueError: it is not a string of 1 to 512 characters without control characters,
            line separators and lone surrogates.
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
    return str.__str__(value)  # of an enumeration's member str() would be its name in the code


def check_ids(field_name: str, values: Any) -> tuple[str, ...]:
    """Return the model ids in ``values``, each once, in the order given.

    Raises:
        InvalidValueError: it is a single string or not iterable, or an item is not a usable id.
    """
    if isinstance(values, (str, bytes)):
        raise InvalidValueError(field_name, "a list of model ids, not one string", values)
    try:
        given = tuple(values)
    except TypeError:
        raise InvalidValueError(field_name, "a list of model ids", values) from None
    checked = [
        check_id(f"{field_name}[{position}]", value)
        if type(value) is not str or not 0 < len(value) <= MAX_ID_LENGTH or _UNPRINTABLE.search(value)
        else value
        for position, value in enumerate(given)
    ]
    return tuple(dict.fromkeys(checked))


def check_amount(name: str, value: Any, most: float = math.inf) -> float:
    """Return ``value`` as a float if it is a finite number from 0 to ``most``; raise InvalidValueError if not."""
    try:
        amount = math.nan if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        amount = math.nan
    if not (0.0 <= amount <= most and amount != math.inf):
        bound = "≥ 0" if most == math.inf else f"from 0 to {most:,.0f}"
        raise InvalidValueError(name, f"a finite number {bound}", value)
    return amount
