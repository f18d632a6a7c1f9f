"""Hosts on several machines are told what was found, once each."""

from __future__ import annotations

import time
from pathlib import Path

import pluggy

import modelperf_plugin as mp
from tests.hooks.hosts import choose, complete
from tests.postgres import Server

hookimpl = pluggy.HookimplMarker("somehost")


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def on_model_demoted(self, model_id: str) -> None:
        self.told.append(model_id)


def test_every_host_on_a_server_is_told_once(postgres: Server, tmp_path: Path) -> None:
    """The host that finds something is told, and so is one that only chooses; a later host is not."""
    url = postgres.new_schema()
    hosts: list[tuple[pluggy.PluginManager, Listener, mp.Plugin]] = []

    def open_host() -> None:
        pm, listener = pluggy.PluginManager("somehost"), Listener()
        pm.register(listener)
        config = {"demotion": {"threshold": 0.5}, "store": {"path": str(tmp_path / f"{len(hosts)}.db")}}
        hosts.append((pm, listener, mp.register(pm, config, store=url)))

    open_host()
    open_host()
    try:
        until = time.monotonic() + 60
        while not all(listener.told for _, listener, _ in hosts) and time.monotonic() < until:
            complete(hosts[0][0], model_id="llama-70b", outcome={"success": False})
            complete(hosts[0][0], model_id="gpt-4o")
            choose(hosts[1][0])
        open_host()
        choose(hosts[2][0])
    finally:
        for _, _, plugin in hosts:
            plugin.close()
    assert [listener.told for _, listener, _ in hosts] == [["llama-70b"], ["llama-70b"], []]
