"""Sources without end: a pipe without a writer, a device, a line of a gigabyte; each is one message, at once."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND

SECONDS = 60
"""Tells a hang from none."""
MEGABYTES = 3000
"""Address space of a command: what reads without end is stopped by it."""

COMMANDS = (
    ("config", "check"),
    ("stats", "--config"),
    ("stats", "--store"),
    ("doctor", "--store"),
    ("doctor", "--repair", "--store"),
    ("import", "csv"),
    ("import", "jsonl"),
    ("import", "json"),
    ("import", "parquet"),
    ("import", "modelperf"),
    ("import", "litellm"),
    ("import", "llm"),
    ("merge",),
    ("replay",),
    ("simulate",),
)


def refused(*arguments: str) -> str:
    """Run a command in bounded memory and return its one message."""
    limited = ["prlimit", f"--as={MEGABYTES * 10**6}", *COMMAND, *arguments]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode in {1, 2}
    return ended.stderr + ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("source", ["pipe", "/dev/zero"])
def test_no_command_waits_for_a_source_without_end(tmp_path: Path, command: tuple[str, ...], source: str) -> None:
    """A pipe nobody writes to, or a device, is refused by every command that reads a file."""
    os.mkfifo(tmp_path / "pipe")
    message = refused(*command, source)
    assert "a pipe or a device" in message or (command, source) == (("replay",), "pipe")


def test_a_pipe_that_ends_can_be_replayed(tmp_path: Path) -> None:
    """Outcomes may come from another program, which writes as long as it likes."""
    rows = "".join(f"{n},plan,{model},1\n" for n in range(40) for model in "ab")
    (tmp_path / "outcomes.csv").write_text(f"instance_id,task_type,model_id,success\n{rows}")
    script = f"sleep 0.5; cat outcomes.csv | {COMMAND[0]} -m modelperf_plugin replay /dev/stdin --json"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert json.loads(ended.stdout)["command"] == "replay"


@pytest.mark.parametrize(
    "command", [("replay",), ("import", "csv"), ("import", "jsonl"), ("import", "litellm")], ids=" ".join
)
def test_a_line_without_end_is_one_message(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A gigabyte that a megabyte of gzip unfolds to is never held in memory."""
    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=1) as file:
        file.write(b'{"request_id": "' if "litellm" in command else b"")
        for _ in range(100):
            file.write(b"x" * 10_000_000)
    message = refused(*command, "bomb.gz")
    assert "is longer than" in message or "field limit" in message


@pytest.mark.parametrize("command", [("merge",), ("import", "json"), ("simulate",), ("replay",)], ids=" ".join)
def test_a_file_of_gigabytes_is_one_message(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A file beyond the limit, or not of the kind, is refused before it is in memory."""
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(6_000_000_000)
    assert "large.json" in refused(*command, "large.json")


def test_an_array_of_calls_is_read_in_parts(tmp_path: Path) -> None:
    """A spend log in one JSON array needs no more memory than one of its rows."""
    with (tmp_path / "log.json").open("w") as file:
        file.write("[")
        for number in range(60_000):
            row = {"request_id": str(number), "model": "m", "metadata": {"ok": True}, "messages": "x" * 2000}
            file.write(("," if number else "") + json.dumps(row))
        file.write("]")
    options = ["--task", "plan", "--success-field", "metadata.ok", "--json", "--dry-run"]
    limited = ["prlimit", "--as=700000000", *COMMAND, "import", "litellm", "log.json", *options]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert json.loads(ended.stdout)["outcomes"] == 60_000
