"""Machines for tests: network namespaces with a cable each to one switch. Needs root, and the program ``ip``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

_MASK: Final = 24


class Network:
    """A switch, at whose address this machine is, and machines that are connected to it."""

    def __init__(self) -> None:
        self._name = f"mp{os.getpid() % 10_000}"
        self._net = f"198.18.{os.getpid() % 256}"  # reserved for tests of networks
        self._machines: list[str] = []
        self.address = f"{self._net}.1"
        """Where this machine is."""

    def begin(self) -> None:
        """Create the switch; CalledProcessError if that is not allowed."""
        _ip("link", "add", self._name, "type", "bridge")
        _ip("address", "add", f"{self.address}/{_MASK}", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def add_machine(self) -> str:
        """Connect a new machine; return its name."""
        number = len(self._machines)
        machine, port = f"{self._name}-{number}", f"{self._name}p{number}"
        _ip("netns", "add", machine)
        self._machines.append(machine)
        _ip("link", "add", port, "type", "veth", "peer", "name", "cable", "netns", machine)
        _ip("link", "set", port, "master", self._name, "up")
        _ip("-n", machine, "address", "add", f"{self._net}.{number + 2}/{_MASK}", "dev", "cable")
        _ip("-n", machine, "link", "set", "lo", "up")
        _ip("-n", machine, "link", "set", "cable", "up")
        return machine

    def pull(self, machine: str) -> None:
        """Disconnect a machine, which notices: it has no route any more."""
        _ip("-n", machine, "link", "set", "cable", "down")

    def plug(self, machine: str) -> None:
        """Connect it again."""
        _ip("-n", machine, "link", "set", "cable", "up")

    def take_from_switch(self, machine: str) -> None:
        """Let what a machine sends get nowhere, and nothing reach it; all seems well with its cable."""
        _ip("link", "set", self._port(machine), "nomaster")

    def put_back(self, machine: str) -> None:
        """Connect such a machine to the switch again."""
        _ip("link", "set", self._port(machine), "master", self._name)

    def end(self) -> None:
        """Remove everything."""
        for machine in self._machines:
            subprocess.run(["ip", "link", "del", self._port(machine)], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", machine], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._name], check=False, capture_output=True)

    def _port(self, machine: str) -> str:
        return machine.replace("-", "p")


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network with no machine in it; skip the test where there cannot be one."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the program ip")
    network = Network()
    try:
        try:
            network.begin()
            probe = network.add_machine()
            _ip("netns", "exec", probe, "true")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield network
    finally:
        network.end()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
