"""A fleet on one PostgreSQL database: what many processes record, what they know, and what they do without the server.

The server is one of its own with PostgreSQL's default settings, or the one that ``MODELPERF_TEST_POSTGRES`` names. All
processes and the server share this machine, so every figure is a ratio of medians of runs that took turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from tests.benchmarks._fleet_choices import choices, news
from tests.benchmarks._fleet_faults import away
from tests.benchmarks.storage import show

SCALE: Final = float(os.environ.get("BENCH_SCALE", "1"))
ROUNDS: Final = 3
SECONDS: Final = 3 * SCALE
PROCESSES: Final = 8
LONG_SECONDS: Final = 60 * SCALE
DURABILITIES: Final = {"full": "synchronous_commit on", "normal": "off"}
_REPOSITORY: Final = Path(__file__).parents[2]
_schemas = count()


class Recorded(NamedTuple):
    """What the processes of one run have recorded."""

    outcomes: int
    seconds: float
    folding: float
    """Seconds to add all of it up at the end."""

    @property
    def rate(self) -> float:
        """Outcomes per second, all of them added up."""
        return self.outcomes / (self.seconds + self.folding)


def main() -> None:
    """Print every figure beside its goal."""
    with server() as url:
        throughput(url)
        with schema(url) as own:
            choices(own)
        with schema(url) as own:
            news(own)
    away()


@contextmanager
def server() -> Iterator[str]:
    """Yield the URL of a server."""
    from tests.postgres import GIVEN, started

    if GIVEN:
        yield GIVEN
        return
    with started() as own:
        own.sql("ALTER SYSTEM RESET fsync", "ALTER SYSTEM SET max_connections = 200")
        own.stop("fast")
        own.start()
        yield own.url


@contextmanager
def schema(url: str) -> Iterator[str]:
    """Yield the URL of a new schema, which is dropped."""
    import psycopg

    name = f"fleet_{os.getpid()}_{next(_schemas)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        try:
            yield f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={name}')}"
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def throughput(url: str) -> None:
    """Print how many outcomes eight processes record, compared with a plain statement that upserts the tally."""
    import psycopg

    from modelperf_plugin.store.postgres.store import open_postgres
    from tests.benchmarks._fleet_recorder import PLAIN_TABLES

    with schema(url) as plain, schema(url) as ours:
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(PLAIN_TABLES.encode())
        open_postgres(ours).close()
        for pairs, goal in ((1, 3.0), (200, 1.5)):
            for durability, setting in DURABILITIES.items():
                for threads in (1, 4):
                    what = f"{PROCESSES} processes × {threads}, {pairs} pairs, {setting}"
                    _compare(what, goal, plain, ours, durability, pairs, threads)
        _hold_out(url, ours)


def _compare(what: str, goal: float, plain: str, ours: str, durability: str, pairs: int, threads: int) -> None:
    theirs, own, folding = [], [], []
    for _ in range(ROUNDS):
        theirs.append(run(plain, "plain", durability, pairs, 1).rate)
        recorded = run(ours, "ours", durability, pairs, threads)
        own.append(recorded.rate)
        folding.append(recorded.outcomes / recorded.folding)
    plainly, rate = statistics.median(theirs), statistics.median(own)
    show(what, f"{rate:,.0f}/s, {rate / plainly:.2f} × plain", rate / plainly, goal, least=True)
    print(f"{'   plain statement; added up':<58} {plainly:,.0f}/s; {statistics.median(folding):,.0f}/s")


def _hold_out(url: str, ours: str) -> None:
    """Print what happens in a minute in which one more process adds up once a second."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        before = _deadlocks(connection)
        recorded = run(ours, "ours", "normal", 200, 4, LONG_SECONDS, fold_every=1.0)
        time.sleep(2)  # sessions tell their numbers with delay
        deadlocks = _deadlocks(connection) - before
    print(f"{f'{LONG_SECONDS:g} s, added up once a second':<58} {recorded.rate:,.0f}/s")
    show("deadlocks in that time", f"{deadlocks}", deadlocks, 0)


def _deadlocks(connection: object) -> int:
    import psycopg

    assert isinstance(connection, psycopg.Connection)
    row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def run(
    url: str,
    kind: str,
    durability: str,
    pairs: int,
    threads: int,
    seconds: float = SECONDS,
    fold_every: float | None = None,
) -> Recorded:
    """Let processes record at the same time; whatever is not added up by then is added up at the end."""
    import psycopg

    command = [
        sys.executable,
        "-m",
        "tests.benchmarks._fleet_recorder",
        url,
        kind,
        durability,
        str(pairs),
        str(threads),
    ]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    with psycopg.connect(url, autocommit=True) as folder:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "a process failed: the figures mean nothing"
        if kind == "ours":
            folder.execute("SELECT fold()")
        started = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        while fold_every is not None and time.monotonic() < started + seconds:
            time.sleep(fold_every)
            folder.execute("SELECT fold()")
        outcomes = sum(int(process.communicate()[0]) for process in processes)
        recorded = time.monotonic()
        if kind == "ours":
            folder.execute("SELECT fold()")
        return Recorded(outcomes, recorded - started, time.monotonic() - recorded)
