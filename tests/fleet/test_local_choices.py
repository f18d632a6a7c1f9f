"""Choices on a PostgreSQL server are made by what their process knows, and soon know what others record."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store.local import LocalRead, locally
from modelperf_plugin.values import Tally
from tests import waiting
from tests.postgres import OwnServer

SOON = 60.0
wait_until = partial(waiting.wait_until, seconds=SOON)
MODELS = ["a", "b"]


@pytest.fixture
def url(own_server: OwnServer) -> str:
    """Return the URL of an empty schema."""
    name = f"s{time.monotonic_ns()}"
    own_server.sql(f"CREATE SCHEMA {name}")
    return f"{own_server.url}&options={quote(f'-csearch_path={name}')}"


@pytest.fixture
def open_host(url: str, tmp_path: Path) -> Iterator[Callable[..., ModelPerf]]:
    """Return a function that opens another host."""
    hosts: list[ModelPerf] = []

    def open_one(name: str = "x", policy: str = "") -> ModelPerf:
        config = {"store": {"patience_seconds": 1.0, "path": str(tmp_path / f"{name}.db")}, **POLICIES[policy]}
        hosts.append(ModelPerf(config, store=url, seed=1))
        return hosts[-1]

    yield open_one
    for host in hosts:
        host.close()


POLICIES: dict[str, dict[str, object]] = {
    "budget": {"budget": {"usd": 10.0, "per": "day"}},
    "": {},
    "test": {
        "exploration": {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 5}
    },
}


def known(host: ModelPerf, task_type: str = "t") -> Mapping[str, Tally]:
    """Return the tallies that a choice of a host would use."""
    return locally(LocalRead(), lambda: host.store.tallies.of(task_type))


def samples(host: ModelPerf, task_type: str = "t") -> int:
    return sum(tally.samples for tally in known(host, task_type).values())


def reason(host: ModelPerf) -> str:
    decision = host.select("t", MODELS)
    assert decision is not None
    return decision.reason


@contextmanager
def silent(server: OwnServer) -> Iterator[None]:
    """Stop the processes of a server for a while: connections stay, and nothing answers."""
    first = int((server.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    processes = [first, *map(int, children)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def test_a_choice_includes_what_its_host_recorded_before(open_host: Callable[..., ModelPerf]) -> None:
    """Also while threads record, others record, and what is kept is read again."""
    host, other = open_host(), open_host("y")
    host.select("t", MODELS)
    stop = threading.Event()
    recorded, missing = [0, 0], []

    def record(place: int) -> None:
        while not stop.is_set():
            host.record("t", MODELS[place], mp.Outcome(success=True))
            recorded[place] += 1
            if known(host)[MODELS[place]].successes < recorded[place]:
                missing.append(place)

    def record_elsewhere() -> None:
        while not stop.is_set():
            other.record("t", "c", mp.Outcome(success=True))

    threads = [threading.Thread(target=record, args=(place,)) for place in (0, 1)]
    threads.append(threading.Thread(target=record_elsewhere))
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not missing
    wait_until(lambda: known(host) == host.store.tallies.of("t"))
    assert [known(host)[name].successes for name in MODELS] == recorded


def test_a_choice_knows_what_other_hosts_record(open_host: Callable[..., ModelPerf]) -> None:
    """Without recording anything itself, and without asking."""
    host, other = open_host(), open_host("y")
    assert samples(host) == 0
    for number in range(5):
        other.record("t", "a", mp.Outcome(success=number > 0))
    wait_until(lambda: samples(host) == 5)
    unchanged = known(host)
    time.sleep(1.2)
    assert known(host) is unchanged


def test_without_notifications_a_host_looks_by_itself(open_host: Callable[..., ModelPerf], url: str) -> None:
    """As behind a pooler that does not pass them on."""
    import psycopg

    host, other = open_host(), open_host("y")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TRIGGER tell_of_outcomes ON progress")
    assert samples(host) == 0
    other.record("t", "a", mp.Outcome(success=True))
    wait_until(lambda: samples(host) == 1)


def test_a_verdict_of_one_host_holds_on_all(open_host: Callable[..., ModelPerf]) -> None:
    """A demotion, and its end, are in force for the choices of hosts that only choose."""
    host, other = open_host(), open_host("y")
    for name in MODELS:
        other.record("t", name, mp.Outcome(success=True))
    assert "demoted" not in str(host.select("t", MODELS))
    other.store.demotions.add("t", "a", 1, 0.5, 30.0, "for this test")
    wait_until(lambda: "demoted: for this test" in str(host.select("t", MODELS)))
    other.store.demotions.end("t", "a", 2, "operator")
    wait_until(lambda: "demoted" not in str(host.select("t", MODELS)))


def test_an_ab_test_of_one_host_is_that_of_all(open_host: Callable[..., ModelPerf]) -> None:
    """The choices of a second host belong to the test that the first one began."""
    host, other = open_host(policy="test"), open_host("y", policy="test")
    first = host.select("t", MODELS)
    second = other.select("t", MODELS)
    assert first is not None
    assert second is not None
    assert first.assignment is not None
    assert second.assignment is not None
    assert len(host.store.ab_tests.all()) == 1


def test_a_verdict_that_replaces_another_is_known(open_host: Callable[..., ModelPerf]) -> None:
    """To the host that recorded it with its next choice, and to the others soon."""
    host, other = open_host(), open_host("y")
    host.record("t", "a", mp.Outcome(success=True, outcome_id="x"))
    assert (samples(host), samples(other)) == (1, 1)
    host.record("t", "a", mp.Outcome(success=False, outcome_id="x"))
    assert known(host)["a"].failures == 1
    wait_until(lambda: known(other)["a"].failures == 1)
    host.record("t", "a", mp.Outcome(success=False, outcome_id="x"))
    assert samples(host) == 1


def test_choices_go_on_while_the_server_is_away(open_host: Callable[..., ModelPerf], own_server: OwnServer) -> None:
    """By the last evidence, and each decision says since when something may be missing; then all is known again."""
    host, other = open_host(), open_host("y")
    for number in range(20):
        other.record("t", MODELS[number % 2], mp.Outcome(success=number % 2 == 0))
    wait_until(lambda: samples(host) == 20)
    assert "without" not in reason(host)
    own_server.stop()
    try:
        wait_until(lambda: "without what other hosts recorded in the last" in reason(host))
        assert samples(host) == 20
    finally:
        own_server.start()
    wait_until(lambda: "without" not in reason(host))
    other.record("t", "a", mp.Outcome(success=True))
    wait_until(lambda: samples(host) == 21)


def test_choices_do_not_wait_for_a_silent_server(open_host: Callable[..., ModelPerf], own_server: OwnServer) -> None:
    """A task type that was never asked for is chosen for without evidence, and the decision says so."""
    host = open_host()
    host.record("t", "a", mp.Outcome(success=True))
    wait_until(lambda: samples(host) == 1)
    with silent(own_server):
        late = host.select("new", MODELS)
        assert late is not None
        assert "without" in late.reason
        wait_until(lambda: "without what other hosts recorded" in reason(host))
    wait_until(lambda: "without" not in reason(host))


def test_a_host_that_starts_without_the_server_knows_what_was_kept(
    open_host: Callable[..., ModelPerf], own_server: OwnServer
) -> None:
    """The last process of the same machine has left a copy of its evidence; what is recorded meanwhile counts, too."""
    with closing(open_host()) as host:
        for number in range(20):
            host.record("t", MODELS[number % 2], mp.Outcome(success=number % 2 == 0))
        host.store.demotions.add("t", "b", 1, 0.5, 30.0, "for this test")
        wait_until(lambda: "demoted" in str(host.select("t", MODELS)))
    own_server.stop("fast")
    try:
        later = open_host()
        assert later.store.degraded is not None
        assert samples(later) == 20
        decision = later.select("t", MODELS)
        assert decision is not None
        assert "without what other hosts recorded in the last" in decision.reason
        assert [each.model_id for each in later.store.demotions.all(in_force=True)] == ["b"]
        later.record("t", "a", mp.Outcome(success=True))
        assert samples(later) == 21
    finally:
        own_server.start()
    wait_until(lambda: "without" not in reason(later))
    wait_until(lambda: samples(later) == 21)


def test_a_forked_child_chooses(open_host: Callable[..., ModelPerf]) -> None:
    """It has neither the thread nor the connection of its parent, and opens its own."""
    host = open_host()
    host.record("t", "a", mp.Outcome(success=True))
    assert samples(host) == 1
    child = os.fork()
    if not child:
        is_right = (
            samples(host) == 1
            and host.select("t", MODELS) is not None
            and host.record("t", "a", mp.Outcome(success=True))
        )
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: samples(host) == 2)


def test_an_outage_on_one_host_is_one_for_all(open_host: Callable[..., ModelPerf]) -> None:
    """The others back off, too, and use the model again once it has answered anybody."""
    host, other = open_host(), open_host("y")
    for name in MODELS:
        other.record("t", name, mp.Outcome(success=True))
    assert host.select("t", MODELS) is not None
    other.record("t", "a", mp.Outcome(success=False, error_kind="server_error"))
    wait_until(lambda: "unavailable until" in reasons(host))
    other.record("t", "a", mp.Outcome(success=True))
    wait_until(lambda: "unavailable" not in reasons(host))


def test_a_budget_is_one_for_all_hosts(open_host: Callable[..., ModelPerf]) -> None:
    """What another host has spent counts in the next choices of a host."""
    host, other = open_host(policy="budget"), open_host("y", policy="budget")
    other.record("t", "a", mp.Outcome(success=True, cost_usd=0.1))
    assert host.select("t", MODELS) is not None
    other.record("t", "a", mp.Outcome(success=True, cost_usd=50.0))

    def is_over() -> bool:
        decision = host.select("t", MODELS)
        return decision is None or "budget" in f"{decision.reason} {decision.excluded}"

    wait_until(is_over)


def reasons(host: ModelPerf) -> str:
    """Return all that a choice says."""
    decision = host.select("t", MODELS)
    assert decision is not None
    return f"{decision.reason} {decision.excluded} {[each.reason for each in decision.ranking]}"
