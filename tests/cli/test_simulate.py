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


def test_whole_tasks_are_shown_with_several_tries(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """--attempts lets policies try again, and shows solved tasks and what is lost of them."""
    world = tmp_path / "world.toml"
    world.write_text("decisions = 100\nmodels = 4\n[rates]\nspread = 3.0\n")
    text = run("simulate", str(world), "--runs", "1", "--attempts", "2").stdout
    assert "against trying the 2 best models offered each time" in text
    assert {"solved", "tries"} <= set(text.splitlines()[2].split())
    answer = run_json("simulate", str(world), "--runs", "1", "--attempts", "2")
    assert answer["attempts"] == 2
    assert answer["best_solved_rate"] > answer["best_success_rate"]
    assert {"solved_rate", "solved_regret", "solved_standard_error", "tries"} <= set(answer["policies"][0])
