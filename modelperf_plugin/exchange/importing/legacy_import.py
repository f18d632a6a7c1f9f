"""Taking over from the older tracker: its JSON file beside the database is imported once, kept, then archived."""

from __future__ import annotations

import gzip
import logging
import os
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import ModelPerfError, OutcomesFileError
from modelperf_plugin.exchange.importing.legacy_json import LegacyFile, read_legacy_json
from modelperf_plugin.store import Finding, ImportRecord, Step, Store
from modelperf_plugin.store.fallback.spool import is_ours
from modelperf_plugin.values import DAY_MS, from_milliseconds

logger = logging.getLogger("modelperf_plugin")

KIND: Final = "json"
KEPT_MS: Final = 7 * DAY_MS
"""For so long the file stays where it is after it was imported."""


def legacy_path(store: Store) -> Path | None:
    """Return where the older tracker would have its file: beside the database, with the ending ``.json``."""
    path = Path(store.location)
    if store.location == ":memory:" or "://" in store.location or path.suffix == ".json":
        return None
    return path.with_suffix(".json")


def import_legacy_json(store: Store, now: Callable[[], int]) -> None:
    """Import the old JSON file, if there is one and it was not imported yet; archive it when its time has come.

    ``now`` returns milliseconds since the Unix epoch. What is wrong with the file is logged, and it is left alone.
    """
    file = legacy_path(store)
    if file is None or not file.is_file() or store.read_only or store.degraded is not None:
        return
    try:
        if is_ours(file):  # what waits for this very database to work again
            return
        known = _import_of(store, file)
        if known is None:
            _import(store, file, now())
        elif known.archived is None and now() - known.latest_ms >= KEPT_MS:
            _archive(store, file, known)
    except (ModelPerfError, OSError) as error:
        logger.warning("the old file was not imported: %s", error)


def add_legacy_sums(store: Store, file: Path, old: LegacyFile, now_ms: int, *, once: bool = False) -> bool:
    """Import what was read from ``file`` in one transaction, in place of what an older version of it gave.

    Returns:
        False if the same content was imported already, or with ``once`` any from that file.
    """
    step = Step(KIND, source_of(store, file), old.digest, old.size, 0, len(old.notes), now_ms)
    return store.imports.add_sums(step, old.sums, once=once)


def source_of(store: Store, file: Path) -> str:
    """Return how a file is known in the store; the one beside the database by its name, wherever the folder is."""
    beside = legacy_path(store)
    if beside is not None and file.resolve() == beside.resolve():
        return beside.name
    return str(file.resolve())


def check_legacy_file(store: Store, now_ms: int) -> Finding | None:
    """Return what there is to say of the old JSON file, for a health check; None if there is no such file."""
    file = legacy_path(store)
    if file is None or not file.is_file() or is_ours(file):
        return None
    known = _import_of(store, file)
    if known is None:
        try:
            read_legacy_json(file)
        except OutcomesFileError as error:
            return Finding("old JSON file", ok=False, message=str(error))
        return Finding("old JSON file", ok=True, message=f"{file} will be imported by the next host")
    if not _is_unchanged(file, known):
        message = f"{file} has changed since it was imported; `modelperf import json {file}` imports it again"
        return Finding("old JSON file", ok=False, message=message)
    day = from_milliseconds(known.latest_ms + KEPT_MS).date()
    late = " (the next host does it)" if now_ms - known.latest_ms >= KEPT_MS else ""
    left = f" (not all could be used: `modelperf import json {file} --dry-run`)" if known.rejected else ""
    message = f"{known.outcomes:,} outcomes imported{left}; {file} is kept until {day}, then compressed{late}"
    return Finding("old JSON file", ok=True, message=message)


def _import_of(store: Store, file: Path) -> ImportRecord | None:
    source = source_of(store, file)
    return next((each for each in store.imports.all(KIND) if each.source == source), None)


def _import(store: Store, file: Path, now_ms: int) -> None:
    old = read_legacy_json(file)
    if not add_legacy_sums(store, file, old, now_ms, once=True):
        return  # another process was faster
    outcomes = sum(each.successes + each.failures for each in old.sums)
    logger.info("%d outcomes of %d pairs imported from %s", outcomes, len(old.sums), file)
    for note in old.notes:
        logger.warning("%s: %s", file, note)


def _archive(store: Store, file: Path, known: ImportRecord) -> None:
    if not _is_unchanged(file, known):
        logger.warning("%s has changed since it was imported, so it is not archived", file)
        return
    day = known.latest.date()
    if store.imports.archive(known.import_id, lambda: _compress(file, f"{file.name}.imported-{day}")):
        logger.info("%s was imported on %s and is compressed now", file, day)


def _is_unchanged(file: Path, known: ImportRecord) -> bool:
    return sha256(file.read_bytes()).hexdigest() == known.digest


def _compress(file: Path, name: str) -> str:
    """Put ``file``, compressed, under another name beside it; nothing is lost if it is interrupted anywhere."""
    content = file.read_bytes()
    archive = file.with_name(f"{name}.gz")
    number = 1
    while archive.exists() and not _holds(archive, content):
        number += 1
        archive = file.with_name(f"{name}-{number}.gz")
    if not archive.exists():
        partial = archive.with_name(f"{archive.name}.partial")
        with partial.open("wb") as out:
            out.write(gzip.compress(content, mtime=0))
            out.flush()
            os.fsync(out.fileno())
        partial.chmod(file.stat().st_mode & 0o777)
        partial.replace(archive)
    file.unlink()
    return archive.name


def _holds(archive: Path, content: bytes) -> bool:
    try:
        return gzip.decompress(archive.read_bytes()) == content
    except (OSError, EOFError, zlib.error):
        return False  # somebody else's file
