"""``import``: outcomes recorded elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, RunJson
from tests.cli.processes import COMMAND

HEADER = "task_type,model_id,success,cost_usd\n"


def test_a_dry_run_creates_no_store(run: Run, tmp_path: Path) -> None:
    """A dry run creates no file."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    (tmp_path / "old.json").write_text('{"t": {"m": {"successes": 3, "failures": 1}}}')
    assert "1 outcome of 1 pair would be imported" in run("import", "csv", "a.csv", "--dry-run").stdout
    assert "4 outcomes of 1 pair would be imported" in run("import", "json", "old.json", "--dry-run").stdout
    assert not (tmp_path / ".sf").exists()


def test_a_dry_run_knows_what_was_imported(run: Run, tmp_path: Path) -> None:
    """Outcomes of an earlier run are not counted again, and nothing is written."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    assert run("import", "csv", "a.csv").exit_code == 0
    with (tmp_path / "a.csv").open("a") as file:
        file.write("t,m,0,0.5\n")
    for _ in range(2):
        result = run("import", "csv", "a.csv", "--dry-run")
        assert "1 outcome of 1 pair would be imported" in result.stdout
        assert "1 imported before" in result.stdout


def test_bad_lines_are_exit_code_1_and_on_standard_error(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Twenty are shown with their line numbers, all are counted; JSON lists more."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n" + "t,m,maybe,0.5\n" * 30)
    result = run("import", "csv", "a.csv", "--dry-run")
    assert result.exit_code == 1
    assert "30 not usable" in result.stdout
    assert "line 3: success must be 0, 1, true, false or empty, but got 'maybe'" in result.stderr
    assert "and 10 more" in result.stderr
    answer = run_json("import", "csv", "a.csv", exit_code=1)
    assert (answer["outcomes"], answer["rejected"], len(answer["problems"])) == (1, 30, 30)
    assert answer["problems"][0]["line"] == 3


def test_the_configured_score_is_the_bar_of_imported_scores(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """An imported score counts like a recorded one."""
    (tmp_path / "modelperf.toml").write_text("[quality]\npass_score = 0.8\n")
    (tmp_path / "a.csv").write_text("task_type,model_id,score\nt,m,0.7\nt,m,0.8\n")
    assert run("import", "csv", "a.csv").exit_code == 0
    (tally,) = run_json("stats")["tallies"]
    assert (tally["successes"], tally["failures"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "csv", "none.csv"], "none.csv: cannot be read"),
        (["import", "csv", "a.csv", "--column", "success"], "must be OURS=THEIRS"),
        (["import", "csv", "a.csv", "--column", "colour=x"], "must be OURS=THEIRS with one of task_type"),
        (["import", "litellm", "a.csv", "--success-field", "ok"], "give --task or --task-field"),
        (["import", "modelperf", "a.csv"], "a.csv: cannot be read as an SQLite database"),
        (["federate", "attach", "none.db"], "none.db does not exist"),
        (["federate", "attach", "a.csv", "--column", "x=y"], "must be OURS=THEIRS with one of task_type"),
        (["export", "--format", "parquet"], "a Parquet file needs a name"),
        (["merge", "a.csv"], "is not an export"),
        (["merge", "a", "b", "--name", "c"], "--name is for a single file"),
    ],
)
def test_refusals_are_exit_code_2(run: Run, tmp_path: Path, store: str, arguments: list[str], said: str) -> None:
    """Each refusal is one message that names the input."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    result = run(*arguments, "--store", store)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_an_interrupted_import_can_continue(tmp_path: Path) -> None:
    """Ctrl-C is exit code 130; the same command imports the rest."""
    rows = 300_000
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "t,m,1,0.5\n" * rows)
    command = [*COMMAND, "import", "csv", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        database = tmp_path / ".sf/model-performance.db"
        deadline = time.monotonic() + 60
        while not database.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate()
    if process.returncode:  # else the import finished first
        assert process.returncode == 130
        assert "run the same command again to continue" in said
    again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert again["before"] + again["outcomes"] == rows
