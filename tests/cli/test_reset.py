"""``reset``: ending demotions and A/B tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson


def test_a_demotion_can_be_reset(run: Run, watched: str) -> None:
    """``reset demotion`` reinstates one model, once; ``--all`` still shows the demotion and who ended it."""
    assert run("reset", "demotion", "plan", "[red]bad", "--store", watched).exit_code == 0
    assert run("reset", "demotion", "plan", "[red]bad", "--store", watched).exit_code == 1
    rest = json.loads(run("demotions", "--json", "--store", watched).stdout)["demotions"]
    assert "[red]bad" not in [each["model_id"] for each in rest]
    ended = json.loads(run("demotions", "--all", "--json", "--store", watched).stdout)["demotions"]
    assert [each["ended_by"] for each in ended if each["model_id"] == "[red]bad"] == ["operator"]


def test_all_demotions_can_be_reset(run: Run, watched: str) -> None:
    """``reset demotions`` reinstates all models; with none demoted, it is a negative finding."""
    assert run("reset", "demotions", "--store", watched).exit_code == 0
    assert run("reset", "demotions", "--store", watched).exit_code == 1
    assert "no model is demoted" in run("demotions", "--store", watched).stdout


@pytest.mark.parametrize(
    "command", [["announce", "a"], ["reset", "outage", "a"], ["reset", "demotion", "t", "a"], ["reset", "demotions"]]
)
def test_reset_and_announce_create_no_database(run: Run, tmp_path: Path, command: list[str]) -> None:
    """A missing database is a negative finding, and is not created."""
    missing = tmp_path / "missing.db"
    assert run(*command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()


def test_a_configured_test_starts_over(run: Run, run_json: RunJson, tested: str, tmp_path: Path) -> None:
    """After ``reset test`` the test is gone until the next decision; a second reset finds nothing."""
    result = run("reset", "test", "t", "--store", tested)
    assert (result.exit_code, result.stdout) == (0, "1 A/B test on t ended\n")
    assert run_json("compare", "t", "--store", tested)["tests"] == []
    result = run("reset", "test", "t", "--store", tested)
    assert (result.exit_code, result.stderr) == (1, "no A/B test on 't'\n")
    with mp.ModelPerf(tmp_path / "modelperf.toml", store=tested) as perf:
        assert perf.select("t", ["old", "[red]new", "newer"]) is not None
    tests = run_json("compare", "t", "--store", tested)["tests"]
    assert [test["e_value"] for test in tests] == [1.0, 1.0]
