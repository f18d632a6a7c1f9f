"""Every way in, as a function of bytes that fails if these bytes do harm.

A hook never raises, and a host gets decisions, whatever it reports or finds on the disk. A command ends with a message
and an exit code. Afterwards a good outcome is recorded and counted as ever.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pluggy
from click.testing import CliRunner

import modelperf_plugin as mp
from modelperf_plugin.cli import modelperf
from modelperf_plugin.config import load
from modelperf_plugin.errors import ConfigError
from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.store.fallback.spool import Place
from tests.fuzz.values import Values

Way = Callable[[bytes, Path], None]
_GOOD: Final = {"success": True, "tokens_used": 10, "cost_usd": 0.01}
_CANDIDATES: Final = ["a", "b"]


class Host:
    """A host with the plugin."""

    def __init__(self, store: str, config: Any = None) -> None:
        self.pm = pluggy.PluginManager("fuzz")
        self.plugin = mp.register(self.pm, config or {"log": {"share": 1.0}}, store=store, seed=1)

    def choose(self, task_type: Any = "code", candidates: Any = tuple(_CANDIDATES), context: Any = None) -> Any:
        """Ask for a model."""
        return self.pm.hook.select_model(task_type=task_type, candidates=candidates, context=context)

    def report(self, task_type: Any, model_id: Any, outcome: Any, decision: Any = None) -> None:
        """Report an outcome."""
        self.pm.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=decision)

    def samples(self) -> int:
        """Return how many outcomes of model a at code are in the store itself, without attached databases."""
        tally = self.plugin.engine().tracker.store.tallies.of("code").get("a")
        return 0 if tally is None else tally.samples

    def check(self) -> None:
        """Fail unless a good outcome is recorded and counted, and a model is chosen."""
        decision = self.choose()
        assert decision is not None
        assert set(decision) == set(_CANDIDATES)
        before = self.samples()
        self.report("code", "a", _GOOD, decision)
        assert self.samples() == before + 1


@contextmanager
def _host(store: str, config: Any = None) -> Iterator[Host]:
    host = Host(store, config)
    try:
        yield host
    finally:
        host.plugin.close()


def _run(*arguments: str | Path) -> None:
    """Run a command; fail if it ends otherwise than with an exit code."""
    result = CliRunner().invoke(
        modelperf, [str(each) for each in arguments], prog_name="modelperf", catch_exceptions=False
    )
    assert result.exit_code in {0, 1, 2}


@cache
def sample_store() -> bytes:
    """Return a database with some outcomes, decisions and later tries."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.db")
        with _host(str(path)) as host:
            for number in range(60):
                host.report("code", "ab"[number % 2], {"success": number % 3 > 0, "cost_usd": 0.1}, host.choose())
                host.report("text", "b", {"success": False, "timeout": True})
        with closing(open_store(path)) as store:
            store.outcomes.record_many(
                Entry("code", "ab"[number % 2], mp.Outcome(success=number % 3 > 0), 1_769_860_800_000, tried)
                for number, tried in enumerate([("a",), ("b",), ("a", "b"), ("b", "b")] * 5)
            )
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def outcome(data: bytes, folder: Path) -> None:
    """Report an outcome of any shape."""
    values = Values(data)
    with _host(":memory:") as host:
        host.report(values.next_value(), values.next_value(), values.next_value(), values.next_value())
        host.report("code", "a", values.next_mapping(), values.next_value())
        host.check()


def context(data: bytes, folder: Path) -> None:
    """Ask for a model with arguments of any shape."""
    values = Values(data)
    with _host(":memory:") as host:
        host.choose("code", _CANDIDATES, values.next_mapping())
        host.choose(values.next_value(), values.next_value(), values.next_value())
        host.check()


def configuration(data: bytes, folder: Path) -> None:
    """Read a configuration file."""
    file = folder / "modelperf.toml"
    file.write_bytes(data)
    try:
        config = load(file).config
    except ConfigError:
        return
    with _host(":memory:", config) as host:
        decision = host.choose()
        assert decision is not None or config.mode != "apply"
        host.report("code", "a", _GOOD, decision)


def older_tracker(data: bytes, folder: Path) -> None:
    """Find the JSON file of an older tracker beside the database."""
    (folder / "p.json").write_bytes(data)
    with _host(str(folder / "p.db")) as host:
        host.check()


def waiting_file(data: bytes, folder: Path) -> None:
    """Find outcomes that were written while the database could not be used."""
    path = folder / "p.db"
    path.write_bytes(sample_store())
    Place(folder, "p").batch("0123456789abcdef").write_bytes(data)
    with _host(str(path)) as host:
        host.check()
    _run("doctor", "--store", path)


def _imported(command: str, name: str) -> Way:
    def import_file(data: bytes, folder: Path) -> None:
        file = folder / name
        file.write_bytes(data)
        _run("import", command, file, "--store", folder / "p.db")
        with _host(str(folder / "p.db")) as host:
            host.check()

    return import_file


def replay(data: bytes, folder: Path) -> None:
    """Replay a file of recorded outcomes."""
    (folder / "outcomes.csv").write_bytes(data[:20_000])
    _run("replay", folder / "outcomes.csv", "--runs", "1")


def merged(data: bytes, folder: Path) -> None:
    """Merge another project's export."""
    path = folder / "p.db"
    file = folder / ("export.json" if data.lstrip()[:1] in {b"{", b"["} else "export.csv")
    file.write_bytes(data)
    path.write_bytes(sample_store())
    _run("merge", file, "--store", path)
    with _host(str(path)) as host:
        host.check()


def attached(data: bytes, folder: Path) -> None:
    """Attach another program's database."""
    other, path = folder / "other.db", folder / "p.db"
    other.write_bytes(data)
    table = {"path": str(other), "table": "model_outcomes"}
    with _host(str(path), {"federation": [table]}) as host:
        host.choose()
        host.check()
    _run("federate", "attach", other, "--table", "model_stats", "--store", path)
    with _host(str(path)) as host:
        host.check()


def database(data: bytes, folder: Path) -> None:
    """Open a database whose bytes were changed; repair it."""
    path = folder / "p.db"
    path.write_bytes(data)
    for _ in range(2):
        with _host(str(path)) as host:
            decision = host.choose()
            assert decision is None or set(decision) == set(_CANDIDATES)
            host.report("code", "a", _GOOD, decision)
        _run("doctor", "--repair", "--store", path)
    for command in ("stats", "rank", "decisions"):
        _run(command, *(["code"] if command == "rank" else []), "--store", path)


WAYS: Final[dict[str, Way]] = {
    "outcome": outcome,
    "context": context,
    "configuration": configuration,
    "older_tracker": older_tracker,
    "waiting_file": waiting_file,
    "csv": _imported("csv", "outcomes.csv"),
    "json_lines": _imported("jsonl", "outcomes.jsonl"),
    "parquet": _imported("parquet", "outcomes.parquet"),
    "tracker_database": _imported("modelperf", "other.db"),
    "replay": replay,
    "merge": merged,
    "attached": attached,
    "database": database,
}


def run(name: str, data: bytes) -> None:
    """Try ``data`` on one way in, in a folder of its own."""
    logging.getLogger("modelperf_plugin").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="modelperf-fuzz-"))
    try:
        WAYS[name](data, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
