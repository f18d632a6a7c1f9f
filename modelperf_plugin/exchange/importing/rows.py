"""Conversion of records (lines of CSV, JSON objects, rows of tables) to outcomes for the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.exchange.parsing import parse_flag, parse_moment, parse_number, parse_tried
from modelperf_plugin.store import EventRow
from modelperf_plugin.values import DAY_MS, MAX_COST_USD, MAX_TOKENS, NANO_USD, Outcome, check_id, to_milliseconds

COLUMNS: Final = (
    "task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp", "duration_seconds",
    "error_kind", "outcome_id", "tried", "score",
)  # fmt: skip
"""The order of the values of a record."""
_REQUIRED: Final = COLUMNS[:3]
TASK_TYPE: Final = COLUMNS.index("task_type")

Record = Sequence[Any]
"""The values of one record, in the order of :data:`COLUMNS`; empty text or None if unknown."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS: Final[dict[Any, int]] = {"1": 1, "0": 0, "true": 1, "false": 0, True: 1, False: 0}


def is_required(column: str, *, has_score: bool) -> bool:
    """Return whether a table must have a column; ``score`` may take the place of ``success``."""
    return column in _REQUIRED and not (has_score and column == "success")


class Rejection(NamedTuple):
    """A record that is not usable."""

    line: int
    """The line in the file, or the number of the record, from 1."""
    reason: str


class Conversion(NamedTuple):
    """The records of a batch, converted."""

    rows: list[EventRow]
    outcome_ids: list[str | None]
    """One for each row; empty if no row has one."""
    rejected: list[Rejection]
    unknown: int
    """Number of records without a verdict."""


class RowConverter:
    """Converts records to outcomes.

    Nearly all records are plain and take a fast path; any other takes a slow path, which accepts more and explains what
    is wrong.
    """

    def __init__(self, pair_id: Callable[[str, str], int], now_ms: int, pass_score: float) -> None:
        """Take the function that returns the id of a pair, the time of outcomes without one, and the bar for scores."""
        self._pair_id = pair_id
        self._pass_score = pass_score
        self._now_ms = now_ms
        self._now = timedelta(milliseconds=now_ms)
        self.pairs: dict[tuple[str, str], int] = {}
        """The ids of the pairs so far."""

    def convert(self, records: Sequence[tuple[int, Any]]) -> Conversion:
        """Convert ``(line, record)``; a string in place of a record is the reason why it is not usable."""
        conversion = Conversion([], [], [], 0)
        rows, outcome_ids, pairs, parse = conversion.rows, conversion.outcome_ids, self.pairs, datetime.fromisoformat
        unknown = 0
        for line, record in records:
            try:
                task_type, model_id, success, timeout, tokens, cost, moment, *rest = record
                if any(rest) or (moment and moment[4] != "-"):
                    raise ValueError  # noqa: TRY301 - the slow path
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
                    None,
                    (),
                )
            except Exception:  # noqa: BLE001 - the slow path explains it
                if isinstance(record, str):
                    conversion.rejected.append(Rejection(line, record))
                    continue
                try:
                    converted = self._convert_slowly(record)
                except InvalidValueError as error:
                    conversion.rejected.append(Rejection(line, str(error)))
                    continue
                if converted is None:
                    unknown += 1
                    continue
                row, outcome_id = converted
                if outcome_id is not None:
                    outcome_ids += [None] * (len(rows) - len(outcome_ids)) + [outcome_id]
            rows.append(row)
        if outcome_ids:
            outcome_ids += [None] * (len(rows) - len(outcome_ids))
        return conversion._replace(unknown=unknown)

    def _convert_slowly(self, record: Record) -> tuple[EventRow, str | None] | None:
        """Return the outcome of a record and its id, None without a verdict; raise InvalidValueError if unusable."""
        values = dict(zip(COLUMNS, record, strict=True))
        pair = (check_id("task_type", values["task_type"]), check_id("model_id", values["model_id"]))
        success = parse_flag("success", values["success"])
        score = parse_number("score", values["score"])
        is_unknown = success is None and score is None
        outcome = Outcome(
            success=False if is_unknown else success,  # type: ignore[arg-type]  # the score decides
            timeout=bool(parse_flag("timeout", values["timeout"])),
            tokens_used=parse_number("tokens_used", values["tokens_used"]) or 0,  # type: ignore[arg-type]
            cost_usd=parse_number("cost_usd", values["cost_usd"]) or 0.0,
            duration_seconds=parse_number("duration_seconds", values["duration_seconds"]),
            error_kind=_text(values["error_kind"]),
            outcome_id=_text(values["outcome_id"]),
            score=score,
        ).passing(self._pass_score)
        moment = parse_moment("timestamp", values["timestamp"])
        tried = parse_tried("tried", values["tried"])
        if is_unknown:
            return None
        if pair not in self.pairs:
            self.pairs[pair] = self._pair_id(*pair)
        duration = outcome.duration_seconds
        return (
            self.pairs[pair],
            self._now_ms if moment is None else to_milliseconds(moment),
            int(outcome.success),
            int(outcome.timeout),
            outcome.tokens_used,
            outcome.cost_nano_usd,
            outcome.error_kind,
            None if duration is None else round(duration * 1000),
            outcome.score_millionths,
            tried,
        ), outcome.outcome_id


def _text(value: Any) -> Any:
    return None if value is None or value == "" else value
