"""``savings`` on the command line."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return a store with 400 tasks, half of them at random; the dear model is no better."""
    path, rng = str(tmp_path / "log.db"), Random(0)
    with mp.ModelPerf({"exploration": {"evaluation_share": 0.5}}, store=path, seed=0) as perf:
        for _ in range(400):
            decision = perf.select("plan", ["cheap", "dear"])
            assert decision is not None
            usd = {"cheap": 0.01, "dear": 0.1}[decision[0]] * rng.uniform(0.5, 1.5)
            perf.record("plan", decision[0], mp.Outcome(success=rng.random() < 0.8, cost_usd=usd), decision)
    return path


def test_savings_stand_beside_what_happened(run: Run, log: str) -> None:
    """Without --against, the rules and all models have a row; the figures of the period come first."""
    result = run("savings", "--store", log)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("400 tasks from ")
    for name in ("what happened", "retries", "exploration", "current: ", "best-before", "cheap", "dear"):
        assert any(line.startswith(name) for line in lines), name


def test_json_holds_every_figure(run_json: RunJson, log: str) -> None:
    """Against one model there is one row: its dollars less those spent are those saved."""
    answer = run_json("savings", "--store", log, "--against", "dear")
    (row,) = answer["against"]
    assert row["saved_usd"]["value"] == pytest.approx(row["cost_usd"]["value"] - answer["cost_usd"])
    assert row["gained"]["low"] <= row["gained"]["value"] <= row["gained"]["high"]
    assert (answer["tasks"], answer["left_out"]) == (400, {})


def test_no_answer_is_a_negative_finding(run: Run, run_json: RunJson, log: str) -> None:
    """An unknown model, an empty period or an unknown task type give one line and exit code 1."""
    assert run_json("savings", "--store", log, "--against", "nobody", exit_code=1)["against"][0]["refusal"] == (
        "nobody was not offered in this period"
    )
    for options in (["--until", "2020-01-01"], ["--since", "2100-01-01"], ["--task", "none"]):
        result = run("savings", "--store", log, *options)
        assert (result.exit_code, result.stderr) == (1, "0 tasks with a known outcome; 50 are needed\n"), options
