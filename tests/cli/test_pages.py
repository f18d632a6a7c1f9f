"""``report``, ``plot`` and ``dashboard``."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, run_process


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


def test_a_report_is_written_as_a_whole(run: Run, store: str, tmp_path: Path) -> None:
    """To the file named, over an older one; the message says how large it is."""
    (tmp_path / "out.html").write_text("old")
    result = run("report", "--store", store, "-o", "out.html", "--days", "7")
    assert result.exit_code == 0
    assert re.match(r"wrote out\.html \(\d+ kB\)", result.stdout)
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert sorted(each.name for each in tmp_path.glob(".out*")) == []


def test_a_report_can_be_piped(store: str) -> None:
    """With - it goes to standard output, and nothing else does."""
    result = run_process("report", "--store", store, "-o", "-")
    assert result.returncode == 0
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.endswith("</html>")


def test_what_cannot_be_written_is_said(run: Run, store: str, tmp_path: Path) -> None:
    """With the path and the reason, and exit code 2."""
    result = run("report", "--store", store, "-o", "no/such/folder/x.html")
    assert result.exit_code == 2
    assert "cannot write no/such/folder/x.html" in result.stderr


@pytest.mark.parametrize("command", ["report", "plot", "dashboard"])
def test_a_missing_database_stays_missing(run: Run, tmp_path: Path, command: str) -> None:
    """Looking creates nothing."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()


@pytest.mark.parametrize("chart", ["success", "models", "cost"])
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_chart_is_an_image(run: Run, store: str, tmp_path: Path, chart: str, kind: str) -> None:
    """As the name of the file says, or the option."""
    if kind == "png":
        pytest.importorskip("resvg_py", reason="needs the extra plot")
    assert run("plot", "execute-task", "--chart", chart, "--store", store, "-o", f"x.{kind}").exit_code == 0
    assert run("plot", "execute-task", "--chart", chart, "--store", store, "--format", kind).exit_code == 0
    start = {"svg": b"<svg ", "png": b"\x89PNG"}[kind]
    assert (tmp_path / f"x.{kind}").read_bytes().startswith(start)
    assert (tmp_path / f"{chart}.{kind}").read_bytes().startswith(start)


def test_a_chart_of_everything_or_of_one_model(run: Run, store: str, tmp_path: Path) -> None:
    """Without a task type all are drawn; a model alone on all of them or on one."""
    for arguments in ([], ["--model", "gpt-4o"], ["plan-slice", "--model", "gpt-4o"]):
        assert run("plot", *arguments, "--store", store, "-o", "x.svg").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--chart", "models"], 2, "name it"),
        (["execute-task", "--chart", "cost", "--model", "gpt-4o"], 2, "no --model"),
        (["nothing"], 1, "known are"),
        (["--model", "nobody"], 1, "no outcomes of model"),
    ],
)
def test_a_chart_that_makes_no_sense_is_refused(
    run: Run, store: str, arguments: list[str], code: int, said: str
) -> None:
    """With what to do instead."""
    result = run("plot", *arguments, "--store", store)
    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - it is to be refused
def test_another_address_needs_a_token(run: Run, store: str, host: str) -> None:
    """Nothing is served to others by accident."""
    result = run("dashboard", "--store", store, "--host", host, "--port", "0")
    assert result.exit_code == 2
    assert "--token" in result.stderr
    assert run("dashboard", "--store", store, "--token", "short").exit_code == 2


def test_a_port_that_is_taken_is_said(run: Run, store: str) -> None:
    """With the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("dashboard", "--store", store, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "--port 0" in result.stderr


def test_pages_are_served_until_ctrl_c(served: tuple[str, subprocess.Popen[str]]) -> None:
    """Over a real socket; under another name there is no answer; Ctrl-C ends it quietly."""
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
    assert process.returncode == 130
    assert "Traceback" not in stderr
