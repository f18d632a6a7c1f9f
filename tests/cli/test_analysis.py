"""``config diff``, ``tune`` and ``simulate`` on the command line."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson

LIVE = """# mine
[ranking]
strategy = "success_rate"
min_samples = 1000
[demotion]
strategy = "never"
[exploration]
strategy = "epsilon_greedy"
epsilon = 0.5
"""


@pytest.fixture
def live(tmp_path: Path) -> tuple[str, str]:
    """Return a configuration that draws at random, and the store with its log."""
    config, path, rng = tmp_path / "live.toml", str(tmp_path / "log.db"), Random(0)
    config.write_text(LIVE)
    with mp.ModelPerf(str(config), store=path, seed=0) as perf:
        for _ in range(600):
            decision = perf.select("plan", ["a", "b"])
            assert decision is not None
            success = rng.random() < {"a": 0.95, "b": 0.2}[decision[0]]
            perf.record("plan", decision[0], mp.Outcome(success=success), decision)
    return str(config), path


def test_a_proposal_is_written_beside_the_file_in_force(run: Run, live: tuple[str, str], tmp_path: Path) -> None:
    """The diff is shown and the proposal written with its comments; the live file stays as it was."""
    config, store = live
    out = tmp_path / "new.toml"
    result = run("tune", "--config", config, "--store", store, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("expected gain +")
    assert '-strategy = "success_rate"' in result.stdout.splitlines()
    assert out.read_text().startswith("# mine\n")
    assert Path(config).read_text() == LIVE
    assert run("tune", "--config", config, "--store", store, "--out", str(out)).exit_code == 2
    assert run("tune", "--config", config, "--store", store, "--out", config, "--force").exit_code == 2
    assert Path(config).read_text() == LIVE


def test_nothing_better_is_a_negative_finding(run: Run, live: tuple[str, str], tmp_path: Path) -> None:
    """Where nothing is surely better nothing is written, and the exit code says so."""
    out = tmp_path / "new.toml"
    result = run("tune", "--config", live[0], "--store", live[1], "--task", "nothing", "--out", str(out))
    assert result.exit_code == 1
    assert not out.exists()


def test_a_difference_lists_settings_and_behaviour(
    run: Run, run_json: RunJson, live: tuple[str, str], tmp_path: Path
) -> None:
    """Keys that differ, then how many choices, where, and to what effect."""
    other = tmp_path / "other.toml"
    other.write_text(LIVE.replace("min_samples = 1000", "min_samples = 3"))
    result = run("config", "diff", live[0], str(other), "--store", live[1])
    assert result.exit_code == 0, result.output
    assert "ranking.min_samples  1000    3" in result.stdout
    assert "effect on success" in result.stdout
    answer = run_json("config", "diff", live[0], str(other), "--store", live[1])
    assert [each["path"] for each in answer["settings"]] == ["ranking.min_samples"]
    assert answer["behaviour"]["differ"] > 0.2


def test_scenarios_are_listed_and_played(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Without a scenario the shipped ones are listed; with one, policies stand beside chance and the best."""
    assert "near-tie" in run("simulate").stdout
    world = tmp_path / "world.toml"
    world.write_text("decisions = 200\nmodels = 3\n")
    result = run("simulate", str(world), "--runs", "2")
    assert result.exit_code == 0, result.output
    names = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert {"the policy in force", "the migration guide's rule", "random", "best each time"} <= set(names)
    assert run_json("simulate", str(world), "--runs", "1")["scenario"] == "world"
    assert run("simulate", "--json").exit_code == 2
