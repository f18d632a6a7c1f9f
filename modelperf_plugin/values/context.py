"""What a host may say about one task besides its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values.decision import Decision
from modelperf_plugin.values.ids import camel_case, check_amount, check_id, check_ids

MAX_ATTEMPTS: Final = 10
"""The most tries of one task that a plan covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a host may say about one task besides its type; unknown keys are ignored."""

    pin: str | None = None
    """Use this model regardless of the policy; it must be one of the candidates."""
    unit_id: str | None = None
    """Whom or what the task is for (a user, a repository): in an A/B test one unit always gets the same side."""
    exclude: frozenset[str] = frozenset()
    """Models not to use, whatever the reason. Failed models belong to ``retry_of``."""
    max_cost_usd: float | None = None
    """Maximum cost of this task in US dollars, compared with the expected cost of each model."""
    max_seconds: float | None = None
    """How many seconds this task has for all its tries: models count by their chance to succeed within that time."""
    retry_of: Decision | str | None = None
    """An earlier decision for the same task, or its id: models that failed under it are left out and count as tried."""
    attempts: int | None = None
    """How many tries the host makes of this task in total; None: as configured."""
    current_model: str | None = None
    """The model that the conversation has used so far: it stays until another one is worth ``[cost] switch_usd``."""

    @property
    def plain(self) -> bool:
        """Whether it affects neither the permitted candidates nor their ranking."""
        return (
            self.pin is None
            and not self.exclude
            and self.max_cost_usd is None
            and self.max_seconds is None
            and self.retry_of is None
            and self.attempts is None
            and self.current_model is None
        )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None) -> Context:
        """Read the known keys from ``mapping``, in snake_case or camelCase (``maxCostUsd``).

        Raises:
            InvalidValueError: one of them is not usable.
        """
        if mapping is None:
            return NO_CONTEXT
        if not isinstance(mapping, Mapping):
            raise InvalidValueError("context", "a mapping or None", mapping)
        if not mapping:
            return NO_CONTEXT
        arguments: dict[str, Any] = {}
        for key, value in mapping.items():
            name = _KEYS.get(key) if isinstance(key, str) else None
            if name is None or value is None:
                continue
            if name in arguments:
                raise InvalidValueError("context", f"a mapping that gives {name} once", dict(mapping))
            arguments[name] = _CHECKS[name](f"context[{key!r}]", value)
        return cls(**arguments) if arguments else NO_CONTEXT


def _check_exclude(name: str, value: Any) -> frozenset[str]:
    return frozenset(check_ids(name, value))


def _check_seconds(name: str, value: Any) -> float:
    seconds = check_amount(name, value)
    if seconds <= 0.0:
        raise InvalidValueError(name, "a positive number of seconds", value)
    return seconds


def _check_retry_of(name: str, value: Any) -> Decision | str:
    if not isinstance(value, (Decision, str)):
        raise InvalidValueError(name, "the earlier decision for this task, or its decision_id", value)
    return value if isinstance(value, Decision) else check_id(name, value)


def _check_attempts(name: str, value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 1 <= value <= MAX_ATTEMPTS:
        raise InvalidValueError(name, f"a whole number from 1 to {MAX_ATTEMPTS}, all tries of the task together", value)
    return int(value)


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "pin": check_id,
    "unit_id": check_id,
    "exclude": _check_exclude,
    "max_cost_usd": check_amount,
    "max_seconds": _check_seconds,
    "retry_of": _check_retry_of,
    "attempts": _check_attempts,
    "current_model": check_id,
}
_KEYS: Final = {name: name for name in _CHECKS} | {camel_case(name): name for name in _CHECKS}
_MAX_KEY_LENGTH: Final = 20
_LETTERS: Final = {name.replace("_", ""): name for name in _CHECKS}
_SIMILARITY: Final = 0.8
"""Lowest similarity of their letters, from 0 to 1, at which one key is taken for a misspelling of another."""

NO_CONTEXT: Final = Context()


def misspelled_keys(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys that are ignored though they resemble a known key, each with that key."""
    ignored = [key for key in mapping if isinstance(key, str) and key not in _KEYS and len(key) <= _MAX_KEY_LENGTH]
    return {key: known for key in ignored if (known := _resembled_by(key)) is not None}


@lru_cache(maxsize=1000)
def _resembled_by(key: str) -> str | None:
    letters = "".join(filter(str.isalpha, key.lower()))
    near = get_close_matches(letters, _LETTERS, n=1, cutoff=_SIMILARITY)
    return _LETTERS[near[0]] if near else None
