"""``simulate``: policies in a simulated world."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, RunJson


def test_scenarios_are_listed_and_played(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Without a scenario the shipped ones are listed; with one, policies are compared with chance and the best."""
    assert "near-tie" in run("simulate").stdout
    world = tmp_path / "world.toml"
    world.write_text("decisions = 200\nmodels = 3\n")
    result = run("simulate", str(world), "--runs", "2")
    assert result.exit_code == 0, result.output
    names = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert {"the policy in force", "the migration guide's rule", "random", "best each time"} <= set(names)
    assert run_json("simulate", str(world), "--runs", "1")["scenario"] == "world"
    assert run("simulate", "--json").exit_code == 2
