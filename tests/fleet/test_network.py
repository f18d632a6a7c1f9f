"""Hosts on machines of their own, which share one PostgreSQL server, and are cut off from it for a while."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store import open_store
from tests.fleet.networks import Network, network
from tests.postgres import OwnServer
from tests.store.contract.examples import unsound

SOON = 60.0
HOST = """
import logging, sys, threading, time
import pluggy, modelperf_plugin as mp

url, path, name, log = sys.argv[1:]
logging.basicConfig(filename=log, level=logging.WARNING, format="%(message)s")
pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {"store": {"patience_seconds": 0.5, "path": path}}, store=url)
ended, number, longest = threading.Event(), 0, 0.0
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.wait(0.005):
    began = time.monotonic()
    decision = pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
    outcome_id = f"{name}-{number}" if number % 3 else None
    outcome = mp.Outcome(success=number % 5 > 0, outcome_id=outcome_id)
    pm.hook.on_task_complete(task_type="t", model_id=decision.model_id, outcome=outcome, decision=decision)
    longest = max(longest, time.monotonic() - began)
    number += 1
    if number == 1:
        print("ready", flush=True)
print(number, plugin.failure_count(), longest, flush=True)
store, until = plugin.engine().store, time.monotonic() + 60
while (store.degraded or store.busy) and time.monotonic() < until:
    time.sleep(0.1)
    pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
plugin.close()
"""
"""Chooses and records until its input ends."""


@pytest.fixture
def machines() -> Iterator[Network]:
    """Return a network."""
    with network() as built:
        yield built


class Host:
    """A program on a machine of its own."""

    def __init__(self, machine: str, url: str, folder: Path) -> None:
        self._log = folder / f"{machine}.log"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = ["ip", "netns", "exec", machine, sys.executable, "-W", "error", "-c", HOST]
        self._process = subprocess.Popen(
            [*command, url, str(folder / f"{machine}.db"), machine, str(self._log)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environment,
        )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait for the first outcome."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def log(self) -> list[str]:
        """Return the lines that were logged."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def wait_for_line(self, text: str) -> None:
        """Wait until a line with ``text`` is logged."""
        until = time.monotonic() + SOON
        while not any(text in line for line in self.log()):
            assert time.monotonic() < until
            time.sleep(0.1)

    def end(self) -> tuple[int, float]:
        """Let it end; return how many outcomes it has recorded, and how long the longest calls took."""
        answer, _ = self._process.communicate(timeout=SOON + 60)
        number, failures, longest = answer.split()
        assert (int(failures), self._process.returncode) == (0, 0), self.log()
        return int(number), float(longest)


def test_a_machine_that_is_cut_off_goes_on_and_catches_up(
    machines: Network, own_server: OwnServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whether a host's cable is pulled or its packets vanish, it chooses and records, and all is there afterwards."""
    own_server.listen(machines.address)
    own_server.sql("CREATE SCHEMA fleet")
    url = f"postgresql://postgres@{machines.address}/postgres?options={quote('-csearch_path=fleet')}"
    with closing(open_store(url)):
        pass
    names = [machines.add_machine() for _ in range(3)]
    hosts = [Host(name, url, tmp_path) for name in names]
    for host in hosts:
        host.wait_until_ready()
    ways = [(machines.pull, machines.plug), (machines.take_from_switch, machines.put_back)]
    for name, host, (cut, mend) in zip(names, hosts, ways, strict=False):
        cut(name)
        host.wait_for_line("Continuing without the database: outcomes wait in")
        time.sleep(1.0)
        mend(name)
        host.wait_for_line("works again")
    recorded = 0
    for host in hosts:
        number, longest = host.end()
        recorded += number
        record_property("longest calls", longest)
    assert [len(host.log()) for host in hosts] == [2, 2, 0]
    with closing(open_store(url)) as store:
        assert sum(tally.samples for tally in store.tallies.all()) == store.events.last_id() == recorded
        assert unsound(store) == []
        logged = store.decisions.summary(0)
        assert (logged.total.with_outcome, logged.unmatched) == (recorded, 0)
    assert list(tmp_path.glob("*waiting*")) == []
