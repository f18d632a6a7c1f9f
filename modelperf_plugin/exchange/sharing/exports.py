"""Export files: JSON, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, get_args

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.parquet import open_parquet, pyarrow
from modelperf_plugin.exchange.parsing import read_bytes
from modelperf_plugin.exchange.sharing.share import COLUMNS, FORMAT, VERSION, Export, as_entry, as_tally
from modelperf_plugin.values import Tally

Format = Literal["json", "csv", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def write_text(entries: Sequence[Tally], form: Format, origin: str, created: datetime) -> str:
    """Return an export of ``entries`` in JSON or CSV; ``origin`` is the id of the store."""
    if form == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*COLUMNS, "origin"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**as_entry(tally), "origin": origin} for tally in entries)
        return text.getvalue()
    head = {"format": FORMAT, "version": VERSION, "origin": origin, "made": created.isoformat(timespec="seconds")}
    return json.dumps({**head, "entries": [as_entry(tally) for tally in entries]}, indent=1, ensure_ascii=False) + "\n"


def write_parquet(entries: Sequence[Tally], path: Path, origin: str) -> None:
    """Write a Parquet file of ``entries``; raise MissingExtraError if the extra is not installed."""
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    rows = [{**as_entry(tally), "origin": origin} for tally in entries]
    text, number = arrow.string(), arrow.int64()
    kinds = {"task_type": text, "model_id": text, "total_cost_usd": arrow.float64(), "last_used": text, "origin": text}
    schema = arrow.schema([(column, kinds.get(column, number)) for column in (*COLUMNS, "origin")])
    parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), path)


def read_export(path: Path) -> Export:
    """Read an export in any format; raise OutcomesFileError, which names the entry, if it is not a valid one."""
    content = read_bytes(path)
    if content.startswith(b"PAR1"):
        entries: Iterable[Any] = open_parquet(path).read().to_pylist()
        origin = None
    else:
        entries, origin = _read_text(str(path), content)
    tallies: dict[tuple[str, str], Tally] = {}
    for number, entry in enumerate(entries, 1):
        try:
            tally = as_tally(entry if isinstance(entry, Mapping) else {})
        except InvalidValueError as error:
            raise OutcomesFileError(str(path), None, f"entry {number}: {error}") from error
        if tallies.setdefault((tally.task_type, tally.model_id), tally) is not tally:
            message = f"entry {number} repeats {tally.model_id} on {tally.task_type}"
            raise OutcomesFileError(str(path), None, message)
        origin = entry.get("origin") or origin
    return Export(list(tallies.values()), origin, sha256(content).hexdigest())


def _read_text(name: str, content: bytes) -> tuple[Iterable[Any], str | None]:
    try:
        text = content.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            return _read_csv(name, text), None
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutcomesFileError(name, None, f"is not an export ({error})") from error
    if data.get("format") != FORMAT or not isinstance(data.get("entries"), list):
        raise OutcomesFileError(name, None, "is not an export of `modelperf export`")
    if data.get("version") != VERSION:
        raise OutcomesFileError(name, None, f"is of version {brief(data.get('version'))}; this version reads {VERSION}")
    origin = data.get("origin")
    return data["entries"], origin if isinstance(origin, str) else None


def _read_csv(name: str, text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    missing = [column for column in COLUMNS[:4] if column not in (reader.fieldnames or [])]
    if missing:
        raise OutcomesFileError(name, 1, f"is not an export: it has no column {', '.join(missing)}")
    try:
        return list(reader)
    except csv.Error as error:
        raise OutcomesFileError(name, reader.line_num, f"is not CSV ({error})") from error
