"""Reading spool files: a line that is not an outcome costs that line, and is set aside for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.files import read_regular, write_whole
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.entries import Entry, Finding
from modelperf_plugin.text import count, printable
from modelperf_plugin.values import Outcome, check_id, check_tried, from_milliseconds

FORMAT: Final = 1
MAX_BYTES: Final = 1 << 32
_GROUP: Final = re.compile(rb'\{"group":(\d{1,9})\}')
"""The line before outcomes that were recorded together."""
WAITING: Final = "waiting"
UNREADABLE: Final = "unreadable"
"""Parts of the names of spool files, and of files with lines that could not be read."""


class Batch(NamedTuple):
    """The contents of a spool file."""

    batch_id: str
    """Unique; the database remembers it."""
    since_ms: int
    """When it was begun, in milliseconds since the Unix epoch."""
    reason: str
    """Why the database could not be used."""
    entries: list[Entry]
    unreadable: list[bytes]
    """Lines that are not outcomes."""


class _Header(NamedTuple):
    batch_id: str
    since_ms: int
    reason: str


def file_name(stem: str, batch_id: str, kind: str = WAITING) -> str:
    """Return the name of the file of a batch."""
    return f"{stem}.{kind}-{batch_id}.jsonl"


def read_batch(path: Path) -> Batch | None:
    """Return the contents of a spool file; None if it cannot be read, or another version has written it.

    A last line without its end is what a crash left of an outcome that was never acknowledged.
    """
    try:
        lines = read_regular(path, MAX_BYTES).split(b"\n")[:-1]
        changed_ms = path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None
    unreadable: list[bytes] = []
    header: _Header | None = _Header(path.stem.rpartition("-")[2], changed_ms, "The first line is not readable.")
    for line in lines[:1]:
        try:
            header = _parse_header(line)
        except (ValueError, TypeError, LookupError, OverflowError):
            unreadable.append(line)  # its outcomes are read all the same, under the id in the name of the file
    if header is None:
        return None
    entries = []
    for line in _whole_groups(lines[1:]):
        try:
            entries.append(_parse_outcome(line))
        except (ValueError, TypeError, LookupError, OverflowError):
            unreadable.append(line)
    return Batch(*header, entries, unreadable)


def group_of(outcomes: int) -> list[dict[str, int]]:
    """Return the line to write before outcomes that are recorded together; none before a single one."""
    return [{"group": outcomes}] if outcomes > 1 else []


def _whole_groups(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the lines of outcomes, without a group at the end that a crash left unfinished."""
    for number, line in enumerate(lines, 1):
        group = _GROUP.fullmatch(line)
        if group is None:
            yield line
        elif int(group[1]) > len(lines) - number:
            return


def set_aside(path: Path, batch: Batch) -> Path | None:
    """Keep the lines of a batch that are not outcomes in a file of their own; return it, or None without any.

    Raises:
        StoreFailedError: it cannot be written; the batch must stay.
    """
    if not batch.unreadable:
        return None
    aside = path.with_name(path.name.replace(f".{WAITING}-", f".{UNREADABLE}-"))
    try:
        write_whole(aside, b"".join(line + b"\n" for line in batch.unreadable))
    except OSError as error:
        raise StoreFailedError(f"{aside} cannot be written: {error.strerror or error}") from error
    return aside


def unreadable_lines(path: Path) -> Finding:
    """Return the finding for a file of lines that were set aside."""
    try:
        lines = count(read_regular(path, MAX_BYTES).count(b"\n"), "line")
    except OSError:
        lines = "lines"
    message = f"{lines} of spooled outcomes could not be read and are kept in {path}: correct or delete the file"
    return Finding("unreadable outcomes", ok=False, message=message)


def _parse_header(line: bytes) -> _Header | None:
    """Return the header in a line; None if another version has written it."""
    header = parse_json(line)
    if header["modelperf"] != FORMAT:
        return None
    since_ms = _moment(header["since_ms"])
    return _Header(check_id("batch", header["batch"]), since_ms, printable(str(header["reason"])))


def _parse_outcome(line: bytes) -> Entry:
    """Return the outcome in a line; raise ValueError, TypeError, LookupError or OverflowError if there is none."""
    task_type, model_id, ended_ms, values = parse_json(line)
    pair = check_id("task_type", task_type), check_id("model_id", model_id)
    if not isinstance(values, dict):
        raise TypeError(values)
    tried = check_tried("tried", values.pop("tried")) if "tried" in values else ()  # not in lines of earlier versions
    return Entry(*pair, Outcome(**values), _moment(ended_ms), tried)


def _moment(milliseconds: Any) -> int:
    if type(milliseconds) is not int:
        raise TypeError(milliseconds)
    from_milliseconds(milliseconds)  # refuses what is not a moment
    return milliseconds
