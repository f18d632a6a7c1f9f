"""One process of a fleet: records outcomes for as long as it is told, and prints how many.

``python -m tests.benchmarks._fleet_recorder URL KIND DURABILITY PAIRS THREADS`` prints ``ready``, waits for a line with
a number of seconds, records for so long, and prints how many outcomes were recorded.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Final

import psycopg

from modelperf_plugin.store import Entry
from modelperf_plugin.store.postgres.store import open_postgres
from modelperf_plugin.values import Outcome

PLAIN_TABLES: Final = """
CREATE TABLE plain_stats (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task_type text NOT NULL, model_id text NOT NULL,
    successes integer NOT NULL DEFAULT 0, failures integer NOT NULL DEFAULT 0, timeouts integer NOT NULL DEFAULT 0,
    total_tokens bigint NOT NULL DEFAULT 0, total_cost double precision NOT NULL DEFAULT 0.0, last_used text,
    UNIQUE (task_type, model_id)
);
CREATE TABLE plain_outcomes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task_type text NOT NULL, model_id text NOT NULL,
    success integer NOT NULL, timeout integer NOT NULL DEFAULT 0, tokens_used integer NOT NULL DEFAULT 0,
    cost_usd double precision NOT NULL DEFAULT 0.0, timestamp text NOT NULL
);
CREATE INDEX plain_outcomes_task_model ON plain_outcomes (task_type, model_id);
CREATE INDEX plain_outcomes_timestamp ON plain_outcomes (timestamp DESC);
"""
PLAIN: Final = """
WITH outcome AS (
    INSERT INTO plain_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp)
    VALUES (%(task_type)s, %(model_id)s, %(success)s, 0, 1200, 0.012, %(now)s)
)
INSERT INTO plain_stats AS old
    (task_type, model_id, successes, failures, timeouts, total_tokens, total_cost, last_used)
VALUES (%(task_type)s, %(model_id)s, %(success)s, 1 - %(success)s, 0, 1200, 0.012, %(now)s)
ON CONFLICT (task_type, model_id) DO UPDATE SET
    successes = old.successes + excluded.successes, failures = old.failures + excluded.failures,
    timeouts = old.timeouts + excluded.timeouts, total_tokens = old.total_tokens + excluded.total_tokens,
    total_cost = old.total_cost + excluded.total_cost, last_used = excluded.last_used
"""
"""Event and tally in one statement, as one would write it: the migration guide's schema without its foreign key."""


@contextmanager
def plain(url: str, durability: str) -> Iterator[Callable[[str, str, bool], object]]:
    """Yield what records one outcome by the plain statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET synchronous_commit = {'on' if durability == 'full' else 'off'}".encode())

        def record(task_type: str, model_id: str, success: bool) -> object:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            values = {"task_type": task_type, "model_id": model_id, "success": int(success), "now": now}
            return connection.execute(PLAIN, values)

        yield record


@contextmanager
def ours(url: str, durability: str) -> Iterator[Callable[[str, str, bool], object]]:
    """Yield what records one outcome by the store."""
    with closing(open_postgres(url, durability="full" if durability == "full" else "normal")) as store:
        recorder = store.outcomes
        outcomes = [Outcome(success=success, tokens_used=1200, cost_usd=0.012) for success in (False, True)]

        def record(task_type: str, model_id: str, success: bool) -> object:
            return recorder.record(Entry(task_type, model_id, outcomes[success], time.time_ns() // 1_000_000))

        yield record


KINDS: Final = {"plain": plain, "ours": ours}


def main(url: str, kind: str, durability: str, pairs: str, threads: str) -> None:
    """Record as the command line says."""
    names = [(f"type-{number % 20}", f"model-{number // 20}") for number in range(int(pairs))]
    done: list[int] = []
    with KINDS[kind](url, durability) as record:
        for task_type, model_id in names:
            record(task_type, model_id, True)
        print("ready", flush=True)
        seconds = float(sys.stdin.readline())

        def run() -> None:
            chosen, deadline = random.choices(names, k=1000), time.monotonic() + seconds
            for number in count():
                if time.monotonic() >= deadline:
                    done.append(number)
                    return
                record(*chosen[number % 1000], number % 3 > 0)

        others = [threading.Thread(target=run) for _ in range(int(threads))]
        for each in others:
            each.start()
        for each in others:
            each.join()
    if len(done) < int(threads):
        raise SystemExit(1)
    print(sum(done), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
