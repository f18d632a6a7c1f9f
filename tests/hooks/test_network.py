"""Hosts on machines of their own, which share one PostgreSQL server, and are cut off from it for a while."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store import open_store
from tests.hooks.networks import Network, network
from tests.postgres import OwnServer
from tests.store.contract.examples import unsound

SECONDS = 9.0
CUT_SECONDS = 2.0
HOST = """
import logging, sys, time
import pluggy, modelperf_plugin as mp

url, path, name, seconds = sys.argv[1:]
logging.basicConfig(level=logging.WARNING, format="%(message)s")
pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {"store": {"patience_seconds": 0.5, "path": path}}, store=url)
until, number, longest = time.monotonic() + float(seconds), 0, 0.0
while time.monotonic() < until:
    began = time.monotonic()
    decision = pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
    outcome_id = f"{name}-{number}" if number % 3 else None
    outcome = mp.Outcome(success=number % 5 > 0, outcome_id=outcome_id)
    pm.hook.on_task_complete(task_type="t", model_id=decision.model_id, outcome=outcome, decision=decision)
    longest = max(longest, time.monotonic() - began)
    number += 1
    time.sleep(0.005)
print(number, plugin.failure_count(), longest, flush=True)
store, until = plugin.engine().store, time.monotonic() + 60
while (store.degraded or store.busy) and time.monotonic() < until:
    time.sleep(0.1)
    pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
plugin.close()
"""


@pytest.fixture
def machines() -> Iterator[Network]:
    """Return a network."""
    with network() as built:
        yield built


def test_a_machine_that_is_cut_off_goes_on_and_catches_up(
    machines: Network, own_server: OwnServer, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """Whether a host's cable is pulled or its packets vanish, it chooses and records, and all is there afterwards."""
    own_server.listen(machines.address)
    own_server.sql("CREATE SCHEMA fleet")
    url = f"postgresql://postgres@{machines.address}/postgres?options={quote('-csearch_path=fleet')}"
    with closing(open_store(url)):
        pass
    names = [machines.add_machine() for _ in range(3)]
    hosts = [_host(name, url, tmp_path / f"{name}.db") for name in names]
    pulled, silent, _ = names
    time.sleep(2.0)
    machines.pull(pulled)
    time.sleep(CUT_SECONDS)
    machines.plug(pulled)
    machines.take_from_switch(silent)
    time.sleep(CUT_SECONDS)
    machines.put_back(silent)
    recorded, logs = 0, []
    for process in hosts:
        answer, log = process.communicate(timeout=120)
        number, failures, longest = answer.split()
        record_property("longest call", longest)
        recorded += int(number)
        logs.append(log.splitlines())
        assert (int(failures), process.returncode) == (0, 0), log
    assert ["Continuing without the database" in "".join(log) for log in logs] == [True, True, False]
    assert [len(log) for log in logs] == [2, 2, 0], logs  # one when it is cut off, one when it is back
    with closing(open_store(url)) as store:
        assert sum(tally.samples for tally in store.tallies.all()) == store.events.last_id() == recorded
        assert unsound(store) == []
        logged = store.decisions.summary(0)
        assert (logged.total.with_outcome, logged.unmatched) == (recorded, 0)
    assert list(tmp_path.glob("*waiting*")) == []


def _host(machine: str, url: str, path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["ip", "netns", "exec", machine, sys.executable, "-W", "error", "-c", HOST]
    return subprocess.Popen(
        [*command, url, str(path), machine, str(SECONDS)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment,
    )  # fmt: skip
