"""``dashboard``: pages served to a browser."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import COMMAND


@pytest.fixture
def served(store: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Return the address of a running dashboard, and its process."""
    process = subprocess.Popen(
        [*COMMAND, "dashboard", "--store", store, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found is not None, line
    yield found.group(), process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - it is to be refused
def test_another_address_needs_a_token(run: Run, store: str, host: str) -> None:
    """Without a token, pages are served to this machine only."""
    result = run("dashboard", "--store", store, "--host", host, "--port", "0")
    assert result.exit_code == 2
    assert "--token" in result.stderr
    assert run("dashboard", "--store", store, "--token", "short").exit_code == 2


def test_a_port_in_use_is_refused(run: Run, store: str) -> None:
    """The message suggests a free port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("dashboard", "--store", store, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "--port 0" in result.stderr


def test_pages_are_served_until_ctrl_c(served: tuple[str, subprocess.Popen[str]]) -> None:
    """Serves a real socket, refuses other host names, and ends quietly on Ctrl-C."""
    address, process = served
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.status == 200
        assert "server" not in {name.lower() for name in answer.headers}
    request = urllib.request.Request(address, headers={"host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 421
    refused.value.close()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.parametrize("name", ["tools.example.com:80", "http://tools", "", "a b", "*"])
def test_an_allowed_host_is_a_name(run: Run, store: str, name: str) -> None:
    """A port, a URL or a pattern is refused, not silently without effect."""
    result = run("dashboard", "--store", store, "--allow-host", name)
    assert (result.exit_code, "--allow-host must be a host name" in result.stderr) == (2, True)
