"""Exporting experience: which tallies leave the machine, and under which names."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.exchange.parsing import parse_count, parse_moment, parse_number, parse_shift
from modelperf_plugin.values import (
    MAX_COST_USD,
    NANO_USD,
    WHOLE_SCORE,
    Tally,
    check_amount,
    check_id,
    combine,
    to_milliseconds,
)

FORMAT: Final = "modelperf export"
VERSION: Final = 1
CONFIDENT_OUTCOMES: Final = 10
"""An entry with so many outcomes is confident, by the migration guide's rule."""
GENERAL: Final = ""
"""The task type of counts on no particular one."""
MIN_SALT_LENGTH: Final = 8
HASH_PREFIX: Final = "h:"
COLUMNS: Final = (
    "task_type", "model_id", "successes", "failures", "timeouts", "timeout_failures", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "last_used", "later_successes", "later_failures",
    "later_timeout_failures", "graded", "score_shift", "later_score_shift", "confident",
)  # fmt: skip
MAX_TOTAL_USD: Final = MAX_COST_USD * 1000
_COUNTS: Final = (
    "successes", "failures", "timeouts", "timeout_failures", "outages", "caller_errors", "priced", "later_successes",
    "later_failures", "later_timeout_failures", "graded",
)  # fmt: skip


class Names(NamedTuple):
    """Which names are hashed, and with which salt."""

    salt: str = ""
    models: bool = False
    task_types: bool = False

    def apply(self, tally: Tally) -> Tally:
        """Return ``tally`` with its names hashed as configured."""
        return tally._replace(
            task_type=(
                hashed("task_type", tally.task_type, self.salt)
                if self.task_types and tally.task_type != GENERAL
                else tally.task_type
            ),
            model_id=hashed("model_id", tally.model_id, self.salt) if self.models else tally.model_id,
        )


class Selection(NamedTuple):
    """Which tallies are exported."""

    entries: list[Tally]
    """Under the exported names."""
    unsure: int
    """Number of pairs that are left out because they have too few outcomes."""
    small: int
    """Number of pairs that are left out because their task type has too few outcomes in total."""


class Export(NamedTuple):
    """The tallies of another project."""

    entries: list[Tally]
    origin: str | None
    """The id of its store; None if the file has none."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""


def select(
    tallies: Iterable[Tally],
    *,
    min_samples: int = 1,
    min_group: int = 1,
    sum_rest: bool = False,
    names: Names | None = None,
) -> Selection:
    """Select the tallies that leave the machine; raise InvalidValueError if the salt is too short to keep names secret.

    Excludes pairs with fewer than ``min_samples`` outcomes, and task types with fewer than ``min_group`` in total. With
    ``sum_rest`` their sum is an entry for each model, on no task type, however small: the models with the fewest
    outcomes are those that were avoided.
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
    chosen = {tally[:2] for tally in sure}
    rest = _sums(tally for tally in listed if tally[:2] not in chosen) if sum_rest else []
    entries = sorted(map(names.apply, rest + sure), key=lambda tally: (tally.task_type, tally.model_id))
    return Selection(entries, len(grouped) - len(sure), len(listed) - len(grouped))


def _sums(tallies: Iterable[Tally]) -> list[Tally]:
    """Return the sum of each model, on no task type."""
    sums: dict[str, Tally] = {}
    for tally in tallies:
        general = tally._replace(task_type=GENERAL)
        before = sums.get(tally.model_id)
        sums[tally.model_id] = general if before is None else combine(before, general)
    return list(sums.values())


def hashed(kind: str, name: str, salt: str) -> str:
    """Return the keyed hash of a name: the same for the same salt, meaningless without it."""
    return HASH_PREFIX + hmac.new(salt.encode(), f"{kind}:{name}".encode(), sha256).hexdigest()[:24]


def recognised(entries: Iterable[Tally], salt: str, known: Iterable[tuple[str, str]]) -> list[Tally]:
    """Return entries with those hashed names restored that are among ``known``: (kind, name)."""
    names = {(kind, hashed(kind, name, salt)): name for kind, name in known}
    return [
        tally._replace(
            task_type=names.get(("task_type", tally.task_type), tally.task_type),
            model_id=names.get(("model_id", tally.model_id), tally.model_id),
        )
        for tally in entries
    ]


def as_entry(tally: Tally) -> dict[str, Any]:
    """Return a tally as plain values; the keys are :data:`COLUMNS`."""
    values = tally.as_dict()
    computed = {"task_type": tally.task_type or None, "confident": is_confident(tally)}
    values = {**tally._asdict(), **tally.as_dict(), **computed}
    return {column: values[column] for column in COLUMNS}


def is_confident(tally: Tally) -> bool:
    """Return whether a pair has enough outcomes for the migration guide's rule; counts on no task type never have."""
    return tally.task_type != GENERAL and tally.samples >= CONFIDENT_OUTCOMES


def as_tally(entry: Mapping[str, Any]) -> Tally:
    """Return the tally of an entry; raise InvalidValueError if a value is missing or out of range.

    An entry without the counts of later tries, of an earlier version, holds first tries. One whose task type is empty
    holds counts on no particular one.
    """
    counts = {name: parse_count(name, entry.get(name)) for name in _COUNTS}
    last_used = parse_moment("last_used", entry.get("last_used"))
    tally = Tally(
        _task_type(entry),
        check_id("model_id", entry.get("model_id")),
        total_tokens=parse_count("total_tokens", entry.get("total_tokens")),
        total_cost_nano_usd=_nano_usd(entry.get("total_cost_usd")),
        last_used_ms=None if last_used is None else to_milliseconds(last_used),
        **counts,
        score_shift=parse_shift("score_shift", entry.get("score_shift")),
        later_score_shift=parse_shift("later_score_shift", entry.get("later_score_shift")),
    )
    if tally.outages + tally.caller_errors + tally.timeout_failures > tally.failures:
        raise InvalidValueError("failures", "at least outages, caller_errors and timeout_failures together", tally[3])
    if not _is_possible(tally):
        requirement = "at most successes, failures of quality and timeout_failures"
        later = (tally.later_successes, tally.later_failures, tally.later_timeout_failures)
        raise InvalidValueError("later_successes, later_failures and later_timeout_failures", requirement, later)
    if not _has_possible_scores(tally):
        raise InvalidValueError(
            "score_shift", "between -1,000,000 and 1,000,000 for each graded outcome", tally.score_shift
        )
    if tally.priced > tally.samples:
        raise InvalidValueError("priced", "at most successes and failures together", tally.priced)
    return tally


def first_tries(tally: Tally) -> Tally:
    """Return a tally without the successes and failures of later tries: they depend on what else was tried there."""
    return tally._replace(
        successes=tally.successes - tally.later_successes,
        failures=tally.failures - tally.later_failures,
        timeout_failures=tally.timeout_failures - tally.later_timeout_failures,
        score_shift=tally.score_shift - tally.later_score_shift,
        later_successes=0, later_failures=0, later_timeout_failures=0, later_score_shift=0,
    )  # fmt: skip


def _is_possible(tally: Tally) -> bool:
    """Return whether the later tries are a part of the whole."""
    first = first_tries(tally)
    return (
        first.successes >= 0
        and 0 <= first.timeout_failures <= first.quality_failures
        and tally.later_timeout_failures <= tally.later_failures
    )


def _has_possible_scores(tally: Tally) -> bool:
    """Return whether outcomes can have such scores: one lowers a success or raises a failure, by at most 1."""
    first = first_tries(tally)
    return (
        tally.graded <= tally.successes + tally.quality_failures - tally.timeout_failures
        and abs(tally.score_shift) <= WHOLE_SCORE * tally.graded
        and -first.successes <= first.score_shift / WHOLE_SCORE <= first.quality_failures
        and -tally.later_successes <= tally.later_score_shift / WHOLE_SCORE <= tally.later_failures
    )


def _nano_usd(value: Any) -> int:
    amount = check_amount("total_cost_usd", parse_number("total_cost_usd", value) or 0, MAX_TOTAL_USD)
    return round(Decimal(str(amount)) * NANO_USD)  # a product of floats is off by one above 4.5 million dollars


def _task_type(entry: Mapping[str, Any]) -> str:
    """Return the task type of an entry; one that is given and empty is none in particular."""
    given = entry.get("task_type")
    return GENERAL if "task_type" in entry and (given is None or given == "") else check_id("task_type", given)
