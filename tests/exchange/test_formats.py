"""Times as numbers, names over lines, and column types of Parquet: kept as they are, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.exchange.importing.tables import ParquetTable
from modelperf_plugin.exchange.importing.text_files import CsvFile, JsonLinesFile
from modelperf_plugin.exchange.parsing import parse_moment
from modelperf_plugin.store import Store, open_store
from modelperf_plugin.values import Outcome
from tests.exchange.stores import import_from

MOMENT = datetime(2026, 11, 19, 21, 48, 32, tzinfo=UTC)
SECONDS = 1_795_124_912
"""Its milliseconds, as text, would pass for an hour of 1795-12-49."""
NUMBERS = (SECONDS, SECONDS * 10**3, SECONDS * 10**6, SECONDS * 10**9)


@pytest.fixture
def store() -> Iterator[Store]:
    """Return an empty store in memory."""
    with closing(open_store(":memory:")) as opened:
        yield opened


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", [int, float, str, Decimal, lambda number: f"{number}.0"])
def test_the_unit_of_a_number_follows_from_its_magnitude(number: int, form: Any) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds, as number or text, are the same moment."""
    assert parse_moment("timestamp", form(number)) == MOMENT


@pytest.mark.parametrize(
    "value",
    [0, 1, 20_260_131, 1_795, "946684799", 4_102_444_800, -SECONDS, 10**21, float("nan"), float("inf"), True, "1e400"],
)
def test_a_number_of_no_likely_time_is_refused(value: Any) -> None:
    """Zero, small and huge numbers would be 1970 or the far future: a mistake, not a time."""
    with pytest.raises(InvalidValueError, match="timestamp must be an ISO 8601 time"):
        parse_moment("timestamp", value)


@pytest.mark.parametrize("text", ["20260131", "2026-01-31", "2026-01-31T00:00:00Z"])
def test_dates_are_no_numbers(text: str) -> None:
    """A date without dashes is still a date."""
    assert parse_moment("timestamp", text) == datetime(2026, 1, 31, tzinfo=UTC)


def test_an_outcome_never_takes_a_number_for_a_date() -> None:
    """A host's timestamp is a datetime or ISO text: digits are refused, not read as a day of 1795."""
    for digits in ("1795122912345", "1795124912"):
        with pytest.raises(InvalidValueError, match="timestamp must be an ISO 8601 time"):
            Outcome.from_mapping({"success": True, "timestamp": digits})


@pytest.mark.parametrize("number", [1_795_122_912, 1_795_122_912_345])
def test_rows_with_numbers_count_at_their_time(store: Store, tmp_path: Path, number: int) -> None:
    """In CSV, JSON Lines and as JSON text the same number is the same time."""
    milliseconds = number if number > 10**12 else number * 1000
    (tmp_path / "a.csv").write_text(f"task_type,model_id,success,timestamp\nplan,csv,1,{number}\n")
    rows = [
        {"taskType": "plan", "modelId": str(type(n)), "success": True, "timestamp": n} for n in (number, f"{number}")
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_from(store, CsvFile(tmp_path / "a.csv"))
    import_from(store, JsonLinesFile(tmp_path / "a.jsonl"))
    assert [tally.last_used_ms for tally in store.tallies.all()] == [milliseconds] * 3


def test_a_name_over_two_lines_is_refused(store: Store, tmp_path: Path) -> None:
    """A quoted line break stays in its value: two names are never joined into one."""
    text = 'task_type,model_id,success,note\nplan,"gpt\n-4o",1,x\nplan,gpt-4o,1,"two\nlines"\n'
    (tmp_path / "a.csv").write_text(text)
    report = import_from(store, CsvFile(tmp_path / "a.csv"))
    assert [tally.model_id for tally in store.tallies.all()] == ["gpt-4o"]
    assert "model_id must be free of control characters" in report.listed[0].reason


def parquet(path: Path, **columns: Any) -> ParquetTable:
    """Write a Parquet file of outcomes with these columns, and open it."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {"task_type": pa.array(["plan"]), "model_id": pa.array(["m"]), "success": pa.array([True]), **columns}
    pq.write_table(pa.table(table), path, coerce_timestamps=None)
    return ParquetTable(path)


def test_types_of_parquet_that_mean_a_time_are_times(store: Store, tmp_path: Path) -> None:
    """Timestamps of every unit, with and without zone, dates and numbers; nanoseconds are floored."""
    pa = pytest.importorskip("pyarrow")
    nanoseconds = NUMBERS[3] + 123_456_789
    kinds = [
        *(pa.array([nanoseconds], pa.timestamp("ns", zone)) for zone in (None, "UTC", "Asia/Tokyo")),
        pa.array([NUMBERS[2] + 123_456], pa.timestamp("us")),
        pa.array([NUMBERS[1] + 123], pa.timestamp("ms")),
        pa.array([nanoseconds], pa.int64()),
        pa.array([Decimal(nanoseconds)], pa.decimal128(30, 3)),
        pa.array([str(nanoseconds)], pa.large_string()),
    ]
    for number, kind in enumerate(kinds):
        import_from(store, parquet(tmp_path / f"{number}.parquet", timestamp=kind, model_id=pa.array([str(number)])))
    assert {tally.last_used_ms for tally in store.tallies.all()} == {NUMBERS[1] + 123}
    import_from(
        store, parquet(tmp_path / "d.parquet", timestamp=pa.array([date(2026, 12, 1)]), model_id=pa.array(["d"]))
    )
    assert store.tallies.of("plan")["d"].last_used == datetime(2026, 12, 1, tzinfo=UTC)


def test_other_types_of_parquet_are_read_where_they_fit(store: Store, tmp_path: Path) -> None:
    """Decimals are amounts and counts; dictionaries, large strings and nulls are what they hold."""
    pa = pytest.importorskip("pyarrow")
    source = parquet(
        tmp_path / "a.parquet",
        task_type=pa.array(["plan", "plan", "plan"]).dictionary_encode(),
        model_id=pa.array(["a", "b", "a"], pa.large_string()),
        success=pa.array([Decimal(1), Decimal(0), None], pa.decimal128(3, 0)),
        cost_usd=pa.array([Decimal("0.25"), None, None], pa.decimal128(10, 4)),
        tokens_used=pa.array([Decimal(7), None, None], pa.decimal256(40, 2)),
        duration_seconds=pa.nulls(3),
    )
    report = import_from(store, source)
    assert (report.outcomes, report.unknown, report.rejected) == (2, 1, 0)
    tally = store.tallies.of("plan")["a"]
    assert (tally.successes, tally.total_cost_usd, tally.total_tokens) == (1, 0.25, 7)


def test_what_cannot_be_a_value_is_one_message(store: Store, tmp_path: Path) -> None:
    """Lists, structs and maps are refused with the column's name; a time beyond Python's years too."""
    pa = pytest.importorskip("pyarrow")
    for kind in (pa.array([["m"]]), pa.array([{"name": "m"}])):
        with pytest.raises(OutcomesFileError, match=r"the column model_id holds (list|struct)"):
            parquet(tmp_path / "a.parquet", model_id=kind)
    far = parquet(tmp_path / "b.parquet", timestamp=pa.array([2**62], pa.timestamp("ms")))
    with pytest.raises(OutcomesFileError, match="cannot be read as Parquet"):
        import_from(store, far)
    for kind in (pa.array([b"m"]), pa.array([5])):
        report = import_from(store, parquet(tmp_path / "c.parquet", model_id=kind))
        assert "model_id must be" in report.listed[0].reason


def test_a_text_repeated_in_every_row_is_held_once(store: Store, tmp_path: Path) -> None:
    """A column of hundreds of megabytes that a dictionary folds into one is refused row by row, in little memory."""
    pa = pytest.importorskip("pyarrow")
    rows = 200
    huge = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 2_000_000]))
    ones = {"task_type": pa.array(["plan"] * rows), "success": pa.array([True] * rows)}
    report = import_from(store, parquet(tmp_path / "a.parquet", model_id=huge, **ones))
    assert report.rejected == rows
