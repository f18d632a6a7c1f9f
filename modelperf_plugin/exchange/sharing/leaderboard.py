"""Leaderboards: CSV files with a success rate, or successes of a number of tasks, for each model."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NamedTuple

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.exchange.parsing import parse_count, parse_number, read_bytes
from modelperf_plugin.exchange.sharing.share import GENERAL, Export
from modelperf_plugin.values import MAX_COST_USD, NANO_USD, Tally, check_amount, check_id

Unit = Literal["fraction", "percent"]
ORIGIN: Final = "leaderboard"
ORIGIN_OF_SCORES: Final = "leaderboard of scores"
"""The origin of a leaderboard that does not tell the number of tasks of every model."""
SCORE_TASKS: Final = 1000
"""As of how many tasks such a score is stored: of more than any sensible strength."""
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model", "model_id", "model name", "name"),
    "score": ("score", "success_rate", "success rate", "accuracy", "pass_rate", "pass@1", "resolved"),
    "successes": ("successes", "passed", "solved"),
    "n": ("n", "samples", "tasks", "instances", "total"),
    "cost_usd": ("cost_usd", "cost", "cost per task"),
    "task_type": ("task_type", "task type"),
}
"""Our columns, and what files call them."""
_PERCENT: Final = re.compile(r"^%\s*|\s*\(?(%|percent|pct)\)?$")


class _Score(NamedTuple):
    value: float
    unit: Unit | None
    """None: it may be either."""


class _Row(NamedTuple):
    line: int
    model_id: str
    task_type: str
    score: _Score | None
    successes: int | None
    n: int
    cost_usd: float


def is_leaderboard(path: Path, columns: Mapping[str, str] | None = None) -> bool:
    """Return whether a file is CSV with the columns of a leaderboard; an export is none."""
    try:
        header, _ = _read(path, read_bytes(path))
    except OutcomesFileError:
        return False
    found, _ = _places(header, columns or {})
    return "model" in found and ("score" in found or {"successes", "n"} <= found.keys())


def read_leaderboard(
    path: Path, columns: Mapping[str, str] | None = None, *, unit: Unit | None = None, task_type: str = GENERAL
) -> Export:
    """Read a leaderboard: every model's successes of n tasks, on no particular task type unless one is given.

    ``columns`` maps our columns to the file's, where they differ. ``unit`` is that of the scores; without it, it
    follows from a percent sign, or from their size. A row without a score is left out.

    Raises:
        OutcomesFileError: the file is no leaderboard, or has a value that is not usable; the message names the line.
    """
    content = read_bytes(path)
    header, lines = _read(path, content)
    found, is_percent = _places(header, columns or {})
    unit = unit or ("percent" if is_percent else None)
    tallies: dict[tuple[str, str], Tally] = {}
    rows = []
    for line, row in lines:
        values = {column: row[place].strip() for column, place in found.items() if place < len(row)}
        try:
            rows.append(_row(line, values, unit, task_type))
        except InvalidValueError as error:
            raise OutcomesFileError(str(path), line, str(error)) from None
    rows = [row for row in rows if row.score is not None or row.successes is not None]
    unit = _unit(path, rows)
    for each in rows:
        tally = _tally(path, each, unit)
        if tallies.setdefault(tally[:2], tally) is not tally:
            raise OutcomesFileError(str(path), each.line, f"repeats {each.model_id}")
    if not tallies:
        raise OutcomesFileError(str(path), None, "has no model with a score")
    origin = ORIGIN if all(each.n for each in rows) else ORIGIN_OF_SCORES
    return Export(list(tallies.values()), origin, sha256(content).hexdigest())


def _read(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the first line, and the others that are not empty with their numbers."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        return next(reader, []), [(reader.line_num, row) for row in reader if any(row)]
    except (ValueError, csv.Error) as error:
        raise OutcomesFileError(str(path), None, f"is not CSV ({error})") from error


def _places(header: Sequence[str], columns: Mapping[str, str]) -> tuple[dict[str, int], bool]:
    """Return where our columns are, and whether the scores are said to be in percent."""
    names = [name.strip().casefold() for name in header]
    plain = [_PERCENT.sub("", name) for name in names]
    found: dict[str, int] = {}
    for column, usual in COLUMNS.items():
        for name in [columns[column].strip().casefold()] if column in columns else usual:
            known = names if name in names else plain
            if name in known and column not in found:
                found[column] = known.index(name)
    score = found.get("score")
    return found, score is not None and plain[score] != names[score]


def _row(line: int, values: Mapping[str, str], unit: Unit | None, task_type: str) -> _Row:
    n = parse_count("n", values.get("n"))
    cost = parse_number("cost_usd", values.get("cost_usd", "").removeprefix("$"))
    named, solved = values.get("task_type"), values.get("successes")
    return _Row(
        line, check_id("model", values.get("model", "")), check_id("task_type", named) if named else task_type,
        _score(values.get("score", ""), unit), parse_count("successes", solved) if n and solved else None, n,
        check_amount("cost_usd", cost or 0.0, MAX_COST_USD),
    )  # fmt: skip


def _score(text: str, unit: Unit | None) -> _Score | None:
    number = parse_number("score", text.removesuffix("%"))
    if number is None:
        return None
    unit = "percent" if text.endswith("%") else unit
    if not 0.0 <= number <= (1.0 if unit == "fraction" else 100.0):
        raise InvalidValueError("score", "a success rate from 0 to 1, or from 0 to 100 in percent", number)
    return _Score(number, unit)


def _unit(path: Path, rows: Iterable[_Row]) -> Unit:
    """Return the unit of the scores that may be in either, by their size."""
    open_scores = [(row.score.value, row.line) for row in rows if row.score is not None and row.score.unit is None]
    above = [each for each in open_scores if each[0] > 1.0]
    below = [each for each in open_scores if 0.0 < each[0] <= 1.0]
    if above and below:
        message = (
            f"the scores may be fractions or percentages: {below[0][0]:g} in line {below[0][1]}, {above[0][0]:g} in "
            f"line {above[0][1]} (say which with --scores fraction or --scores percent)"
        )
        raise OutcomesFileError(str(path), None, message)
    return "percent" if above else "fraction"


def _tally(path: Path, row: _Row, unit: Unit) -> Tally:
    n, successes = row.n or SCORE_TASKS, row.successes
    if successes is None and row.score is not None:
        value = row.score.value
        successes = round(n * (value / 100.0 if (row.score.unit or unit) == "percent" else value))
    if successes is None or successes > n:
        raise OutcomesFileError(str(path), row.line, f"successes must be at most n = {n:,}, but got {successes}")
    return Tally(
        row.task_type, row.model_id, successes, n - successes,
        total_cost_nano_usd=round(row.cost_usd * NANO_USD), priced=int(row.cost_usd > 0),
    )  # fmt: skip
