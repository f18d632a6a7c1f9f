"""From the values of a record (a line of CSV, an object of JSON, a row of a table) to an outcome for the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import EventRow
from modelperf_plugin.values import DAY_MS, MAX_COST_USD, MAX_TOKENS, NANO_USD, Outcome, check_id, to_milliseconds

COLUMNS: Final = (
    "task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp", "duration_seconds",
    "error_kind", "outcome_id",
)  # fmt: skip
"""The order of the values of a record."""
REQUIRED: Final = COLUMNS[:3]
TASK_TYPE: Final = COLUMNS.index("task_type")

Record = Sequence[Any]
"""The values of one record, in the order of :data:`COLUMNS`; empty text or None for unknown."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS: Final[dict[Any, int]] = {"1": 1, "0": 0, "true": 1, "false": 0, True: 1, False: 0}
_WORDS: Final[dict[str, int]] = {"1": 1, "0": 0, "true": 1, "false": 0, "1.0": 1, "0.0": 0}


class Rejection(NamedTuple):
    """A record that could not be used."""

    line: int
    """Its line in the file, or its number, counted from 1."""
    reason: str
    """What is wrong, in one sentence."""


class Conversion(NamedTuple):
    """What became of the records of a batch."""

    rows: list[EventRow]
    """The outcomes."""
    outcome_ids: list[str | None]
    """The id of each; empty if none has one."""
    rejected: list[Rejection]
    """The records that could not be used."""
    unknown: int
    """How many do not say whether they succeeded."""


class RowConverter:
    """Makes outcomes of records.

    Nearly all records of a file are plain and take the fast way; whatever is unusual about one sends it the careful
    way, which accepts more and words what is wrong.
    """

    def __init__(self, pair_id: Callable[[str, str], int], now_ms: int) -> None:
        """Take what gives a (task type, model) its id; outcomes without a time get ``now_ms``."""
        self._pair_id = pair_id
        self._now_ms = now_ms
        self._now = timedelta(milliseconds=now_ms)
        self._pairs: dict[tuple[str, str], int] = {}

    def convert(self, records: Sequence[tuple[int, Any]]) -> Conversion:
        """Return the outcomes of ``(line, record)``; a text in the place of a record says what is wrong with it."""
        made = Conversion([], [], [], 0)
        rows, outcome_ids, pairs, parse = made.rows, made.outcome_ids, self._pairs, datetime.fromisoformat
        unknown = 0
        for line, record in records:
            try:
                task_type, model_id, success, timeout, tokens, cost, moment, duration, error_kind, outcome_id = record
                if duration or error_kind or outcome_id:
                    raise ValueError  # noqa: TRY301 - the careful way
                since = parse(moment) - _EPOCH if moment else self._now
                tokens = int(tokens or 0)
                nanos = round(float(cost or 0) * NANO_USD)
                if not 0 <= tokens <= MAX_TOKENS or not 0 <= nanos <= MAX_COST_USD * NANO_USD:
                    raise ValueError  # noqa: TRY301
                row: EventRow = (
                    pairs[task_type, model_id],
                    since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000,
                    _FLAGS[success],
                    _FLAGS[timeout or "0"],
                    tokens,
                    nanos,
                    None,
                    None,
                )
            except Exception:  # noqa: BLE001 - the careful way says what it is
                if isinstance(record, str):
                    made.rejected.append(Rejection(line, record))
                    continue
                try:
                    found = self._carefully(record)
                except InvalidValueError as error:
                    made.rejected.append(Rejection(line, str(error)))
                    continue
                if found is None:
                    unknown += 1
                    continue
                row, outcome_id = found
                if outcome_id is not None:
                    outcome_ids += [None] * (len(rows) - len(outcome_ids)) + [outcome_id]
            rows.append(row)
        if outcome_ids:
            outcome_ids += [None] * (len(rows) - len(outcome_ids))
        return made._replace(unknown=unknown)

    def _carefully(self, record: Record) -> tuple[EventRow, str | None] | None:
        """Return the outcome of one record and its id, or None if it does not say whether it succeeded.

        Raises:
            InvalidValueError: it cannot be used.
        """
        values = dict(zip(COLUMNS, record, strict=True))
        pair = (check_id("task_type", values["task_type"]), check_id("model_id", values["model_id"]))
        success = _flag("success", values["success"])
        outcome = Outcome(
            success=bool(success),
            timeout=bool(_flag("timeout", values["timeout"])),
            tokens_used=_number("tokens_used", values["tokens_used"]) or 0,  # type: ignore[arg-type]
            cost_usd=_number("cost_usd", values["cost_usd"]) or 0.0,
            duration_seconds=_number("duration_seconds", values["duration_seconds"]),
            error_kind=_text(values["error_kind"]),
            outcome_id=_text(values["outcome_id"]),
        )
        ended_ms = self._moment(values["timestamp"])
        if success is None:
            return None
        duration = outcome.duration_seconds
        return (
            self._pairs.get(pair) or self._intern(pair),
            ended_ms,
            int(outcome.success),
            int(outcome.timeout),
            outcome.tokens_used,
            outcome.cost_nano_usd,
            outcome.error_kind,
            None if duration is None else round(duration * 1000),
        ), outcome.outcome_id

    def _intern(self, pair: tuple[str, str]) -> int:
        self._pairs[pair] = pair_id = self._pair_id(*pair)
        return pair_id

    def _moment(self, value: Any) -> int:
        """Return the moment that a text (ISO 8601), a datetime or a number (milliseconds) stands for."""
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            return self._now_ms
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            if isinstance(value, datetime):
                aware = value if value.utcoffset() is not None else value.replace(tzinfo=UTC)
                return to_milliseconds(aware)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                _ = _EPOCH + timedelta(milliseconds=value)  # within the years 1 to 9999
                return int(value)
        except (ValueError, OverflowError):
            pass
        requirement = "an ISO 8601 time such as 2026-01-31T12:00:00+00:00, milliseconds since 1970, or empty"
        raise InvalidValueError("timestamp", requirement, value)


def _flag(column: str, value: Any) -> bool | None:
    if value is None or value is True or value is False:
        return value
    word = str(value).strip().lower()
    if not word:
        return None
    if word not in _WORDS:
        raise InvalidValueError(column, "0, 1, true, false or empty", value)
    return bool(_WORDS[word])


def _number(column: str, value: Any) -> float | None:
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return int(value) if value.isdigit() else float(value)
    except (ValueError, AttributeError):
        raise InvalidValueError(column, "a number or empty", value) from None


def _text(value: Any) -> Any:
    return None if value is None or value == "" else value
