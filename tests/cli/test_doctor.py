"""``doctor``: whether the plugin is active, and what is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pluggy
import pytest

from modelperf_plugin.hooks.plugin import register
from tests.cli.conftest import Run, RunJson


def break_something(store: str, times: int = 2) -> None:
    """Let a host hand over an outcome that cannot be recorded."""
    manager = pluggy.PluginManager("anyhost")
    plugin = register(manager, {}, store=store)
    for _ in range(times):
        manager.hook.on_task_complete(
            task_type="execute-task", model_id="gpt-4o", outcome={"success": "[red]maybe"}, decision=None
        )
    plugin.close()


def test_a_healthy_store_is_well(run: Run, run_json: RunJson, store: str) -> None:
    """With outcomes, a sound file and no problems the exit code is 0, and what was looked at is told."""
    result = run("doctor", "--store", store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{store}: all is well\n")
    for text in ("mode apply", "38 outcomes of 2 task types and 3 models; the last", "no file: the defaults"):
        assert text in result.stdout
    answer = run_json("doctor", "--store", store)
    assert (answer["ok"], answer["mode"], answer["problems"]) == (True, "apply", [])
    assert {finding["name"] for finding in answer["findings"]} >= {"mode", "outcomes", "integrity", "tallies"}
    assert set(answer["policy_ids"]) == {"execute-task", "plan-slice"}


def test_a_missing_store_is_not_active_yet(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Before the first outcome the doctor says that nothing is active, and creates nothing."""
    result = run("doctor", "--store", "none.db", "--clear")
    assert result.exit_code == 1
    assert "not active yet" in result.stdout
    answer = run_json("doctor", "--store", "none.db", exit_code=1)
    assert [finding["name"] for finding in answer["findings"] if not finding["ok"]] == ["outcomes"]
    assert not list(tmp_path.iterdir())


def test_the_mode_off_is_a_finding(run: Run, store: str) -> None:
    """Whoever asks why nothing is recorded is told."""
    Path("modelperf.toml").write_text('mode = "off"\n')
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    assert 'mode off: hosts are answered None and nothing is recorded; set mode = "apply"' in result.stdout


def test_task_types_with_a_policy_of_their_own_are_named(run: Run, store: str) -> None:
    """Where the policies differ, each is listed with its task types."""
    Path("modelperf.toml").write_text('[task_types."plan-slice".ranking]\nmin_samples = 9\n')
    line = next(line for line in run("doctor", "--store", store).stdout.splitlines() if line.startswith("policy "))
    assert " for execute-task; " in line
    assert line.endswith(" for plan-slice")


def test_what_a_host_did_not_notice_is_counted(run: Run, run_json: RunJson, store: str) -> None:
    """A failed hook call shows up with its count, time and message, and is a negative finding until forgotten."""
    break_something(store)
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if line.startswith("on_task_complete "))
    assert row.split()[1] == "2"
    assert "[red]maybe" in row
    (problem,) = run_json("doctor", "--store", store, exit_code=1)["problems"]
    assert (problem["kind"], problem["times"]) == ("on_task_complete", 2)
    assert problem["first"] <= problem["last"]
    assert run("doctor", "--store", store, "--clear").exit_code == 0
    assert run("doctor", "--store", store).exit_code == 0


def test_numbers_that_do_not_add_up_are_found(run: Run, store: str) -> None:
    """A tally that is not the sum of its events is a negative finding."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE tally SET successes = successes + 1 WHERE id = 1")
        connection.commit()
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    assert "something is wrong" in result.stdout
    assert "not what the events say, for execute-task / gpt-4o" in result.stdout


@pytest.mark.parametrize("content", [b"not a database, " * 100, b"\0" * 4096])
def test_a_store_that_cannot_be_opened_is_a_finding(run_json: RunJson, content: bytes) -> None:
    """The doctor does not fall ill itself: what keeps the store closed is one of its findings."""
    Path("broken.db").write_bytes(content)
    answer = run_json("doctor", "--store", "broken.db", exit_code=1)
    (finding,) = [finding for finding in answer["findings"] if not finding["ok"]]
    assert finding["name"] == "store"
    assert "broken.db" in finding["message"]
    assert Path("broken.db").read_bytes() == content
