"""``evaluate`` on the command line."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return a store with 300 decisions, a fifth of them at random."""
    path, rng = str(tmp_path / "log.db"), Random(0)
    with mp.ModelPerf({"exploration": {"evaluation_share": 0.2}}, store=path, seed=0) as perf:
        for _ in range(300):
            decision = perf.select("plan", ["a", "b"])
            assert decision is not None
            outcome = mp.Outcome(success=rng.random() < {"a": 0.9, "b": 0.4}[decision[0]], cost_usd=0.01)
            perf.record("plan", decision[0], outcome, decision)
    return path


def test_policies_stand_beside_what_happened(run: Run, log: str, tmp_path: Path) -> None:
    """Each policy has a row with its answer, and so have the baselines; the log is described first."""
    greedy = tmp_path / "greedy.toml"
    greedy.write_text('[exploration]\nstrategy = "never"\n')
    result = run("evaluate", "--store", log, "--policy", str(greedy), "--by-task-type")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("300 decisions from ")
    assert "success, gain and cost are those of first tries, whatever was tried after them" in lines
    for name in (str(greedy), "what made the log", "the migration guide's rule", "random", "a"):
        assert any(line.startswith(name) for line in lines), name


def test_json_holds_every_figure(run_json: RunJson, log: str) -> None:
    """The JSON has the policies with their estimates, intervals and refusals."""
    answer = run_json("evaluate", "--store", log)
    (policy,) = answer["policies"]
    assert policy["name"] == "the policy in force"
    assert policy["success"]["low"] <= policy["success"]["value"] <= policy["success"]["high"]
    assert answer["decisions"] == 300
    assert answer["failed"] == []


def test_a_policy_that_is_not_certainly_good_enough_fails(run: Run, run_json: RunJson, log: str) -> None:
    """With --fail-below the exit code is 1 unless every interval is above the bound."""
    assert run("evaluate", "--store", log, "--fail-below", "0.3").exit_code == 0
    assert run_json("evaluate", "--store", log, "--fail-below", "0.99", exit_code=1)["failed"] == [
        "the policy in force"
    ]
    result = run("evaluate", "--store", log, "--fail-below", "0.99")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        1,
        "not certainly 99.0 % or more: the policy in force",
    )


def test_a_short_log_is_a_negative_finding(run: Run, log: str) -> None:
    """Without enough decisions there is nothing to say, and the note says how many there are."""
    result = run("evaluate", "--store", log, "--task", "nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "0 decisions with a known outcome; 50 are needed\n"
