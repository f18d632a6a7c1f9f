"""Parquet files, with the extra ``parquet``; imports pyarrow on first use."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from modelperf_plugin.errors import MissingExtraError, OutcomesFileError
from modelperf_plugin.files import refuse_special


def pyarrow(name: str) -> Any:
    """Return a module of pyarrow; raise MissingExtraError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("Parquet files", "parquet") from error


def open_parquet(path: Path) -> Any:
    """Open the file at ``path``; raise OutcomesFileError if it is not a Parquet file."""
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    try:
        refuse_special(path)
        return parquet.ParquetFile(path, read_dictionary=_text_columns(parquet.read_schema(path)))
    except (OSError, ValueError, arrow.ArrowException) as error:  # names that are not text are a ValueError
        raise OutcomesFileError(str(path), None, f"cannot be read as Parquet ({error})") from error


def check_plain(name: str, file: Any, columns: Iterable[str], list_column: str | None = None) -> None:
    """Raise OutcomesFileError if one of the columns of an open file holds lists, structs or maps.

    The column ``list_column`` may hold lists of single values.
    """
    types = pyarrow("pyarrow.types")
    for column in columns:
        kind = file.schema_arrow.field(column).type
        if column == list_column and types.is_list(kind):
            kind = kind.value_type
        if types.is_nested(kind):
            raise OutcomesFileError(name, None, f"the column {column} holds {kind}, but must hold single values")


def parquet_rows(name: str, file: Any, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of an open file as Python values, in memory for a batch of them.

    Raises:
        OutcomesFileError: the file is damaged, or a value cannot be represented.
    """
    arrow = pyarrow("pyarrow")
    try:
        for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns)):
            yield from zip(*(_values(batch.column(column)) for column in columns), strict=True)
    except (OSError, ValueError, OverflowError, arrow.ArrowException) as error:
        raise OutcomesFileError(name, None, f"cannot be read as Parquet ({error})") from error


def _text_columns(schema: Any) -> list[str]:
    """Return the columns whose repeated values are read once: a text that fills a gigabyte is held once, too."""
    types = pyarrow("pyarrow.types")
    return [field.name for field in schema if types.is_string(field.type) or types.is_large_string(field.type)]


def _values(column: Any) -> list[Any]:
    arrow, types = pyarrow("pyarrow"), pyarrow("pyarrow.types")
    if types.is_dictionary(column.type):
        values = column.dictionary.to_pylist()
        return [None if index is None else values[index] for index in column.indices.to_pylist()]
    if types.is_timestamp(column.type) and column.type.unit == "ns":  # Python's times end at microseconds
        column = column.cast(arrow.timestamp("us", column.type.tz), safe=False)
    return list(column.to_pylist())
