"""Of the hosts that share a server one follows the outcomes for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine import lease
from modelperf_plugin.engine.core import ModelPerf
from tests import waiting
from tests.postgres import Server

SOON = 60.0
wait_until = partial(waiting.wait_until, seconds=SOON)


@pytest.fixture
def open_host(postgres: Server, tmp_path: Path) -> Iterator[Callable[[], ModelPerf]]:
    """Return a function that opens another host on one database."""
    url, hosts = postgres.new_schema(), list[ModelPerf]()

    def open_one() -> ModelPerf:
        config = {"demotion": {"threshold": 0.5}, "store": {"path": str(tmp_path / f"{len(hosts)}.db")}}
        hosts.append(ModelPerf(config, store=url, seed=1))
        return hosts[-1]

    yield open_one
    for host in hosts:
        host.close()


def saved(host: ModelPerf) -> int:
    """Return up to which outcome the saved states go."""
    return host.store.watch_states.load_models()[0] or 0


def fail(host: ModelPerf, times: int) -> None:
    for _ in range(times):
        host.record("t", "a", mp.Outcome(success=False))
        host.record("t", "b", mp.Outcome(success=True))


def demotions(host: ModelPerf) -> list[str]:
    return [each.model_id for each in host.store.demotions.all()]


def test_a_claim_is_for_one_until_it_ends_or_is_given_up(open_host: Callable[[], ModelPerf]) -> None:
    """Nobody else gets it meanwhile; its holder may renew it."""
    states = open_host().store.watch_states
    assert states.claim("first", 60.0)
    assert not states.claim("second", 60.0)
    assert states.claim("first", 60.0)
    assert states.claim("first", 0.0)
    assert states.claim("second", 0.05)
    time.sleep(0.1)
    assert states.claim("first", 60.0)


def test_a_host_goes_on_where_another_has_stopped(open_host: Callable[[], ModelPerf]) -> None:
    """What the first one has seen counts: a few outcomes more, recorded by the second one, are enough."""
    first, second = open_host(), open_host()
    fail(first, 8)
    wait_until(lambda: first.store.watch_states.claim("another", 1.0) is False)
    first.close()
    assert saved(second) == 16
    assert demotions(second) == []
    fail(second, 8)
    wait_until(lambda: demotions(second) == ["a"])


def test_another_host_goes_on_after_one_that_was_killed(
    open_host: Callable[[], ModelPerf], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its claim has ended, with the next outcome."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    host = open_host()
    assert host.store.watch_states.claim("one that was killed", 1.0)
    fail(host, 40)
    assert demotions(host) == []

    def is_demoted() -> bool:
        host.record("t", "b", mp.Outcome(success=True))
        return demotions(host) == ["a"]

    wait_until(is_demoted)
