"""The summary: the counts that wait for the database, in the shape of the migration guide's JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.values import NANO_USD, Tally, from_milliseconds

_MARK: Final = "waitsForDatabase"


def write_summary(path: Path, tallies: Iterable[Tally]) -> None:
    """Replace the summary in one step, if it can be written; another program's file of that name is not touched."""
    if path.exists() and not is_summary(path):
        return
    content: dict[str, dict[str, Any]] = {}
    for tally in tallies:
        content.setdefault(tally.task_type, {})[tally.model_id] = _row(tally)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()


def remove_summary(path: Path) -> None:
    """Delete the file at ``path`` if it is a summary."""
    if is_summary(path):
        with suppress(OSError):
            path.unlink()


def is_summary(path: Path) -> bool:
    """Return whether the file at ``path`` is a summary, and not another program's."""
    try:
        content = json.loads(path.read_bytes())
        return all(row[_MARK] is True for models in content.values() for row in models.values())
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
