"""Hosts on a PostgreSQL server of their own: what the hooks do, whatever becomes of the server."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import StoreVersionError
from modelperf_plugin.store import open_store, open_to_read
from tests import waiting
from tests.hooks.hosts import CANDIDATES, choose, complete, samples
from tests.postgres import OwnServer
from tests.store.contract.examples import unsound
from tests.store.faults import check_now, switch_of

SOON = 60.0
wait_until = partial(waiting.wait_until, seconds=SOON)
PASSWORD = "not-to-be-seen"  # noqa: S105 - of a server of this test
RECORDER = """
import os, sys, time
import pluggy, modelperf_plugin as mp

pm = pluggy.PluginManager("host")
store = {"patience_seconds": 0.5, "path": sys.argv[2]}
plugin = mp.register(pm, {"store": store}, store=sys.argv[1])
until, number, longest = time.monotonic() + float(sys.argv[4]), 0, 0.0
while time.monotonic() < until:
    began = time.monotonic()
    name = f"{sys.argv[3]}-{number}"
    if number % 2:
        decision = pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
        outcome = mp.Outcome(success=True)
    else:
        decision, outcome = None, mp.Outcome(success=number % 3 > 0, outcome_id=name)
    model_id = "a" if decision is None else decision.model_id
    pm.hook.on_task_complete(task_type="t", model_id=model_id, outcome=outcome, decision=decision)
    longest = max(longest, time.monotonic() - began)
    number += 1
    time.sleep(0.002)
print(number, plugin.failure_count(), flush=True)
until = time.monotonic() + 60
store = plugin.engine().store
while (store.degraded or store.busy) and time.monotonic() < until:
    time.sleep(0.2)
    pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
plugin.close()
"""


@pytest.fixture
def url(own_server: OwnServer) -> str:
    """Return the URL of an empty schema."""
    name = f"s{time.monotonic_ns()}"
    own_server.sql(f"CREATE SCHEMA {name}")
    return f"{own_server.url}&options={quote(f'-csearch_path={name}')}"


@pytest.fixture
def host(url: str, tmp_path: Path) -> Iterator[pluggy.PluginManager]:
    """Return the plugin manager of a host whose plugin is active."""
    pm = pluggy.PluginManager("host")
    config = {"store": {"patience_seconds": 0.5, "path": str(tmp_path / "x.db")}}
    plugin = mp.register(pm, config, store=url, seed=1)
    yield pm
    plugin.close()


def engine_of(pm: pluggy.PluginManager) -> ModelPerf:
    """Return the engine behind a host's plugin."""
    plugin = pm.get_plugin("modelperf")
    assert isinstance(plugin, mp.Plugin)
    return plugin.engine()


def is_back(engine: ModelPerf) -> bool:
    """Let a host try its server again; return whether it uses it, and everything that waited is moved."""
    store = engine.tracker.store
    check_now(store)
    store.decisions.write([], [])
    return store.degraded is None and not switch_of(store).backlog.waits


def come_back(pm: pluggy.PluginManager) -> None:
    """Wait until a host uses its server again."""
    wait_until(lambda: is_back(engine_of(pm)))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings and errors in the log."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_host_chooses_records_and_retries(host: pluggy.PluginManager, url: str) -> None:
    """Decisions, their outcomes, a retry and a later verdict are in the database, for every other process to see."""
    decision = choose(host)
    complete(host, model_id=decision.model_id, decision=decision, outcome={"success": False, "outcome_id": "first"})
    again = choose(host, context={"retry_of": decision.decision_id})
    assert again.model_id != decision.model_id
    complete(host, model_id=again.model_id, decision=again)
    complete(host, model_id=decision.model_id, outcome={"success": True, "outcome_id": "first"})
    engine = engine_of(host)
    assert samples(engine) == {decision.model_id: 1, again.model_id: 1}
    with closing(open_to_read(url)) as store:
        assert {each.model_id: each.successes for each in store.tallies.all()} == {
            decision.model_id: 1, again.model_id: 1,
        }  # fmt: skip


def test_two_hosts_run_one_ab_test(url: str) -> None:
    """The outcomes of both hosts count in the same test, each on the side that its decision was given."""
    exploration = {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0}
    config = {"exploration": exploration}
    with mp.ModelPerf(config, store=url) as one, mp.ModelPerf(config, store=url) as two:
        for engine in [one, two] * 5:
            decision = engine.select("plan", ["a", "b"])
            assert decision is not None
            engine.record("plan", decision.model_id, mp.Outcome(success=True), decision=decision)
        (test,) = one.store.ab_tests.all()
        assert two.store.ab_tests.all() == [test]
        assert sum(samples(two).values()) == 10
    with closing(open_to_read(url)) as store:
        assert all(each.outcome is not None for each in store.decisions.newest())
        assert len(store.decisions.newest()) == 10


def test_two_hosts_share_what_they_learn(host: pluggy.PluginManager, url: str) -> None:
    """What one host records counts for the choices of another at once, and a demotion holds for both."""
    with mp.ModelPerf({}, store=url) as other:
        for _ in range(5):
            complete(host, model_id="gpt-4o")
        assert samples(other) == {"gpt-4o": 5}
        other.record("plan", "claude-opus", mp.Outcome(success=True))
        assert samples(engine_of(host)) == {"gpt-4o": 5, "claude-opus": 1}


def test_an_immediate_stop_costs_a_host_nothing(
    host: pluggy.PluginManager, url: str, own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is stopped a host chooses and records; once it runs again, all of it is there."""
    for _ in range(3):
        complete(host)
    assert samples(engine_of(host)) == {"gpt-4o": 3}
    own_server.stop()
    try:
        for _ in range(5):
            decision = choose(host)
            assert decision.model_id in CANDIDATES
            complete(host, model_id=decision.model_id, decision=decision)
        assert sum(samples(engine_of(host)).values()) == 8
    finally:
        own_server.start()
    come_back(host)
    with closing(open_store(url)) as store:
        assert sum(each.samples for each in store.tallies.all()) == 8
        assert len(store.decisions.newest()) == 5
        assert all(each.outcome is not None for each in store.decisions.newest())
    assert len([line for line in logged(caplog) if "Continuing without the database" in line]) == 1


def test_what_the_server_lost_outlives_a_host_that_ends(own_server: OwnServer, url: str, tmp_path: Path) -> None:
    """A host that ends while the server is stopped leaves what that had acknowledged, too, in case it is lost."""
    config = {"store": {"patience_seconds": 0.5, "path": str(tmp_path / "x.db")}}
    with mp.ModelPerf(config, store=url) as engine:
        engine.record("plan", "before", mp.Outcome(success=True))
        engine.store.maintenance.check()
        for _ in range(20):
            engine.record("plan", "gpt-4o", mp.Outcome(success=True))
        own_server.stop()
        engine.record("plan", "after", mp.Outcome(success=True))
    own_server.start()
    with mp.ModelPerf(config, store=url) as engine:
        wait_until(lambda: is_back(engine))
        assert samples(engine) == {"before": 1, "gpt-4o": 20, "after": 1}


def test_a_wrong_password_is_one_line_without_it(
    own_server: OwnServer, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host whose password is refused works on its own, says so once, and never shows the password."""
    rules = own_server.data / "pg_hba.conf"
    before = rules.read_text()
    own_server.sql("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'another'")
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    own_server.reload()
    given = url.replace("postgres:@", f"guarded:{PASSWORD}@").replace("postgres@", f"guarded:{PASSWORD}@")
    assert PASSWORD in given
    try:
        config = {"store": {"patience_seconds": 0.5, "path": str(tmp_path / "x.db"), "url": given}}
        with mp.ModelPerf(config) as engine:
            engine.record("plan", "gpt-4o", mp.Outcome(success=True))
            assert samples(engine) == {"gpt-4o": 1}
            assert "password authentication failed" in str(engine.store.degraded)
            assert PASSWORD not in f"{engine.store.location}{engine.store.degraded}{engine.config!r}"
    finally:
        rules.write_text(before)
        own_server.reload()
    (line,) = logged(caplog)
    assert 'password authentication failed for user "guarded"' in line
    assert PASSWORD not in caplog.text
    assert "\n" not in line


def test_full_connections_are_one_line(
    own_server: OwnServer, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that gets no connection works on its own until it gets one."""
    own_server.sql("DROP ROLE IF EXISTS few", "CREATE ROLE few LOGIN SUPERUSER CONNECTION LIMIT 0")
    own_server.sql("ALTER ROLE few NOSUPERUSER")
    given = url.replace("postgres:@", "few@").replace("postgres@", "few@")
    with mp.ModelPerf({"store": {"patience_seconds": 0.5, "path": str(tmp_path / "x.db")}}, store=given) as engine:
        engine.record("plan", "gpt-4o", mp.Outcome(success=True))
        assert samples(engine) == {"gpt-4o": 1}
        (line,) = logged(caplog)
        assert 'too many connections for role "few"' in line
        own_server.sql("ALTER ROLE few SUPERUSER CONNECTION LIMIT -1")
        wait_until(lambda: is_back(engine))
        assert samples(engine) == {"gpt-4o": 1}


def test_threads_share_the_connections_that_they_get(own_server: OwnServer, url: str, tmp_path: Path) -> None:
    """A host that gets one connection and no more does everything by that one, however many threads record."""
    own_server.sql("DROP ROLE IF EXISTS one", "CREATE ROLE one LOGIN")
    own_server.sql("ALTER ROLE one CONNECTION LIMIT 1", "GRANT ALL ON DATABASE postgres TO one")
    name = url.rpartition("%3D")[2]
    own_server.sql(f"ALTER SCHEMA {name} OWNER TO one")
    given = url.replace("postgres:@", "one@").replace("postgres@", "one@")
    with mp.ModelPerf({"store": {"path": str(tmp_path / "x.db")}}, store=given) as engine:

        def work() -> None:
            for _ in range(10):
                engine.record("plan", "gpt-4o", mp.Outcome(success=True))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.store.degraded is None
        assert samples(engine) == {"gpt-4o": 40}


def test_a_standby_is_one_line(
    host: pluggy.PluginManager, own_server: OwnServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is a standby, which only reads, hosts work on their own; commands read it."""
    complete(host)
    assert samples(engine_of(host)) == {"gpt-4o": 1}
    own_server.stop("fast")
    (own_server.data / "standby.signal").touch()
    try:
        own_server.start()
        for _ in range(3):
            check_now(engine_of(host).tracker.store)
            complete(host)
        assert samples(engine_of(host)) == {"gpt-4o": 4}
        with mp.ModelPerf({}, store=url) as other:
            assert "is a standby, which can only be read" in str(other.store.degraded)
        with closing(open_to_read(url)) as store:
            assert {each.model_id: each.samples for each in store.tallies.all()} == {"gpt-4o": 1}
    finally:
        own_server.stop("fast")
        (own_server.data / "standby.signal").unlink()
        own_server.start()
    come_back(host)
    assert samples(engine_of(host)) == {"gpt-4o": 4}
    assert len([line for line in logged(caplog) if "Continuing without the database" in line]) == 2


def test_a_newer_schema_is_one_line(own_server: OwnServer, url: str) -> None:
    """A database of a newer version is refused, and not changed."""
    with closing(open_store(url)):
        pass
    name = url.rpartition("%3D")[2]
    own_server.sql(f"INSERT INTO {name}.migration (version, name) VALUES (9999, 'later')")
    with pytest.raises(StoreVersionError, match="was written by a newer version") as raised:
        mp.ModelPerf({}, store=url)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_stops_in_mid_stream_lose_nothing_and_count_nothing_twice(
    own_server: OwnServer, url: str, tmp_path: Path
) -> None:
    """Whatever two hosts were doing when the server stopped, and stopped again, each outcome is there once."""
    command = [sys.executable, "-W", "error", "-c", RECORDER, url, str(tmp_path / "x.db")]
    with closing(open_store(url)):
        pass
    hosts = [
        subprocess.Popen([*command, name, "12"], stdout=subprocess.PIPE, encoding="utf-8") for name in ("one", "two")
    ]
    for _ in range(4):
        time.sleep(1.5)
        own_server.stop()
        time.sleep(0.5)
        own_server.start()
    recorded = 0
    for process in hosts:
        with process:
            assert process.stdout is not None
            number, failures = map(int, process.stdout.readline().split())
            recorded += number
            assert failures == 0
        assert process.returncode == 0
    with closing(open_store(url)) as store:
        assert sum(each.samples for each in store.tallies.all()) == recorded
        assert unsound(store) == []


def test_the_url_is_shown_without_a_password(own_server: OwnServer, url: str, tmp_path: Path) -> None:
    """No message, decision or configuration that is shown has the password of the URL in it."""
    given = url.replace("postgres:@", f"postgres:{PASSWORD}@").replace("postgres@", f"postgres:{PASSWORD}@")
    assert PASSWORD in given
    config = tmp_path / "modelperf.toml"
    config.write_text("mode = 'apply'\n")
    environment = {"MODELPERF_STORE__URL": given}
    for arguments in (["config", "show"], ["config", "show", "--json"], ["doctor"], ["doctor", "--json"], ["stats"]):
        shown = subprocess.run(
            [sys.executable, "-m", "modelperf_plugin", *arguments],
            check=False, capture_output=True, encoding="utf-8", env={**environment, **_inherited()},
        )  # fmt: skip
        assert shown.returncode in {0, 1}, shown.stderr
        assert PASSWORD not in shown.stdout + shown.stderr
    with mp.ModelPerf(config, store=given) as engine:
        decision = engine.select("plan", CANDIDATES)
        assert decision is not None
        engine.record("plan", decision.model_id, mp.Outcome(success=True), decision=decision)
        assert PASSWORD not in f"{engine.store.location} {decision!r} {engine.config!r}"


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELPERF_")}
