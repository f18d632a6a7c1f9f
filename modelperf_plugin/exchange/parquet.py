"""Parquet files, with the extra ``parquet``; imports pyarrow on first use."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from modelperf_plugin.errors import MissingExtraError, OutcomesFileError


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
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise OutcomesFileError(str(path), None, f"cannot be read as Parquet ({error})") from error
