"""Import of the older tracker's JSON file beside the store: imported once, kept for a week, then archived."""

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
from modelperf_plugin.store.fallback.summary import is_summary
from modelperf_plugin.values import DAY_MS, from_milliseconds

logger = logging.getLogger("modelperf_plugin")

KIND: Final = "json"
ARCHIVE_AFTER_MS: Final = 7 * DAY_MS
"""How long the file stays in place after its import."""


def legacy_path(store: Store) -> Path | None:
    """Return where the older tracker keeps its file: beside the database, with the suffix ``.json``."""
    path = Path(store.location)
    if store.location == ":memory:" or "://" in store.location or path.suffix == ".json":
        return None
    return path.with_suffix(".json")


def import_legacy_json(store: Store, now: Callable[[], int]) -> None:
    """Import the legacy file if it exists and was not imported before; archive it a week after its import.

    ``now`` returns milliseconds since the Unix epoch. Errors are logged, and the file stays as it is.
    """
    file = legacy_path(store)
    if file is None or not file.is_file() or store.read_only or store.degraded is not None:
        return
    try:
        if is_summary(file):  # written by the fallback of this database
            return
        known = _import_of(store, file)
        if known is None:
            _import(store, file, now())
        elif known.archived is None and now() - known.latest_ms >= ARCHIVE_AFTER_MS:
            _archive(store, file, known)
    except (ModelPerfError, OSError) as error:
        logger.warning("the legacy JSON file was not imported: %s", error)


def add_legacy_sums(store: Store, file: Path, legacy: LegacyFile, now_ms: int, *, once: bool = False) -> bool:
    """Import the counts of ``file`` in one transaction, in place of those of an older version of it.

    Returns False if the same content was imported before, or with ``once`` any version of the file.
    """
    step = Step(KIND, source_of(store, file), legacy.digest, legacy.size, 0, len(legacy.notes), now_ms)
    return store.imports.add_sums(step, legacy.sums, once=once)


def source_of(store: Store, file: Path) -> str:
    """Return the name of a file in the store: the path; for the file beside the database only its name."""
    beside = legacy_path(store)
    if beside is not None and file.resolve() == beside.resolve():
        return beside.name
    return str(file.resolve())


def check_legacy_file(store: Store, now_ms: int) -> Finding | None:
    """Return the state of the legacy file, for a health check; None if there is none."""
    file = legacy_path(store)
    if file is None or not file.is_file() or is_summary(file):
        return None
    name = "old JSON file"
    known = _import_of(store, file)
    if known is None:
        try:
            read_legacy_json(file)
        except OutcomesFileError as error:
            return Finding(name, ok=False, message=str(error))
        return Finding(name, ok=True, message=f"{file} will be imported by the next host")
    if not _is_unchanged(file, known):
        message = f"{file} has changed since it was imported; `modelperf import json {file}` imports it again"
        return Finding(name, ok=False, message=message)
    day = from_milliseconds(known.latest_ms + ARCHIVE_AFTER_MS).date()
    late = " (the next host does it)" if now_ms - known.latest_ms >= ARCHIVE_AFTER_MS else ""
    left = f" (some entries are not usable: `modelperf import json {file} --dry-run`)" if known.rejected else ""
    message = f"{known.outcomes:,} outcomes imported{left}; {file} is kept until {day}, then compressed{late}"
    return Finding(name, ok=True, message=message)


def _import_of(store: Store, file: Path) -> ImportRecord | None:
    source = source_of(store, file)
    return next((record for record in store.imports.all(KIND) if record.source == source), None)


def _import(store: Store, file: Path, now_ms: int) -> None:
    legacy = read_legacy_json(file)
    if not add_legacy_sums(store, file, legacy, now_ms, once=True):
        return  # another process imported it
    outcomes = sum(sums.successes + sums.failures for sums in legacy.sums)
    logger.info("%d outcomes of %d pairs imported from %s", outcomes, len(legacy.sums), file)
    for note in legacy.notes:
        logger.warning("%s: %s", file, note)


def _archive(store: Store, file: Path, known: ImportRecord) -> None:
    if not _is_unchanged(file, known):
        logger.warning("%s has changed since it was imported and is not archived", file)
        return
    day = known.latest.date()
    if store.imports.archive(known.import_id, lambda: _compress(file, f"{file.name}.imported-{day}")):
        logger.info("%s, imported on %s, was compressed", file, day)


def _is_unchanged(file: Path, known: ImportRecord) -> bool:
    return sha256(file.read_bytes()).hexdigest() == known.digest


def _compress(file: Path, name: str) -> str:
    """Replace ``file`` by a compressed copy beside it; no interruption loses it."""
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
        return False  # not our archive
