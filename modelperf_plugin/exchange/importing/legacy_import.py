"""Import of the older tracker's JSON file beside the store: imported once, kept for a week, then archived.

A small file is imported at once. A large one is imported by a thread, in steps of a millisecond: neither the host that
opens the store nor its calls wait, and an import that is interrupted continues with the next host.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final

from modelperf_plugin.errors import ModelPerfError, OutcomesFileError, StoreBusyError, StoreError
from modelperf_plugin.exchange.importing.legacy_json import LegacyFile, LegacyReader, read_legacy_json
from modelperf_plugin.exchange.importing.sums_import import SUMS_PER_STEP, SteppedImport, import_in_steps
from modelperf_plugin.files import replacing
from modelperf_plugin.log import logger
from modelperf_plugin.paths import path_text
from modelperf_plugin.store import Finding, ImportRecord, Step, Store, Sums, forks
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.fallback.summary import is_summary
from modelperf_plugin.values import DAY_MS, from_milliseconds

KIND: Final = "json"
ARCHIVE_AFTER_MS: Final = 7 * DAY_MS
"""How long the file stays in place after its import."""
MAX_BYTES_AT_ONCE: Final = 1_000_000
"""Of a file that is imported while its host waits."""
_SUMS_AT_ONCE: Final = 200
_PART_BYTES: Final = 1 << 18
_ENTRIES_PER_STEP: Final = 50
_PAUSE_SECONDS: Final = 0.001
_PAUSE_AFTER_WRITING_SECONDS: Final = 0.01
"""Long, because a host that records waits when SQLite empties its log, which many writes make it do often."""
_RETRY_SECONDS: Final = 60.0
_MAX_LOGGED_NOTES: Final = 20


class LegacyImporter:
    """Imports and archives the legacy file of a store."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        """Take the store, and a function that returns milliseconds since the Unix epoch."""
        self._store = store
        self._now = now
        self._work: Iterator[float] | None = None
        """What the thread is doing; only the thread touches it."""
        self._background = Background(self, LegacyImporter._step, name="modelperf-import", on_error=_log_failure)
        forks.renew(self, LegacyImporter._renew)

    def run(self) -> None:
        """Import the file if it exists and was not imported before; archive it a week after its import.

        A thread takes a large file, and any file while others are writing. Errors are logged, and the file stays as it
        is.
        """
        try:
            file = _file_of(self._store)
            if file is None:
                return
            if file.stat().st_size > MAX_BYTES_AT_ONCE:
                self._background.wake()
                return
            for _ in _import_or_archive(self._store, file, self._now()):
                pass
        except StoreBusyError:
            self._background.wake()
        except (ModelPerfError, OSError) as error:
            _log_failure(self, error)

    def close(self) -> None:
        """End the thread after the step that it is taking."""
        self._background.close()

    def _renew(self) -> None:
        self._work = None  # it reads a file whose position is the parent's

    def _step(self) -> float | None:
        """Take one step; return when to take the next."""
        if self._work is None:
            file = _file_of(self._store)
            if file is None:
                return None
            self._work = _import_or_archive(self._store, file, self._now())
        try:
            return next(self._work)
        except StopIteration:
            self._work = None
            return None
        except StoreError:
            self._work = None
            return _RETRY_SECONDS
        except BaseException:
            self._work = None
            raise


def _log_failure(_: LegacyImporter, error: Exception) -> None:
    logger.warning("the legacy JSON file was not imported: %s", error)


def legacy_path(store: Store) -> Path | None:
    """Return where the older tracker keeps its file: beside the database, with the suffix ``.json``."""
    path = Path(store.location)
    if store.location == ":memory:" or "://" in store.location or path.suffix == ".json":
        return None
    return path.with_suffix(".json")


def _file_of(store: Store) -> Path | None:
    """Return the legacy file, if there is one that can be imported now."""
    file = None if store.read_only or store.degraded is not None else legacy_path(store)
    if file is None or not file.is_file():
        return None
    return None if is_summary(file) else file  # a summary was written by the fallback of this database


def add_legacy_sums(store: Store, file: Path, legacy: LegacyFile, now_ms: int, *, once: bool = False) -> bool:
    """Import the counts of ``file``, in place of those of an older version of it.

    Few are written in one transaction, many in steps that no host has to wait for; with ``once`` all in one.

    Returns False if the same content was imported before, or with ``once`` any version of the file.
    """
    step = Step(KIND, source_of(store, file), legacy.digest, legacy.size, 0, len(legacy.notes), now_ms)
    if len(legacy.sums) > _SUMS_AT_ONCE and not once:
        return import_in_steps(store, step, legacy.sums)
    return store.imports.add_sums(step, legacy.sums, once=once)


def source_of(store: Store, file: Path) -> str:
    """Return the name of a file in the store: the path; for the file beside the database only its name."""
    beside = legacy_path(store)
    if beside is not None and file.resolve() == beside.resolve():
        return path_text(beside.name)
    return path_text(file.resolve())


def check_legacy_file(store: Store, now_ms: int) -> Finding | None:
    """Return the state of the legacy file, for a health check; None if there is none."""
    file = legacy_path(store)
    if file is None or not file.is_file() or is_summary(file):
        return None
    name = "old JSON file"
    known = _import_of(store, file)
    if known is None:
        try:
            with LegacyReader(file) as reader:
                for _ in reader.entries():
                    pass
        except OutcomesFileError as error:
            return Finding(name, ok=False, message=str(error))
        return Finding(name, ok=True, message=f"{file} will be imported by the next host")
    if not known.is_complete:
        message = f"{known.outcomes:,} outcomes of {file} imported so far; hosts continue in the background"
        return Finding(name, ok=True, message=message)
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


def _import_or_archive(store: Store, file: Path, now_ms: int) -> Iterator[float]:
    """Do what is due with the file in short steps, yielding how long to rest after each."""
    known = _import_of(store, file)
    if known is None or not known.is_complete:
        small = known is None and file.stat().st_size <= MAX_BYTES_AT_ONCE
        yield from _import_at_once(store, file, now_ms) if small else _import_in_steps(store, file, now_ms)
    elif known.archived is None and now_ms - known.latest_ms >= ARCHIVE_AFTER_MS:
        yield from _archive(store, file, known)


def _import_at_once(store: Store, file: Path, now_ms: int) -> Iterator[float]:
    legacy = read_legacy_json(file)
    yield _PAUSE_SECONDS
    if add_legacy_sums(store, file, legacy, now_ms, once=True):
        _log_import(file, sum(sums.successes + sums.failures for sums in legacy.sums), legacy.notes)


def _import_in_steps(store: Store, file: Path, now_ms: int) -> Iterator[float]:
    outcomes = rejected = 0
    notes: list[str] = []
    with LegacyReader(file) as reader:  # first to the end: a file that is damaged there is not imported in part
        for number, (sums, problems) in enumerate(reader.entries()):
            outcomes += sum(each.successes + each.failures for each in sums)
            rejected += len(problems)
            notes += problems[: max(0, _MAX_LOGGED_NOTES - len(notes))]
            if number % _ENTRIES_PER_STEP == 0:
                yield _PAUSE_SECONDS
        final = Step(KIND, source_of(store, file), reader.digest, reader.size, 0, rejected, now_ms)
    stepped = SteppedImport(store, final)
    if not stepped.begin():
        return
    while (is_removed := stepped.remove_older()) is None:
        yield _PAUSE_AFTER_WRITING_SECONDS
    if not is_removed:
        return
    for part in _parts(file, final.digest, stepped.done):
        if part and not stepped.add(part):
            return
        yield _PAUSE_AFTER_WRITING_SECONDS if part else _PAUSE_SECONDS
    if stepped.end():
        _log_import(file, outcomes, notes)


def _parts(file: Path, digest: str, skipped: int) -> Iterator[list[Sums]]:
    """Yield the sums of a file without the first ones, in parts for one step; some are empty."""
    part: list[Sums] = []
    with LegacyReader(file) as reader:
        for number, (sums, _) in enumerate(reader.entries()):
            part += sums
            if skipped and part:
                skipped -= 1
                part = []
            if len(part) >= SUMS_PER_STEP or (number % _ENTRIES_PER_STEP == 0 and not part):
                yield part
                part = []
        yield part
        if reader.digest != digest:
            raise OutcomesFileError(str(file), None, "has changed while it was imported; the next host begins anew")


def _log_import(file: Path, outcomes: int, notes: Iterable[str]) -> None:
    logger.info("%d outcomes imported from %s", outcomes, file)
    for note in notes:
        logger.warning("%s: %s", file, note)


def _archive(store: Store, file: Path, known: ImportRecord) -> Iterator[float]:
    """Compress the file beside itself, then delete it in the transaction that notes it: nothing interrupts both."""
    if not _is_unchanged(file, known):
        logger.warning("%s has changed since it was imported and is not archived", file)
        return
    yield _PAUSE_SECONDS
    archive = _compress(file, f"{file.name}.imported-{known.latest.date()}")
    yield _PAUSE_SECONDS

    def delete() -> str:
        file.unlink()
        return archive.name

    if store.imports.archive(known.import_id, delete):
        logger.info("%s, imported on %s, was compressed", file, known.latest.date())


def _is_unchanged(file: Path, known: ImportRecord) -> bool:
    digest = sha256()
    with file.open("rb") as content:
        while part := content.read(_PART_BYTES):
            digest.update(part)
    return digest.hexdigest() == known.digest


def _compress(file: Path, name: str) -> Path:
    """Write a compressed copy beside ``file``, unless there is one."""
    archive = file.with_name(f"{name}.gz")
    number = 1
    while archive.exists() and not _holds(archive, file):
        number += 1
        archive = file.with_name(f"{name}-{number}.gz")
    if not archive.exists():
        with (
            replacing(archive) as draft,
            file.open("rb") as content,
            draft.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(content, packed, _PART_BYTES)
    return archive


def _holds(archive: Path, file: Path) -> bool:
    try:
        with gzip.open(archive) as packed, file.open("rb") as content:
            return all(one == other for one, other in zip_longest(_read(packed), _read(content)))
    except (OSError, EOFError, zlib.error):
        return False  # not our archive


def _read(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while part := stream.read(_PART_BYTES):
        yield part
