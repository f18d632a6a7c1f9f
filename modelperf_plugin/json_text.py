"""Reading JSON of any origin: whatever is wrong with it is one ValueError."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from modelperf_plugin.errors import brief

_MOST_DIGITS: Final = 309
"""Of whole numbers, as of the largest float."""
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str | bytes, *, well_formed: bool = False) -> Any:
    """Return the value in ``text``, which is UTF-8 if it is bytes; a byte order mark is skipped.

    Args:
        text: one JSON value.
        well_formed: also refuse lone surrogates, which cannot be encoded again.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has a key twice in one object, or holds a number that is not
            finite. A syntax error is a :class:`json.JSONDecodeError`.
    """
    try:
        plain = text.decode() if isinstance(text, bytes) else text
        value = DECODER.decode(plain.removeprefix("\ufeff"))
        if well_formed and _ESCAPED_SURROGATE.search(plain):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except MemoryError:
        raise ValueError("it is too large") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        twice = next(key for position, (key, _) in enumerate(pairs) if key in dict(pairs[:position]))
        raise ValueError(repeated_key(twice))
    return unique


def repeated_key(key: str) -> str:
    """Return the message for a key that an object has twice."""
    return f"the key {brief(key)} occurs twice in one object"


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{brief(digits)} is beyond the range of numbers")
    return number


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"{brief(digits)} is beyond the range of numbers")
    return int(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=_finite, parse_constant=_refuse
)
"""Refuses with ValueError what JSON does not allow; deep nesting is still a RecursionError."""
