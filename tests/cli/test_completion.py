"""Shell completion: what a shell asks for, and what it never costs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.values import Outcome
from tests.cli.conftest import Choose, Run
from tests.cli.processes import run_process
from tests.postgres import Server


def complete(*words: str) -> list[str]:
    """Return what bash is offered for the last of some words."""
    line = {"COMP_WORDS": " ".join(["modelperf", *words]), "COMP_CWORD": str(len(words))}
    result = run_process(environ={**line, "_MODELPERF_COMPLETE": "bash_complete"})
    assert (result.returncode, result.stderr) == (0, "")
    return [each.partition(",")[2] for each in result.stdout.split()]


def test_names_are_completed_from_the_store(store: str, choose: Choose) -> None:
    """Task types, models (of the task type that was typed), and decision ids."""
    decision = choose()
    at = ("--store", store)
    assert complete(*at, "rank", "") == ["execute-task", "plan-slice"]
    assert complete(*at, "rank", "exec") == ["execute-task"]
    assert complete(*at, "compare", "plan-slice", "") == ["gpt-4o"]
    assert complete(*at, "announce", "") == ["claude-opus", "gpt-4o", "llama-70b"]
    assert complete(*at, "explain", "execute-task", "--candidates", "gpt-4o,cl") == ["gpt-4o,claude-opus"]
    assert complete(*at, "why", decision.decision_id[:6]) == [decision.decision_id]
    assert complete(*at, "stats", "--task", "p") == ["plan-slice"]


def test_demotions_are_completed(watched: str) -> None:
    """Only what can be reset is offered."""
    with ModelPerf({}, store=watched) as perf:
        (demotion, *_) = perf.store.demotions.all(in_force=True)
    at = ("--store", watched, "reset", "demotion")
    assert demotion.task_type in complete(*at, "")
    assert complete(*at, demotion.task_type, "") == [demotion.model_id]


def test_commands_options_and_files_are_completed(run: Run) -> None:
    """Commands by their names, options by theirs, and files by the shell."""
    assert complete("ba") == ["backup"]
    assert complete("plot", "--ch") == ["--chart"]
    assert complete("simulate", "near") == ["near-tie"]
    assert complete("report", "-o", "") == [""]


def test_imports_are_completed_by_their_numbers(store: str, run: Run, tmp_path: Path) -> None:
    """As `forget --import` takes them."""
    (tmp_path / "h.csv").write_text("task_type,model_id,success\nt,m,1\n", encoding="utf-8")
    run("import", "csv", str(tmp_path / "h.csv"), "--store", store)
    assert complete("--store", store, "forget", "--import", "") == ["1"]


def test_names_are_completed_from_a_server(postgres: Server) -> None:
    """A store in PostgreSQL completes like a file."""
    url = postgres.new_schema()
    with ModelPerf({}, store=url) as perf:
        perf.record("execute-task", "gpt-4o", Outcome(success=True))
    assert complete("--store", url, "rank", "ex") == ["execute-task"]
    assert complete("--store", url, "announce", "") == ["gpt-4o"]
    assert complete("--store", postgres.new_schema(), "rank", "") == [], "it has no tables"


def test_a_server_that_does_not_answer_completes_nothing() -> None:
    """A shell is not kept waiting by a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://127.0.0.1:{server.getsockname()[1]}/x"
        assert complete("--store", url, "rank", "") == []


@pytest.mark.parametrize("content", [None, b"not a database", b""])
def test_a_store_that_cannot_be_read_completes_nothing(tmp_path: Path, content: bytes | None) -> None:
    """No error, no message, and no file is created."""
    file = tmp_path / "store.db"
    if content is not None:
        file.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    assert complete("--store", str(file), "rank", "") == []
    assert complete("--store", "postgresql://nowhere.invalid/x", "rank", "") == []
    assert complete("--config", "no-such.toml", "rank", "") == []
    assert sorted(tmp_path.iterdir()) == before
    assert content is None or file.read_bytes() == content


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    """Standard output is a script that the shell accepts."""
    result = run_process("completion", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert "_MODELPERF_COMPLETE" in result.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=result.stdout, text=True, check=False, env=dict(os.environ))
        assert checked.returncode == 0
