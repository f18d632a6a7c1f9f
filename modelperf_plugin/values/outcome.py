"""The outcome of one task with one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Final, Literal, Self, get_args

from modelperf_plugin.errors import InvalidValueError, brief
from modelperf_plugin.values.ids import camel_case, check_amount, check_id

ErrorKind = Literal[
    "rate_limit", "server_error", "network", "unavailable", "cancelled", "caller_error", "context_overflow", "refused",
    "other",
]  # fmt: skip

ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)

Blame = Literal["model", "provider", "caller"]
"""Who caused a failure: the model, the provider by an outage, or the caller."""

BLAMES: Final[Mapping[str | None, Blame]] = {
    None: "model",
    "other": "model",
    "context_overflow": "model",
    "refused": "model",
    "rate_limit": "provider",
    "server_error": "provider",
    "network": "provider",
    "unavailable": "provider",
    "cancelled": "caller",
    "caller_error": "caller",
}
"""Who is to blame for a failure of each error kind. The provider's lower availability, the model's quality, and the
caller's neither. Read it by :func:`blame_of` or :attr:`Outcome.blame`, except where every call counts."""

MAX_TOKENS: Final = 2**53
MAX_SECONDS: Final = MAX_TOKENS / 1000
MAX_COST_USD: Final = 1_000_000.0
NANO_USD: Final = 1_000_000_000
"""Costs are stored in whole nano-dollars: integers add up to the same sum in any order."""
WHOLE_SCORE: Final = 1_000_000
"""Scores are stored in millionths, for the same reason."""
DEFAULT_PASS_SCORE: Final = 0.5
"""The lowest score that is a success, unless the host gives ``success`` or the configuration sets another score."""


def blame_of(success: bool, error_kind: str | None) -> Blame | None:
    """Return who caused a failure; None for a success. A kind that is not known counts against the model."""
    return None if success else BLAMES.get(error_kind, "model")


def _check_flag(name: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    if type(value).__module__ == "numpy" and value in {0, 1}:  # its truth values are no numbers
        return bool(value)
    unless = ", unless there is a score" if name == "success" and value is None else ""
    raise InvalidValueError(name, f"True or False (or 1 or 0){unless}", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one task with one model.

    Raises:
        InvalidValueError: a field is out of range.
    """

    success: bool = None  # type: ignore[assignment]  # then the score decides
    """Whether the task succeeded, by the host's own verdict. Without it, ``score`` decides: a success is one of at
    least ``[quality] pass_score``."""
    timeout: bool = False
    """Whether the task exceeded its time, steps or budget; it can time out and still succeed. None becomes False."""
    tokens_used: int = 0
    """Input and output tokens of all attempts of this model; 0 also means unknown, and None becomes 0."""
    cost_usd: float = 0.0
    """Cost of this task in US dollars, at most 1,000,000, stored to the nano-dollar; 0 also means unknown, and None
    becomes 0."""
    duration_seconds: float | None = None
    """Wall time in seconds, or None if unknown."""
    error_kind: ErrorKind | None = None
    """Why it failed. ``rate_limit``, ``server_error``, ``network`` and ``unavailable`` (the model is gone) are outages;
    ``cancelled`` and ``caller_error`` are the caller's own; ``context_overflow``, ``refused`` (the model declined) and
    ``other`` count against the model."""
    timestamp: datetime | None = None
    """When it ended (aware); None means now."""
    outcome_id: str | None = None
    """Recording the same id again counts no second time, but replaces the verdict. None: no such protection."""
    score: float | None = None
    """How good the result is, from 0 to 1, if the host grades: models are judged by it rather than by ``success``.
    The score of a failure that is not the model's is not used."""
    retry_after_seconds: float | None = None
    """How long the provider asked to wait, as its ``Retry-After`` header does; None if it did not say."""
    served_model: str | None = None
    """The model that has really answered, where a router, a gateway or an alias decides that behind the name that was
    asked for; None or an empty text if unknown. The outcome counts for the model that was asked for: that is the choice
    to learn about. If another *candidate* has answered instead, report that one as the model of the outcome."""
    _has_derived_success: bool = field(default=False, init=False, repr=False, compare=False)
    """Whether ``success`` follows from the score."""

    def __post_init__(self) -> None:  # noqa: C901 - one line for each field
        # Hosts record on their hot path: a valid value costs one line.
        if self.score is not None:
            self._take_score(self.score)
        if self.success is not True and self.success is not False:
            object.__setattr__(self, "success", _check_flag("success", self.success))
        if self.timeout is not True and self.timeout is not False:
            is_late = self.timeout is not None and _check_flag("timeout", self.timeout)
            object.__setattr__(self, "timeout", is_late)
        if type(self.tokens_used) is not int or not 0 <= self.tokens_used <= MAX_TOKENS:
            object.__setattr__(self, "tokens_used", _check_tokens(self.tokens_used))
        if type(self.cost_usd) is not float or not 0.0 <= self.cost_usd <= MAX_COST_USD:
            cost_usd = 0.0 if self.cost_usd is None else check_amount("cost_usd", self.cost_usd, MAX_COST_USD)
            object.__setattr__(self, "cost_usd", cost_usd)
        if self.duration_seconds is not None or self.retry_after_seconds is not None:
            self._check_seconds("duration_seconds")
            self._check_seconds("retry_after_seconds")
        if self.error_kind is not None:
            object.__setattr__(self, "error_kind", _check_error_kind(self.error_kind))
        if self.timestamp is not None:
            _check_timestamp(self.timestamp)
        if self.outcome_id is not None:
            object.__setattr__(self, "outcome_id", check_id("outcome_id", self.outcome_id))
        if self.served_model is not None:
            object.__setattr__(self, "served_model", _check_served_model(self.served_model))

    def _take_score(self, score: float) -> None:
        amount = check_amount("score", score, 1.0)
        object.__setattr__(self, "score", amount)
        if self.success is None:
            object.__setattr__(self, "success", amount >= DEFAULT_PASS_SCORE)
            object.__setattr__(self, "_has_derived_success", True)

    def _check_seconds(self, name: str) -> None:
        seconds = getattr(self, name)
        if seconds is not None and (type(seconds) is not float or not 0.0 <= seconds <= MAX_SECONDS):
            object.__setattr__(self, name, check_amount(name, seconds, MAX_SECONDS))

    @property
    def blame(self) -> Blame | None:
        """Who caused the failure; None for a success, whatever its error kind."""
        return None if self.success else BLAMES[self.error_kind]

    @property
    def grade(self) -> float:
        """How good the result is, from 0 to 1: the score or, without one, 1 for a success and 0 for a failure."""
        return float(self.success) if self.score is None else self.score

    @property
    def score_millionths(self) -> int | None:
        """The score in whole millionths; None without one, and for a failure that says nothing about the model."""
        if self.score is None or not (self.success or BLAMES[self.error_kind] == "model"):
            return None
        return round(self.score * WHOLE_SCORE)

    @property
    def score_shift(self) -> int:
        """By how much the score differs from ``success``, in whole millionths; 0 without one."""
        score = self.score_millionths
        return 0 if score is None else score - WHOLE_SCORE * self.success

    def passing(self, pass_score: float) -> Self:
        """Return this outcome; if its ``success`` follows from the score, with ``pass_score`` as the threshold."""
        if not self._has_derived_success or self.score is None:
            return self
        return replace(self, success=self.score >= pass_score)

    @property
    def cost_nano_usd(self) -> int:
        """The cost in whole nano-dollars."""
        return round(self.cost_usd * NANO_USD)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Return an outcome from a mapping with the same keys, in snake_case or camelCase (``tokensUsed``).

        A timestamp may be an aware datetime or an ISO 8601 string with an offset.

        Raises:
            InvalidValueError: a key is unknown, missing or repeated, or a value is out of range.
        """
        arguments: dict[str, Any] = {}
        for key, value in mapping.items():
            name = _OUTCOME_KEYS.get(key) if isinstance(key, str) else None
            if name is None:
                raise InvalidValueError(
                    "outcome", f"a mapping with keys among {', '.join(_OUTCOME_FIELDS)}{_near(key)}", key
                )
            if name in arguments:
                raise InvalidValueError("outcome", f"a mapping that gives {name} once", dict(mapping))
            arguments[name] = value
        if "success" not in arguments and arguments.get("score") is None:
            raise InvalidValueError("outcome", "a mapping with the key success or score", dict(mapping))
        if isinstance(arguments.get("timestamp"), str):
            arguments["timestamp"] = _parse_timestamp(arguments["timestamp"])
        return cls(**arguments)


_OUTCOME_FIELDS = tuple(each.name for each in fields(Outcome) if each.init)
_OUTCOME_KEYS = {name: name for name in _OUTCOME_FIELDS} | {camel_case(name): name for name in _OUTCOME_FIELDS}


def _near(key: Any) -> str:
    near = get_close_matches(brief(key).strip("'"), _OUTCOME_FIELDS, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _check_tokens(value: Any) -> int:
    if value is None:
        return 0
    number: Any = None
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, float) or (isinstance(value, Real) and type(value).__module__ == "numpy"):
        number = float(value)
    if number is None or not 0 <= number <= MAX_TOKENS or number != int(number):
        raise InvalidValueError("tokens_used", "a whole number from 0 to 2^53", value)
    return int(number)


def _check_error_kind(value: Any) -> ErrorKind:
    if isinstance(value, str):
        for kind in ERROR_KINDS:
            if kind == value:
                return kind
    hint = " (for a timeout, give timeout=True)" if isinstance(value, str) and value == "timeout" else ""
    raise InvalidValueError("error_kind", f"one of {', '.join(ERROR_KINDS)}{hint}", value)


def _check_served_model(value: Any) -> str | None:
    return None if isinstance(value, str) and not value else check_id("served_model", value)


def _check_timestamp(value: Any) -> None:
    if not isinstance(value, datetime):
        raise InvalidValueError("timestamp", "an aware datetime", value)
    if value.utcoffset() is None:
        raise InvalidValueError("timestamp", "an aware datetime (give it a timezone, as in datetime.now(UTC))", value)
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise InvalidValueError("timestamp", "from the years 1 to 9999 in UTC", value) from None


def _parse_timestamp(text: str) -> datetime:
    try:
        if text.isdigit():  # seconds or milliseconds, some of which would pass for the date 1795-12-29
            raise ValueError  # noqa: TRY301
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError("timestamp", "an ISO 8601 time such as 2026-01-31T12:00:00+00:00", text) from None
