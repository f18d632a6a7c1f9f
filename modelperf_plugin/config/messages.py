"""Messages about problems of a configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from modelperf_plugin.errors import brief

_REMOVED_KEYS = {"store.acknowledge": "was removed: outcomes are always written before record returns; delete the key"}
_CLOSE = 0.75
"""How similar a table must be to a known one, from 0 to 1, to be a misspelling rather than a part of a name."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def quoted_path(keys: Iterable[str]) -> str:
    """Return a dotted path as TOML would write it: ``task_types."plan slice".demotion``."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False) for key in keys)


def unknown_key(name: str, known: Iterable[str], noun: str = "key") -> str:
    """Return a message that suggests the nearest known name, or lists all of them if none is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"unknown {noun}; did you mean {near[0]}?"
    return f"unknown {noun}; known: {', '.join(names)}"


def removed_key(path: Iterable[str]) -> str | None:
    """Return what to say about a key that an earlier version had; None for any other key."""
    return _REMOVED_KEYS.get(".".join(path))


def unquoted_name(path: Sequence[str], value: Any, known: Iterable[str]) -> str | None:
    """Return what to say about a table inside the table of a model or task type, whose name may have lacked quotes.

    TOML reads ``[models.gpt-4.1]`` as a table 1 in a table gpt-4. None for a key that resembles one of the ``known``.
    """
    names = list(known)
    if len(path) != 3 or not isinstance(value, dict) or get_close_matches(path[-1], names, n=1, cutoff=_CLOSE):
        return None
    parts = list(path[1:])
    while len(value) == 1:
        ((key, value),) = value.items()
        if key in names or not isinstance(value, dict):
            break
        parts.append(key)
    what = "model" if path[0] == "models" else "task type"
    return f"a {what} whose name contains a dot must be quoted: [{quoted_path([path[0], '.'.join(parts)])}]"


def requirement(schema: dict[str, Any]) -> str:
    """Return a JSON Schema in words: "a number from 0 to 1"."""
    if "anyOf" in schema:
        return " or ".join(requirement(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    words = {"boolean": "true or false", "object": "a table", "array": "an array"}
    if schema.get("format") == "date":
        return "a date such as 2026-11-01"
    text = "non-empty text" if schema.get("minLength") else "text"
    return words.get(str(kind), text)


def wrong_value(schema: dict[str, Any], value: Any) -> str:
    """Return a message with the requirement and the value."""
    return f"must be {requirement(schema)}, but got {_toml(value)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    lower = f"of at least {_number(low)}" if low is not None else f"above {_number(above)}" if above is not None else ""
    upper = f"at most {_number(high)}" if high is not None else f"below {_number(below)}" if below is not None else ""
    words = " and ".join(part for part in (lower, upper) if part)
    return f" {words}" if words else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:g}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a table" if isinstance(value, dict) else brief(value)
