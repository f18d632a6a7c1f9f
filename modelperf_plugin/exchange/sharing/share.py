"""Handing experience on: what leaves the machine, and under which names."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import MAX_COST_USD, MAX_TOKENS, NANO_USD, Tally, check_amount, check_id, to_milliseconds

FORMAT: Final = "modelperf export"
VERSION: Final = 1
MIN_SHARED_OUTCOMES: Final = 10
"""The document exports entries with so many outcomes or more."""
MIN_SALT_LENGTH: Final = 8
HASH_PREFIX: Final = "h:"
"""A hashed name begins with this."""
COLUMNS: Final = (
    "task_type", "model_id", "successes", "failures", "timeouts", "timeout_failures", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "last_used",
)  # fmt: skip
"""The keys of an entry."""
MAX_TOTAL_USD: Final = MAX_COST_USD * 1000
_COUNTS: Final = ("successes", "failures", "timeouts", "timeout_failures", "outages", "caller_errors", "priced")


class Names(NamedTuple):
    """Which names are hashed, and with which salt."""

    salt: str = ""
    models: bool = False
    task_types: bool = False

    def apply(self, tally: Tally) -> Tally:
        """Return a tally under the names that may leave the machine."""
        return tally._replace(
            task_type=hashed("task_type", tally.task_type, self.salt) if self.task_types else tally.task_type,
            model_id=hashed("model_id", tally.model_id, self.salt) if self.models else tally.model_id,
        )


class Selection(NamedTuple):
    """What would leave the machine, and what would not."""

    entries: list[Tally]
    """Under the names that would leave it."""
    unsure: int
    """Entries left out because they have too few outcomes."""
    small: int
    """Entries left out because their task type has too few outcomes in all."""


class Export(NamedTuple):
    """What another project has handed on."""

    entries: list[Tally]
    origin: str | None
    """What tells its store from others; None if the file does not say."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""


def select(
    tallies: Iterable[Tally],
    *,
    min_samples: int = MIN_SHARED_OUTCOMES,
    min_group: int = MIN_SHARED_OUTCOMES,
    names: Names | None = None,
) -> Selection:
    """Return what of ``tallies`` leaves the machine.

    Args:
        tallies: the counts of one's own store.
        min_samples: entries with fewer outcomes stay.
        min_group: task types with fewer outcomes in all stay.
        names: which names are hashed; by default none.

    Raises:
        InvalidValueError: the salt is too short to keep names secret.
    """
    names = names or Names()
    if (names.models or names.task_types) and len(names.salt) < MIN_SALT_LENGTH:
        requirement = f"at least {MIN_SALT_LENGTH} characters long, so that names cannot be guessed"
        raise InvalidValueError("salt", requirement, len(names.salt))
    listed = list(tallies)
    groups: Counter[str] = Counter()
    for tally in listed:
        groups[tally.task_type] += tally.samples
    grouped = [tally for tally in listed if groups[tally.task_type] >= min_group]
    sure = [tally for tally in grouped if tally.samples >= min_samples]
    entries = sorted((names.apply(tally) for tally in sure), key=lambda tally: (tally.task_type, tally.model_id))
    return Selection(entries, len(grouped) - len(sure), len(listed) - len(grouped))


def hashed(kind: str, name: str, salt: str) -> str:
    """Return a name that says nothing to whoever does not know the salt, and is the same for the same salt."""
    return HASH_PREFIX + hmac.new(salt.encode(), f"{kind}:{name}".encode(), sha256).hexdigest()[:24]


def recognised(entries: Iterable[Tally], salt: str, known: Iterable[tuple[str, str]]) -> list[Tally]:
    """Return entries under their own names, where these are among the ``known`` pairs of kind and name."""
    names = {(kind, hashed(kind, name, salt)): name for kind, name in known}
    return [
        tally._replace(
            task_type=names.get(("task_type", tally.task_type), tally.task_type),
            model_id=names.get(("model_id", tally.model_id), tally.model_id),
        )
        for tally in entries
    ]


def as_entry(tally: Tally) -> dict[str, Any]:
    """Return a tally as plain values, by the names of :data:`COLUMNS`."""
    values = tally.as_dict()
    return {column: getattr(tally, column, None) if column in _COUNTS else values[column] for column in COLUMNS}


def as_tally(entry: Mapping[str, Any]) -> Tally:
    """Return the tally of an entry.

    Raises:
        InvalidValueError: a value is missing or out of range; the message names it.
    """
    counts = {name: _count(name, entry.get(name), MAX_TOKENS) for name in _COUNTS}
    tally = Tally(
        check_id("task_type", entry.get("task_type")),
        check_id("model_id", entry.get("model_id")),
        total_tokens=_count("total_tokens", entry.get("total_tokens"), MAX_TOKENS),
        total_cost_nano_usd=_nano_usd(entry.get("total_cost_usd")),
        last_used_ms=_moment(entry.get("last_used")),
        **counts,
    )
    if tally.outages + tally.caller_errors + tally.timeout_failures > tally.failures:
        raise InvalidValueError("failures", "at least outages, caller_errors and timeout_failures together", tally[3])
    if tally.priced > tally.samples:
        raise InvalidValueError("priced", "at most successes and failures together", tally.priced)
    return tally


def _count(name: str, value: Any, most: int) -> int:
    number = _number(value)
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    if not whole or not 0 <= number <= most:
        raise InvalidValueError(name, "a whole number of 0 or more", value)
    return int(number)


def _nano_usd(value: Any) -> int:
    amount = check_amount("total_cost_usd", _number(value), MAX_TOTAL_USD)
    return round(Decimal(str(amount)) * NANO_USD)  # a product of floats is off by one from 4.5 million dollars on


def _number(value: Any) -> Any:
    """Return a number, also one that a CSV file wrote as text; what is missing is 0."""
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        try:
            return int(value) if value.isdigit() else float(value)
        except ValueError:
            return value
    return value


def _moment(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return to_milliseconds(moment)
    except (ValueError, TypeError, OverflowError):
        raise InvalidValueError("last_used", "an ISO 8601 time with an offset, or empty", value) from None
