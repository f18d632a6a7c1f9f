"""Export files: JSON, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, get_args

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.parquet import check_plain, open_parquet, parquet_rows, pyarrow
from modelperf_plugin.exchange.parsing import read_bytes
from modelperf_plugin.exchange.sharing.share import COLUMNS, FORMAT, VERSION, Export, as_entry, as_tally
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.values import Tally

MAX_ENTRIES: Final = 1_000_000
"""A file with more entries, each a pair of task type and model, is not an export."""
MAX_SUM: Final = 2**63 - 1

Format = Literal["json", "csv", "parquet"]
_BATCH_ROWS: Final = 10_000
_LEADERBOARD: Final = "that has the columns model and score, or model, successes and n (others with --column)"
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def text_export(entries: Sequence[Tally], form: Format, origin: str, created: datetime) -> str:
    """Return an export of ``entries`` in JSON or CSV; ``origin`` is the id of the store."""
    if form == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*COLUMNS, "origin"], lineterminator="\n")
        writer.writeheader()
        rows = ({**as_entry(tally), "origin": origin} for tally in entries)
        writer.writerows({**row, "confident": str(row["confident"]).lower()} for row in rows)
        return text.getvalue()
    head = {"format": FORMAT, "version": VERSION, "origin": origin, "made": created.isoformat(timespec="seconds")}
    return json.dumps({**head, "entries": [as_entry(tally) for tally in entries]}, indent=1, ensure_ascii=False) + "\n"


def parquet_export(entries: Sequence[Tally], origin: str) -> bytes:
    """Return an export of ``entries`` in Parquet; raise MissingExtraError if the extra is not installed."""
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    rows = [{**as_entry(tally), "origin": origin} for tally in entries]
    text, number = arrow.string(), arrow.int64()
    kinds = {
        **dict.fromkeys(("task_type", "model_id", "last_used", "origin"), text),
        "total_cost_usd": arrow.float64(), "confident": arrow.bool_(),
    }  # fmt: skip
    schema = arrow.schema([(column, kinds.get(column, number)) for column in (*COLUMNS, "origin")])
    content = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), content)
    return content.getvalue()


def read_export(path: Path) -> Export:
    """Read an export in any format; raise OutcomesFileError, which names the entry, if it is not a valid one."""
    content = read_bytes(path)
    if content.startswith(b"PAR1"):
        entries: Iterable[Any] = _read_parquet(path)
        origin = None
    else:
        entries, origin = _read_text(str(path), content)
    tallies: dict[tuple[str, str], Tally] = {}
    for number, entry in enumerate(entries, 1):
        if number > MAX_ENTRIES:
            raise OutcomesFileError(str(path), None, f"has more than {MAX_ENTRIES:,} entries: not an export")
        try:
            tally = as_tally(entry if isinstance(entry, Mapping) else {})
        except InvalidValueError as error:
            raise OutcomesFileError(str(path), None, f"entry {number}: {error}") from error
        if tallies.setdefault((tally.task_type, tally.model_id), tally) is not tally:
            message = f"entry {number} repeats {tally.model_id} on {tally.task_type}"
            raise OutcomesFileError(str(path), None, message)
        origin = entry.get("origin") or origin
    _check_sums(path, list(tallies.values()))
    return Export(list(tallies.values()), origin, sha256(content).hexdigest())


def _check_sums(path: Path, tallies: Sequence[Tally]) -> None:
    """Raise OutcomesFileError if no store could add up the entries."""
    for name in ("samples", "total_tokens", "total_cost_nano_usd"):
        if sum(getattr(tally, name) for tally in tallies) > MAX_SUM:
            column = "total_cost_usd" if name == "total_cost_nano_usd" else name
            raise OutcomesFileError(str(path), None, f"{column} of all entries together is beyond 2^63: not an export")


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    file = open_parquet(path)
    with closing(file):
        columns = [column for column in (*COLUMNS, "origin") if column in file.schema_arrow.names]
        check_plain(str(path), file, columns)
        for row in parquet_rows(str(path), file, columns, _BATCH_ROWS):
            yield dict(zip(columns, row, strict=True))


def _read_text(name: str, content: bytes) -> tuple[Iterable[Any], str | None]:
    try:
        text = content.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            return _read_csv(name, text), None
        data = parse_json(text)
    except ValueError as error:
        raise OutcomesFileError(name, None, f"is not an export ({error})") from error
    if data.get("format") != FORMAT or not isinstance(data.get("entries"), list):
        raise OutcomesFileError(name, None, "is not an export of `modelperf export`")
    if data.get("version") != VERSION:
        raise OutcomesFileError(name, None, f"is of version {brief(data.get('version'))}; this version reads {VERSION}")
    origin = data.get("origin")
    return data["entries"], origin if isinstance(origin, str) else None


def _read_csv(name: str, text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [column for column in COLUMNS[:4] if column not in (reader.fieldnames or [])]
        if missing:
            message = f"is not an export: it has no column {', '.join(missing)}; nor a leaderboard: {_LEADERBOARD}"
            raise OutcomesFileError(name, 1, message)
        return list(reader)
    except csv.Error as error:
        raise OutcomesFileError(name, reader.line_num, f"is not CSV ({error})") from error
