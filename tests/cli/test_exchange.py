"""``import``, ``federate``, ``export``, ``merge``: what they say, write, and end with."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, RunJson
from tests.cli.processes import COMMAND

HEADER = "task_type,model_id,success,cost_usd\n"


def test_a_dry_run_creates_no_store(run: Run, tmp_path: Path) -> None:
    """Neither an import nor a merge leaves anything behind when it only says what it would do."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    (tmp_path / "old.json").write_text('{"t": {"m": {"successes": 3, "failures": 1}}}')
    assert "1 outcome of 1 pair would be imported" in run("import", "csv", "a.csv", "--dry-run").stdout
    assert "4 outcomes of 1 pair would be imported" in run("import", "json", "old.json", "--dry-run").stdout
    assert not (tmp_path / ".sf").exists()


def test_a_dry_run_knows_what_was_imported(run: Run, tmp_path: Path) -> None:
    """What an earlier run has brought is not announced again, and nothing is written."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    assert run("import", "csv", "a.csv").exit_code == 0
    with (tmp_path / "a.csv").open("a") as file:
        file.write("t,m,0,0.5\n")
    for _ in range(2):
        result = run("import", "csv", "a.csv", "--dry-run")
        assert "1 outcome of 1 pair would be imported" in result.stdout
        assert "1 imported before" in result.stdout


def test_bad_lines_are_exit_code_1_and_on_standard_error(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Twenty are shown with their numbers, all are counted; the program's answer lists more."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n" + "t,m,maybe,0.5\n" * 30)
    result = run("import", "csv", "a.csv", "--dry-run")
    assert result.exit_code == 1
    assert "30 not usable" in result.stdout
    assert "line 3: success must be 0, 1, true, false or empty, but got 'maybe'" in result.stderr
    assert "and 10 more" in result.stderr
    answer = run_json("import", "csv", "a.csv", exit_code=1)
    assert (answer["outcomes"], answer["rejected"], len(answer["problems"])) == (1, 30, 30)
    assert answer["problems"][0]["line"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "csv", "none.csv"], "none.csv: cannot be read"),
        (["import", "csv", "a.csv", "--column", "success"], "must be OURS=THEIRS"),
        (["import", "csv", "a.csv", "--column", "colour=x"], "must be OURS=THEIRS with one of task_type"),
        (["import", "litellm", "a.csv", "--success-field", "ok"], "give --task-type or --task-field"),
        (["import", "modelperf", "a.csv"], "a.csv: cannot be read as an SQLite database"),
        (["federate", "attach", "none.db"], "none.db does not exist"),
        (["federate", "attach", "a.csv", "--column", "x=y"], "must be OURS=THEIRS with one of task_type"),
        (["export", "--format", "parquet"], "a Parquet file needs a name"),
        (["merge", "a.csv"], "is not an export"),
        (["merge", "a", "b", "--name", "c"], "--name is for a single file"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2(
    run: Run, tmp_path: Path, store: str, arguments: list[str], said: str
) -> None:
    """Each refusal is one message that names what was given."""
    (tmp_path / "a.csv").write_text(HEADER + "t,m,1,0.5\n")
    result = run(*arguments, "--store", store)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_federation_from_the_configuration(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """A path is relative to the file; the outcomes are in every reading command; detach says where it stands."""
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE llm_task_outcomes (task_type, model_id, success)")
    other.execute("INSERT INTO llm_task_outcomes VALUES ('execute-task', 'newcomer', 1)")
    other.commit()
    other.close()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/modelperf.toml").write_text('[[federation]]\npath = "../other.db"\n')
    config = ("--config", "sub/modelperf.toml", "--store", store)
    (attached,) = run_json("federate", "list", *config)["attached"]
    assert (attached["path"], attached["outcomes"], attached["problem"]) == (str(tmp_path / "other.db"), 1, None)
    assert "newcomer" in run("rank", "execute-task", *config).stdout
    assert "newcomer" in run("stats", *config).stdout
    assert "remove its [[federation]] from the file" in run("federate", "detach", "other.db", *config).stderr
    assert "newcomer" not in run("export", "--min-samples", "1", *config).stdout
    (tmp_path / "other.db").unlink()
    assert run("federate", "list", *config).exit_code == 1
    assert "attached database" in run("doctor", *config).stdout


def test_export_leaves_out_what_is_unsure(run: Run, store: str) -> None:
    """Standard output is the file, standard error says what stays."""
    result = run("export", "--store", store)
    assert [entry["model_id"] for entry in json.loads(result.stdout)["entries"]] == [
        "claude-opus",
        "gpt-4o",
        "llama-70b",
    ]
    assert "1 entry left out: task type too small" in result.stderr


def test_merged_experience_is_told_and_taken_out(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """It is listed with its source, ranks models that are unknown here, and is gone after its removal."""
    assert run("export", "--store", store, "--output", "them.json").exit_code == 0
    mine = ("--store", str(tmp_path / "mine.db"))
    assert "3 pairs with 36 outcomes merged as them" in run("merge", "them.json", *mine).stdout
    (source,) = run_json("merged", "list", *mine)["sources"]
    assert (source["name"], source["pairs"], source["outcomes"], source["strength"]) == ("them", 3, 36, 10.0)
    known = ("explain", "execute-task", "--candidates", "llama-70b,claude-opus", *mine)
    assert run(*known).stdout.startswith("execute-task → claude-opus")
    assert run("merged", "remove", "them", *mine).exit_code == 0
    assert run_json("merged", "list", *mine)["sources"] == []


def test_an_interrupted_import_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C is exit code 130; the same command brings the rest."""
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
    if process.returncode:  # else it was faster than we
        assert process.returncode == 130
        assert "run the same command again to continue" in said
    again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert again["before"] + again["outcomes"] == rows
