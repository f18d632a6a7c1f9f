"""Outcomes in files of JSON, while the database cannot be used.

Each process appends its outcomes to a file of its own, one line each: what was appended survives the death of the
process, and no file is ever rewritten. Such a file is a batch: it is moved into the database as a whole, once, and
then deleted. Beside these files lies one in the shape of the document's JSON tracker, for people and other tools.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelperf_plugin.store.entries import Entry, Finding
from modelperf_plugin.values import NANO_USD, Outcome, Tally, check_id, from_milliseconds

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

FORMAT: Final = 1
_TEMPORARY: Final = "modelperf-"
_MARK: Final = "waitsForDatabase"
_FIELDS: Final = ("success", "timeout", "tokens_used", "cost_usd", "duration_seconds", "error_kind", "outcome_id")


class Place(NamedTuple):
    """Where the files of one database may lie."""

    folder: Path
    """The folder; it is created if need be."""
    stem: str
    """How the names of the files begin."""

    @property
    def summary(self) -> Path:
        """The file in the shape of the document."""
        return self.folder / f"{self.stem}.json"

    def batch(self, batch_id: str) -> Path:
        """Return the file of one batch."""
        return self.folder / f"{self.stem}.waiting-{batch_id}.jsonl"

    def batches(self) -> list[Path]:
        """Return the files of all batches that are there."""
        with suppress(OSError):
            if _is_trusted(self.folder):
                return sorted(self.folder.glob(f"{_literal(self.stem)}.waiting-*.jsonl"))
        return []


class Batch(NamedTuple):
    """What a file of waiting outcomes holds."""

    batch_id: str
    """Unique; the database remembers it."""
    since_ms: int
    """When it was begun, in milliseconds since the Unix epoch."""
    reason: str
    """Why the database could not be used."""
    entries: list[Entry]
    """The outcomes."""
    unreadable: int
    """How many lines were no outcomes."""


def places(database: str) -> list[Place]:
    """Return where outcomes may wait for ``database``: beside it, in the user's state folder, in the temporary one."""
    file = Path(database).absolute()
    elsewhere = f"{file.stem}-{sha256(os.fsencode(file)).hexdigest()[:12]}"
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state")
    user = getattr(os, "getuid", lambda: "user")()
    return [
        Place(file.parent, file.stem),
        Place(Path(state).expanduser() / "modelperf", elsewhere),
        Place(Path(tempfile.gettempdir()) / f"{_TEMPORARY}{user}", elsewhere),
    ]


class BatchFile:
    """A batch that this process appends to; no other process moves it as long as it is open."""

    def __init__(self, place: Place, batch_id: str, header: dict[str, Any], *, sync: bool) -> None:
        """Create the file; with ``sync`` every outcome is on the disk before ``append`` returns.

        Raises:
            OSError: it cannot be created or written.
        """
        self.batch_id = batch_id
        self.path = place.batch(batch_id)
        self._sync = sync
        _make_private(place.folder)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._append({"modelperf": FORMAT, "batch": batch_id, **header})
        except BaseException:
            self.path.unlink()
            self.close()
            raise

    def append(self, entry: Entry) -> None:
        """Write one outcome; raise OSError if there is no room: then nothing of it stays."""
        outcome = entry.outcome
        values = {name: getattr(outcome, name) for name in _FIELDS if getattr(outcome, name) is not None}
        self._append([entry.task_type, entry.model_id, entry.ended_ms, values])

    def close(self) -> None:
        """Let go of the file; closing twice is fine, and must not close what has its number since."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _append(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            _write_all(self._descriptor, line)
            if self._sync:
                os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)


def read_batch(path: Path) -> Batch | None:
    """Return what a file of waiting outcomes holds; None if it is gone or is no such file.

    A last line without its end is what a crash left of an outcome that nobody was told of.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        header = json.loads(lines[0])
        batch_id, since_ms, reason = header["batch"], int(header["since_ms"]), str(header["reason"])
        if header["modelperf"] != FORMAT:
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    read = [_entry(line) for line in lines[1:]]
    entries = [entry for entry in read if entry is not None]
    return Batch(batch_id, since_ms, reason, entries, len(read) - len(entries))


class Follower:
    """Reads what is appended to the files of other processes."""

    def __init__(self) -> None:
        self._read_to: dict[Path, int] = {}

    def skip(self, path: Path) -> None:
        """Leave out a file of our own."""
        self._read_to[path] = -1

    def news(self, where: Iterable[Place]) -> Iterator[Entry]:
        """Yield the outcomes that are new since the last call."""
        for path in (path for place in where for path in place.batches()):
            read_to = self._read_to.get(path, 0)
            if read_to >= 0:
                yield from self._news_of(path, read_to)

    def _news_of(self, path: Path, read_to: int) -> Iterator[Entry]:
        with suppress(OSError), path.open("rb") as file:
            file.seek(read_to)
            whole, end, _ = file.read().rpartition(b"\n")
            self._read_to[path] = read_to + len(whole) + len(end)
            for line in whole.split(b"\n"):
                entry = _entry(line)
                if entry is not None:
                    yield entry


def waiting_for(database: str) -> list[Finding]:
    """Return what waits for ``database``, for a health check; nothing if it is no file."""
    if database == ":memory:" or "://" in database:
        return []
    return [
        _waiting(batch, path)
        for place in places(str(Path(database).expanduser()))
        for path in place.batches()
        if (batch := read_batch(path)) is not None
    ]


def _waiting(batch: Batch, path: Path) -> Finding:
    descriptor = claim(path)
    what_next = "a host goes on without the database"
    if descriptor is not None:
        os.close(descriptor)
        what_next = "they are moved into the database by the next host that opens it"
    since = f"{from_milliseconds(batch.since_ms):%Y-%m-%d %H:%M:%S} UTC"
    message = f"{len(batch.entries):,} outcomes wait in {path} since {since}: {what_next}. {batch.reason}"
    return Finding("degraded", ok=False, message=message)


def claim(path: Path) -> int | None:
    """Take a file whose process is gone; return a descriptor that keeps others off it, or None if it is in use."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    if fcntl is None:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def write_summary(place: Place, tallies: Iterable[Tally]) -> bool:
    """Write the counts that wait in the shape of the document, in one step; return False if that cannot be.

    A file of that name that is not ours, such as that of an older tracker, is left alone.
    """
    if place.summary.exists() and not is_ours(place.summary):
        return False
    content: dict[str, dict[str, Any]] = {}
    for tally in tallies:
        content.setdefault(tally.task_type, {})[tally.model_id] = _row(tally)
    draft = place.folder / f"{place.stem}.json.{os.getpid()}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place.summary)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        return False
    return True


def remove_summary(place: Place) -> None:
    """Delete the file in the shape of the document, if it is ours."""
    with suppress(OSError):
        if is_ours(place.summary):
            place.summary.unlink()


def _row(tally: Tally) -> dict[str, Any]:
    last_used = None if tally.last_used_ms is None else from_milliseconds(tally.last_used_ms)
    return {
        "successes": tally.successes,
        "failures": tally.failures,
        "timeouts": tally.timeouts,
        "totalTokens": tally.total_tokens,
        "totalCost": tally.total_cost_nano_usd / NANO_USD,
        "lastUsed": None if last_used is None else last_used.isoformat(),
        "successRate": tally.success_rate,
        _MARK: True,
    }


def is_ours(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
        return all(row[_MARK] is True for models in content.values() for row in models.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _entry(line: bytes) -> Entry | None:
    """Return the outcome in a line; None if there is none."""
    try:
        task_type, model_id, ended_ms, values = json.loads(line)
        to_pair = check_id("task_type", task_type), check_id("model_id", model_id)
        from_milliseconds(ended_ms)  # a moment that there is
        return Entry(*to_pair, Outcome(**values), ended_ms)
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _write_all(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) < len(line):
        raise OSError("there was room for a part only")


def _make_private(folder: Path) -> None:
    """Create ``folder`` for its owner alone; refuse one that belongs to somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_trusted(folder):
        raise PermissionError(f"{folder} belongs to somebody else")


def _is_trusted(folder: Path) -> bool:
    """Return whether a folder is our own, if it lies where anybody can make one of its name."""
    if not folder.name.startswith(_TEMPORARY) or not hasattr(os, "getuid"):
        return True
    return folder.stat().st_uid == os.getuid() and not folder.is_symlink()


def _literal(text: str) -> str:
    """Return ``text`` so that a glob takes it to the letter."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in text)
