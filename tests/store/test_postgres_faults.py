"""What hosts have recorded survives their death, and that of the server."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.postgres import GIVEN, Server, started
from tests.store.contract.examples import unsound

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres.store import open_postgres

HOST = """
import sys
from modelperf_plugin.store import Entry
from modelperf_plugin.store.postgres.store import open_postgres
from modelperf_plugin.values import Outcome
url, name = sys.argv[1:]
store = open_postgres(url, durability="full")
print("ready", flush=True)
for number in range(1_000_000):
    outcome_id = f"{name}-{number}"
    tried = ("a",) if number % 4 == 0 else ()
    store.outcomes.record(Entry("t", f"m{number % 3}", Outcome(success=True, outcome_id=outcome_id), number, tried))
    print(outcome_id, flush=True)
    if number % 5 == 0:
        store.outcomes.record(Entry("t", f"m{number % 3}", Outcome(success=False, outcome_id=outcome_id), number))
    if number % 7 == 0:
        store.tallies.of("t")
        store.events.last_id()
"""
"""Prints what was acknowledged, until it is killed or fails."""
REPOSITORY = Path(__file__).parents[2]
HOSTS = 3


class Hosts:
    """Processes that record, until each has done so for a moment."""

    def __init__(self, url: str, round_name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", HOST, url, f"{round_name}-{host}"], text=True, env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            for host in range(HOSTS)
        ]  # fmt: skip
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0.02, 0.3))

    def kill(self) -> set[str]:
        """Kill the processes; return what was acknowledged to them."""
        acknowledged = set()
        for process in self._processes:
            process.kill()
            lines = process.communicate()[0].split("\n")
            acknowledged |= set(lines[:-1])  # the last one may be incomplete
        return acknowledged


def check(url: str, acknowledged: set[str]) -> None:
    """Check that every acknowledged outcome is there, each outcome once, and all sums are right."""
    with closing(open_postgres(url)) as store:
        assert store.outcomes.verdicts_of(acknowledged).keys() == acknowledged
        ((recorded,),) = store.connection.fetch("SELECT count(*) FROM outcome_key")
        assert sum(tally.samples for tally in store.tallies.all()) == store.events.last_id() == recorded
        assert unsound(store) == []


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_hosts_lose_and_invent_nothing(postgres: Server, rounds: int) -> None:
    """Killed anywhere: while recording, replacing a verdict or adding up for all."""
    url, acknowledged = postgres.new_schema(), set()
    open_postgres(url).close()
    for number in range(rounds):
        acknowledged |= Hosts(url, str(number)).kill()
    assert acknowledged
    check(url, acknowledged)


@pytest.mark.slow
@pytest.mark.skipif(bool(GIVEN), reason="stops a server, and so needs one of its own")
def test_a_server_that_is_stopped_at_once_loses_nothing_that_is_durable() -> None:
    """Stopped in mid-stream, again and again: with ``durability="full"`` what was acknowledged is there afterwards."""
    with started() as server:
        url, acknowledged = server.url, set()
        open_postgres(url).close()
        for number in range(10):
            hosts = Hosts(url, str(number))
            server.stop()
            acknowledged |= hosts.kill()
            server.start()
        assert acknowledged
        check(url, acknowledged)
