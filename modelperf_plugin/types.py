"""The values that travel through the plugin: what a host hands in and what it gets back.

All are frozen. Whatever is wrong with a value is found where it is made, with one
:class:`~modelperf_plugin.errors.InvalidValueError` that names the field and the value given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple, Self, get_args, overload

from modelperf_plugin.errors import InvalidValueError, brief

ErrorKind = Literal["rate_limit", "server_error", "network", "cancelled", "caller_error", "context_overflow", "other"]
Mode = Literal["apply", "observe", "off"]
Status = Literal["ranked", "unproven", "demoted", "probe", "unavailable", "pinned"]

ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
OUTAGE_KINDS: Final = frozenset({"rate_limit", "server_error", "network"})
"""The provider failed, not the model: these lower availability, not quality."""
CALLER_ERROR_KINDS: Final = frozenset({"cancelled", "caller_error"})
"""The caller's own doing: these say nothing about the model."""
_NOT_THE_MODEL: Final = OUTAGE_KINDS | CALLER_ERROR_KINDS

MAX_ID_LENGTH: Final = 512
MAX_TOKENS: Final = 2**53
MAX_COST_USD: Final = 1_000_000.0
NANO_USD: Final = 1_000_000_000
"""Money is kept in whole nano-dollars: integers sum to the same number in every order."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


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


def to_milliseconds(moment: datetime) -> int:
    """Return the milliseconds from the Unix epoch to ``moment``, which must be aware; exact, floored."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the moment ``milliseconds`` after the Unix epoch, in UTC; exact."""
    return _EPOCH + milliseconds * _MILLISECOND


def _check_flag(name: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    raise InvalidValueError(name, "True or False (or 1 or 0)", value)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to one task with one model.

    Raises:
        InvalidValueError: a field is out of range; the message names it and the value.
    """

    success: bool
    """Whether the task was done well, by the host's own verdict."""
    timeout: bool = False
    """Whether the task ran out of its time, steps or budget (a task can time out and still succeed)."""
    tokens_used: int = 0
    """Tokens read and written, all attempts of this model together; 0 also stands for unknown."""
    cost_usd: float = 0.0
    """Price of this task in US dollars, at most 1,000,000; kept to the nano-dollar; 0 also stands for unknown."""
    duration_seconds: float | None = None
    """Wall time of the task in seconds, or None if unknown."""
    error_kind: ErrorKind | None = None
    """Why it failed, when the model may not be to blame. ``rate_limit``, ``server_error`` and ``network`` are
    outages; ``cancelled`` and ``caller_error`` are the caller's own; ``context_overflow`` and ``other`` count
    against the model."""
    timestamp: datetime | None = None
    """When it ended (aware); None means now."""
    outcome_id: str | None = None
    """Recording a second outcome with the same id changes nothing; None means no such protection."""

    def __post_init__(self) -> None:
        # Hosts record on their hot path: values that already have the right type and range pass in one line each.
        if self.success is not True and self.success is not False:
            object.__setattr__(self, "success", _check_flag("success", self.success))
        if self.timeout is not True and self.timeout is not False:
            object.__setattr__(self, "timeout", _check_flag("timeout", self.timeout))
        if type(self.tokens_used) is not int or not 0 <= self.tokens_used <= MAX_TOKENS:
            object.__setattr__(self, "tokens_used", _check_tokens(self.tokens_used))
        if type(self.cost_usd) is not float or not 0.0 <= self.cost_usd <= MAX_COST_USD:
            object.__setattr__(self, "cost_usd", check_amount("cost_usd", self.cost_usd, MAX_COST_USD))
        if self.duration_seconds is not None:
            duration = check_amount("duration_seconds", self.duration_seconds, MAX_TOKENS / 1000)
            object.__setattr__(self, "duration_seconds", duration)
        if self.error_kind is not None:
            object.__setattr__(self, "error_kind", _check_error_kind(self.error_kind))
        if self.timestamp is not None:
            _check_timestamp(self.timestamp)
        if self.outcome_id is not None:
            object.__setattr__(self, "outcome_id", check_id("outcome_id", self.outcome_id))

    @property
    def cost_nano_usd(self) -> int:
        """The cost in whole nano-dollars."""
        return round(self.cost_usd * NANO_USD)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make an outcome from a mapping with the same keys, in snake_case or camelCase (``tokensUsed``).

        A timestamp may be an aware datetime or an ISO 8601 string with an offset.

        Raises:
            InvalidValueError: a key is unknown, missing or given twice, or a value is out of range.
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
        if "success" not in arguments:
            raise InvalidValueError("outcome", "a mapping with the key success", dict(mapping))
        if isinstance(arguments.get("timestamp"), str):
            arguments["timestamp"] = _parse_timestamp(arguments["timestamp"])
        return cls(**arguments)


_OUTCOME_FIELDS = tuple(each.name for each in fields(Outcome))
_OUTCOME_KEYS = {name: name for name in _OUTCOME_FIELDS} | {
    re.sub(r"_(\w)", lambda match: match.group(1).upper(), name): name for name in _OUTCOME_FIELDS
}


def _near(key: Any) -> str:
    near = get_close_matches(brief(key).strip("'"), _OUTCOME_FIELDS, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _check_tokens(value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= MAX_TOKENS:
        raise InvalidValueError("tokens_used", "a whole number from 0 to 2^53", value)
    return int(value)


def _check_error_kind(value: Any) -> ErrorKind:
    if isinstance(value, str):
        for kind in ERROR_KINDS:
            if kind == value:
                return kind
    raise InvalidValueError("error_kind", f"one of {', '.join(ERROR_KINDS)}", value)


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
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError("timestamp", "an ISO 8601 time such as 2026-01-31T12:00:00+00:00", text) from None


class Tally(NamedTuple):
    """Counts and sums for one (task type, model). Nothing in it is estimated."""

    task_type: str
    model_id: str
    successes: int = 0
    """Outcomes with success."""
    failures: int = 0
    """Outcomes without, whatever the reason."""
    timeouts: int = 0
    """Outcomes that ran out of time, failed or not."""
    outages: int = 0
    """The failures that the provider caused: rate_limit, server_error, network."""
    caller_errors: int = 0
    """The failures that the caller caused: cancelled, caller_error."""
    total_tokens: int = 0
    """Tokens over all outcomes."""
    total_cost_nano_usd: int = 0
    """Cost over all outcomes in nano-dollars."""
    priced: int = 0
    """Outcomes that came with a cost above 0."""
    last_used_ms: int | None = None
    """Milliseconds from the Unix epoch to the newest outcome, or None if there is none."""
    timeout_failures: int = 0
    """The failures that ran out of time and are neither outages nor the caller's errors."""

    @property
    def samples(self) -> int:
        """Outcomes of any kind."""
        return self.successes + self.failures

    @property
    def success_rate(self) -> float | None:
        """Successes over all outcomes, outages included (the document's rule); None without any."""
        samples = self.successes + self.failures
        return self.successes / samples if samples else None

    @property
    def quality_failures(self) -> int:
        """Failures that say something about the model: neither outages nor the caller's errors."""
        return self.failures - self.outages - self.caller_errors

    @property
    def availability(self) -> float | None:
        """The share of the outcomes that were no outages; None without any."""
        samples = self.successes + self.failures
        return 1.0 - self.outages / samples if samples else None

    @property
    def total_cost_usd(self) -> float:
        """Cost over all outcomes in US dollars."""
        return self.total_cost_nano_usd / NANO_USD

    @property
    def mean_cost_usd(self) -> float | None:
        """Mean cost in US dollars of the outcomes that came with one; None if none did."""
        return self.total_cost_nano_usd / (NANO_USD * self.priced) if self.priced else None

    @property
    def cost_per_success_usd(self) -> float | None:
        """US dollars spent on this pair, failures included, for each success.

        None without a success or a known cost. Outcomes without a cost are taken at the mean of the others.
        """
        mean = self.mean_cost_usd
        return mean * self.samples / self.successes if mean is not None and self.successes else None

    @property
    def last_used(self) -> datetime | None:
        """When the newest outcome ended, in UTC."""
        return None if self.last_used_ms is None else from_milliseconds(self.last_used_ms)

    def plus(self, outcome: Outcome, at_ms: int) -> Tally:
        """Return this tally with one more outcome, which ended at ``at_ms``."""
        failed = not outcome.success
        cost = outcome.cost_nano_usd
        newest = self.last_used_ms
        return Tally(
            self.task_type,
            self.model_id,
            self.successes + outcome.success,
            self.failures + failed,
            self.timeouts + outcome.timeout,
            self.outages + (failed and outcome.error_kind in OUTAGE_KINDS),
            self.caller_errors + (failed and outcome.error_kind in CALLER_ERROR_KINDS),
            self.total_tokens + outcome.tokens_used,
            self.total_cost_nano_usd + cost,
            self.priced + (cost > 0),
            at_ms if newest is None or at_ms > newest else newest,
            self.timeout_failures + (failed and outcome.timeout and outcome.error_kind not in _NOT_THE_MODEL),
        )

    def minus(self, other: Tally | None) -> Tally:
        """Return what this tally counts beyond ``other``, an earlier one of the same pair."""
        if other is None:
            return self
        counts = {
            name: getattr(self, name) - getattr(other, name) for name in self._fields[2:] if name != "last_used_ms"
        }
        return self._replace(**counts)

    def as_dict(self) -> dict[str, Any]:
        """Return the tally as plain JSON values."""
        last_used = self.last_used
        return {
            "task_type": self.task_type,
            "model_id": self.model_id,
            "successes": self.successes,
            "failures": self.failures,
            "timeouts": self.timeouts,
            "timeout_failures": self.timeout_failures,
            "outages": self.outages,
            "caller_errors": self.caller_errors,
            "total_tokens": self.total_tokens,
            "total_cost_usd": self.total_cost_usd,
            "priced": self.priced,
            "success_rate": self.success_rate,
            "availability": self.availability,
            "cost_per_success_usd": self.cost_per_success_usd,
            "last_used": None if last_used is None else last_used.isoformat(),
        }


def mean_costs(tallies: Iterable[Tally]) -> dict[str, float]:
    """Return what a task costs on average with each model that has a known cost, in US dollars."""
    sums: dict[str, tuple[float, int]] = {}
    for tally in tallies:
        cost, outcomes = sums.get(tally.model_id, (0.0, 0))
        sums[tally.model_id] = (cost + tally.total_cost_usd, outcomes + tally.priced)
    return {model_id: cost / outcomes for model_id, (cost, outcomes) in sums.items() if outcomes}


class RankedModel(NamedTuple):
    """One row of a ranking: a candidate with its score and why it stands where it stands."""

    model_id: str
    score: float | None
    """Estimated probability of success, 0 to 1; None where the strategy has no estimate."""
    interval: tuple[float, float] | None
    """Where that probability lies with 95 % credibility or confidence, as (low, high)."""
    tally: Tally
    """The evidence behind the score."""
    status: Status
    """``ranked``; ``unproven`` (fewer outcomes than ``min_samples``); ``demoted``; ``probe`` (demoted, and tried again
    by this decision); ``unavailable`` (it has had outages, and is left alone for a while); ``pinned``."""
    reason: str
    """One sentence for a person."""
    expected_cost_usd: float | None = None
    """What a task is expected to cost in US dollars, where costs matter to the decision and something is known."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {
            "model_id": self.model_id,
            "score": self.score,
            "interval": None if self.interval is None else list(self.interval),
            "status": self.status,
            "reason": self.reason,
            "expected_cost_usd": self.expected_cost_usd,
            "tally": self.tally.as_dict(),
        }


class Assignment(NamedTuple):
    """That a decision was made by an A/B test: its outcome is evidence there."""

    test_id: int
    """The test."""
    unit: int | None
    """A number for the unit that the task is for; None if the host named none."""


class Exclusion(NamedTuple):
    """A candidate that this decision may not use at all."""

    model_id: str
    reason: str
    """One sentence for a person."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {"model_id": self.model_id, "reason": self.reason}


class Ranking(Sequence[RankedModel]):
    """The candidates of one task type, best first; demoted ones last. Read only, equal if the rows are.

    The rows of a decision are made when somebody looks at them: a host that only wants the model does not wait for
    intervals and sentences.
    """

    __slots__ = ("_make", "_rows", "model_ids", "strategy")

    _rows: tuple[RankedModel, ...] | None
    _make: Callable[[], Iterable[RankedModel]] | None
    model_ids: tuple[str, ...]
    """The candidates' ids, in the order of the rows."""
    strategy: str
    """The ranking strategy that made it, by its name in TOML."""

    def __init__(self, rows: Iterable[RankedModel], strategy: str) -> None:
        """Make a ranking of ``rows``, best first, each model once."""
        made = tuple(rows)
        self._fill(tuple([row.model_id for row in made]), strategy, made, None)

    @classmethod
    def deferred(cls, model_ids: tuple[str, ...], strategy: str, make: Callable[[], Iterable[RankedModel]]) -> Self:
        """Return a ranking of ``model_ids`` whose rows are made by ``make`` when they are first asked for."""
        ranking = cls.__new__(cls)
        ranking._fill(model_ids, strategy, None, make)  # noqa: SLF001 - a second way to make one
        return ranking

    def _fill(
        self,
        model_ids: tuple[str, ...],
        strategy: str,
        rows: tuple[RankedModel, ...] | None,
        make: Callable[[], Iterable[RankedModel]] | None,
    ) -> None:
        put = object.__setattr__
        put(self, "model_ids", model_ids)
        put(self, "strategy", strategy)
        put(self, "_rows", rows)
        put(self, "_make", make)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @property
    def rows(self) -> tuple[RankedModel, ...]:
        """The candidates, each once."""
        make, rows = self._make, self._rows  # in this order: the rows are there before `make` goes
        if rows is None:
            # two threads may both make them: they make the same
            rows = tuple(make()) if make is not None else ()
            self._fill(self.model_ids, self.strategy, rows, None)
        return rows

    @overload
    def __getitem__(self, index: int) -> RankedModel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RankedModel, ...]: ...
    def __getitem__(self, index: int | slice) -> RankedModel | tuple[RankedModel, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.model_ids)

    def __iter__(self) -> Iterator[RankedModel]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranking):
            return NotImplemented
        return self.rows == other.rows and self.strategy == other.strategy

    def __hash__(self) -> int:
        return hash((self.model_ids, self.strategy))

    def __repr__(self) -> str:
        return f"Ranking({list(self.rows)}, {self.strategy!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Ranking, (self.rows, self.strategy)

    def first(self, count: int) -> Ranking:
        """Return the ranking of the first ``count`` candidates."""
        if count >= len(self.model_ids):
            return self
        return Ranking.deferred(self.model_ids[:count], self.strategy, lambda: self.rows[:count])

    def of(self, model_id: str) -> RankedModel:
        """Return the row of ``model_id``; raise KeyError if it is not a candidate."""
        for row in self.rows:
            if row.model_id == model_id:
                return row
        raise KeyError(model_id)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Decision(Sequence[str]):
    """Which model to use now, and why: a frozen sequence of model ids in the order to try them.

    ``decision[0] == decision.model_id`` is the choice; the rest are the fallbacks, demoted models last.
    """

    order: tuple[str, ...]
    """Model ids in the order to try them: the choice first, at least one."""
    decision_id: str
    """Unique; hand it (or the decision) back with the outcome."""
    task_type: str
    """The class of work this was decided for."""
    ranking: Ranking
    """All permitted candidates, best first, each with score, interval, tally, status and reason."""
    probabilities: tuple[float, ...]
    """For every row of the ranking the probability with which this policy chose it; they sum to 1."""
    reason: str
    """One sentence for a person: why this model."""
    explored: bool
    """Whether something other than the best-ranked model was chosen, to learn about it."""
    excluded: tuple[Exclusion, ...] = ()
    """Candidates that were not permitted: tried already, or over the budget."""
    policy_id: str
    """Fingerprint of the effective policy of this task type."""
    mode: Mode = "apply"
    """``apply``, or ``observe`` when the host was answered None."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When it was made, in UTC."""
    assignment: Assignment | None = None
    """The A/B test that made it, if one did."""

    @property
    def model_id(self) -> str:
        """The model to use."""
        return self.order[0]

    @property
    def propensities(self) -> dict[str, float]:
        """For every permitted candidate the probability with which this policy chose it; they sum to 1."""
        return dict(zip(self.ranking.model_ids, self.probabilities, strict=True))

    @property
    def propensity(self) -> float:
        """The probability with which this policy chose this model, given the evidence: above 0, at most 1."""
        return self.probabilities[self.ranking.model_ids.index(self.order[0])]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.order[index]

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[str]:
        return iter(self.order)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self.order

    def __hash__(self) -> int:
        return hash(self.decision_id)

    def __repr__(self) -> str:
        return f"<Decision {self.decision_id} on {self.task_type!r}: {list(self.order)}; {self.reason}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the whole decision as plain JSON values."""
        return {
            "decision_id": self.decision_id,
            "task_type": self.task_type,
            "model_id": self.model_id,
            "order": list(self.order),
            "propensity": self.propensity,
            "propensities": self.propensities,
            "reason": self.reason,
            "explored": self.explored,
            "ranking_strategy": self.ranking.strategy,
            "ranking": [row.as_dict() for row in self.ranking],
            "excluded": [row.as_dict() for row in self.excluded],
            "policy_id": self.policy_id,
            "mode": self.mode,
            "created_at": self.created_at.isoformat(),
            "assignment": None if self.assignment is None else self.assignment._asdict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a host may say about one task, beside its type; unknown keys are the host's own and ignored."""

    pin: str | None = None
    """Use this model, whatever the policy thinks; it must be one of the candidates."""
    unit_id: str | None = None
    """Whom or what the task is for (a user, a repository): in an A/B test one unit always gets the same side."""
    exclude: frozenset[str] = frozenset()
    """Models not to use, for example because they were tried on this task already."""
    max_cost_usd: float | None = None
    """The most this task may cost in US dollars, judged by each model's mean cost on this task type."""

    @property
    def plain(self) -> bool:
        """Whether nothing in it changes which candidates are permitted, or how they rank."""
        return self.pin is None and not self.exclude and self.max_cost_usd is None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None) -> Context:
        """Read the four keys from ``mapping``.

        Raises:
            InvalidValueError: one of them is not usable.
        """
        if mapping is None:
            return NO_CONTEXT
        if not isinstance(mapping, Mapping):
            raise InvalidValueError("context", "a mapping or None", mapping)
        if not mapping:
            return NO_CONTEXT
        pin, unit_id = mapping.get("pin"), mapping.get("unit_id")
        exclude, max_cost_usd = mapping.get("exclude"), mapping.get("max_cost_usd")
        return cls(
            pin=None if pin is None else check_id("context['pin']", pin),
            unit_id=None if unit_id is None else check_id("context['unit_id']", unit_id),
            exclude=frozenset() if exclude is None else frozenset(check_ids("context['exclude']", exclude)),
            max_cost_usd=None if max_cost_usd is None else check_amount("context['max_cost_usd']", max_cost_usd),
        )


NO_CONTEXT: Final = Context()


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
