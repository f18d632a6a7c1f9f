"""``replay``: a policy judged on recorded outcomes."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run, RunJson
from tests.cli.processes import Terminal

RATES = {"easy": {"[red]cheap": 0.9, "expensive": 0.95}, "hard": {"[red]cheap": 0.1, "expensive": 0.8}}
COST = {"[red]cheap": 0.001, "expensive": 0.1}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a file with 60 instances of two task types and the outcomes of two models."""
    rng = random.Random(1)
    lines = ["instance_id,task_type,model_id,success,cost_usd"]
    for number in range(60):
        task_type = "easy" if number % 3 else "hard"
        for model_id, rate in RATES[task_type].items():
            lines.append(f"{number},{task_type},{model_id},{int(rng.random() < rate)},{COST[model_id]}")
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_table_compares_six_ways_of_choosing(run: Run, file: str) -> None:
    """The policy stands beside the migration guide's rule, chance, hindsight and the cheapest model."""
    result = run("replay", file, "--repeats", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    for way in ("this policy", "the migration guide's rule", "random", "best single model", "best per task type"):
        assert f"\n{way}" in result.stdout
    assert re.search(r"\ncheapest model +\[red\]cheap", result.stdout)
    assert "+0.0" in result.stdout
    assert "learning curve" in result.stdout


def test_task_types_are_shown_on_demand(run: Run, file: str) -> None:
    """--by-task-type adds one line per task type."""
    assert "\nhard " not in run("replay", file, "--repeats", "1").stdout
    lines = run("replay", file, "--repeats", "1", "--by-task-type").stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("easy", "hard"))] == [["easy", "40"], ["hard", "20"]]


def test_json_is_the_whole_report(run_json: RunJson, file: str) -> None:
    """The same seed gives the same report, and it says what was replayed."""
    first, second = (run_json("replay", file, "--repeats", "2", "--seed", "5") for _ in range(2))
    assert first == second
    assert (first["schema_version"], first["command"]) == (1, "replay")
    assert (first["instances"], first["repeats"], first["order"], first["seed"]) == (60, 2, "shuffled", 5)


def test_the_policy_is_the_configured_one(run_json: RunJson, file: str) -> None:
    """--config selects the policy."""
    strategies = {"ranking": "success_rate", "exploration": "never", "demotion": "never"}
    sections = (f'[{section}]\nstrategy = "{strategy}"\n' for section, strategy in strategies.items())
    Path("rule.toml").write_text("".join(sections))
    rule = run_json("replay", file, "--config", "rule.toml", "--order", "recorded")
    assert rule["policy"] == rule["document_rule"]
    assert run_json("replay", file, "--order", "recorded")["policy"] != rule["policy"]


def test_models_can_be_left_out(run: Run, file: str) -> None:
    """--models offers only those named; one that is not in the file is an error."""
    assert run("replay", file, "--models", "expensive,[red]cheap").exit_code == 0
    result = run("replay", file, "--models", "expensive,nobody")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nobody" in result.stderr


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "instance_id,task_type,model_id,success\n1,t,m,maybe\n"])
def test_a_file_that_holds_no_outcomes_is_wrong_usage(run: Run, content: str) -> None:
    """The message names the file, and the line where there is one."""
    Path("bad.csv").write_text(content)
    result = run("replay", "bad.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: bad.csv")


def test_replaying_writes_nothing(run: Run, tmp_path: Path, file: str) -> None:
    """A replay runs in memory and creates no file."""
    before = set(tmp_path.rglob("*"))
    assert run("replay", file, "--repeats", "1").exit_code == 0
    assert set(tmp_path.rglob("*")) == before


def test_ctrl_c_ends_a_long_replay_with_130(file: str) -> None:
    """An interrupted replay prints a message, no traceback and no partial answer."""
    terminal = Terminal("replay", file, "--repeats", "100000")
    terminal.wait_for("replaying")
    terminal.interrupt()
    code, text = terminal.finish()
    assert code == 130
    assert text.rstrip().endswith("error: interrupted")
    assert "Traceback" not in text
    assert "this policy" not in text


def test_skipped_outcomes_are_counted(run: Run) -> None:
    """The answer counts instances and models left out, and outcomes without a cost."""
    rows = ["1,t,a,1", "1,t,b,0", "2,t,a,1", "2,t,b,1", "3,t,a,0", "3,t,c,1"]
    Path("thin.csv").write_text("\n".join(["instance_id,task_type,model_id,success", *rows]) + "\n")
    text = run("replay", "thin.csv", "--repeats", "1").stdout
    assert "left out         1 model and 1 instance, so that the outcome of every model is known" in text
    assert "without a cost   4 of 4 outcomes" in text
    assert "cheapest model" not in text


def test_whole_tasks_are_compared_with_fixed_orders(run: Run, run_json: RunJson, file: str) -> None:
    """--attempts tries the models of a decision in turn; fixed orders stand beside it, and JSON has all figures."""
    text = run("replay", file, "--repeats", "1", "--attempts", "2").stdout
    assert "at most 2 tries a task, objective success" in text
    for way in ("the best first *", "the cheapest first", "best fixed order *"):
        assert f"\n{way}" in text
    assert "tries a task" not in run("replay", file, "--repeats", "1").stdout
    answer = run_json("replay", file, "--repeats", "1", "--attempts", "2")
    assert answer["attempts"] == 2
    assert answer["tries"]["cheapest_first"]["order"] == ["[red]cheap", "expensive"]
    Path("tries.toml").write_text("[retries]\nattempts = 2\n")
    assert run_json("replay", file, "--repeats", "1", "--config", "tries.toml")["tries"] == answer["tries"]
