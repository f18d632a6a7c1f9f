"""The summary: the counts that wait for the database, in the shape of the migration guide's JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.files import open_regular, read_regular, write_whole
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.values import NANO_USD, Tally, from_milliseconds

MAX_BYTES: Final = 1 << 28
"""A larger file is another program's."""
_HEAD_BYTES: Final = 1 << 14
_MARK: Final = "waitsForDatabase"
_EMPTY: Final = b"{}"


def write_summary(path: Path, tallies: Iterable[Tally]) -> None:
    """Replace the summary in one step, if it can be written; another program's file of that name is not touched."""
    if path.exists() and not is_summary(path):
        return
    content: dict[str, dict[str, Any]] = {}
    for tally in tallies:
        content.setdefault(tally.task_type, {})[tally.model_id] = _row(tally)
    with suppress(OSError):
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False).encode())


def remove_summary(path: Path) -> None:
    """Delete the file at ``path`` if it is a summary."""
    if is_summary(path):
        with suppress(OSError):
            path.unlink()


def is_summary(path: Path) -> bool:
    """Return whether the file at ``path`` is a summary, and not another program's."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
        if _MARK.encode() not in head:  # it would be in the first row: the rest, however large, need not be read
            return head.strip() == _EMPTY
        content = read_regular(path, MAX_BYTES)
        return all(row[_MARK] is True for models in parse_json(content).values() for row in models.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _row(tally: Tally) -> dict[str, Any]:
    last_used = None if tally.last_used_ms is None else from_milliseconds(tally.last_used_ms).isoformat()
    return {
        "successes": tally.successes,
        "failures": tally.failures,
        "timeouts": tally.timeouts,
        "totalTokens": tally.total_tokens,
        "totalCost": tally.total_cost_nano_usd / NANO_USD,
        "lastUsed": last_used,
        "successRate": tally.success_rate,
        _MARK: True,
    }
