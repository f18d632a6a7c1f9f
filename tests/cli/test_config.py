"""``config``: checking, showing and comparing configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelperf_plugin.config import load
from modelperf_plugin.engine.core import ModelPerf
from tests.cli.conftest import RANDOM_POLICY, Run, RunJson


def test_check_reports_every_problem_at_once(run: Run, run_json: RunJson) -> None:
    """Each problem is a separate error line with its place; the exit code is 2."""
    Path("bad.toml").write_text('mod = "apply"\n[ranking]\nmin_samples = 0\n')
    result = run("config", "check", "bad.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") for line in lines)
    assert any("mod: unknown key; did you mean mode?" in line for line in lines)
    assert any("ranking.min_samples: must be" in line for line in lines)
    answer = run_json("config", "check", "bad.toml", exit_code=2)
    assert (answer["ok"], len(answer["problems"])) == (False, 2)


def test_check_names_the_files_that_were_read(run: Run) -> None:
    """A good configuration is "ok", with the files it comes from."""
    assert run("config", "check").stdout == "ok: no file, the defaults\n"
    Path("good.toml").write_text('mode = "observe"\n')
    for arguments in (["good.toml"], ["--config", "good.toml"]):
        assert run("config", "check", *arguments).stdout == f"ok: {Path('good.toml').absolute()}\n"


def test_check_hints_at_names(run: Run, run_json: RunJson) -> None:
    """Names that match no outcome, and likely names of one model, are hints and no errors; an alias settles them."""
    file = Path("hints.toml")
    file.write_text('[store]\npath = "x.db"\n[models."gpt-4o-mni"]\n[task_types.cdoe.retries]\nattempts = 2\n')
    assert run_json("config", "check", "hints.toml")["hints"] == []
    with ModelPerf(file) as engine:
        for model_id in ("gpt-4o-mini", "openai/gpt-4o-mini"):
            engine.record("code", model_id, {"success": True})
    lines = run("config", "check", "hints.toml").stdout.splitlines()
    assert lines[0].startswith("ok: ")
    assert lines[1].startswith("hint: 'gpt-4o-mini' and 'openai/gpt-4o-mini' may be one model")
    assert lines[2].endswith("did you mean 'gpt-4o-mini'?")
    assert lines[3] == "hint: [task_types.\"cdoe\"] matches no outcome so far; did you mean 'code'?"
    file.write_text('[store]\npath = "x.db"\n[models."gpt-4o-mini"]\naliases = ["openai/gpt-4o-mini"]\n')
    assert run_json("config", "check", "hints.toml")["hints"] == []
    rows = run_json("stats", "--config", "hints.toml")
    assert "openai/" not in json.dumps(rows)
    assert "openai/" not in run("rank", "code", "--config", "hints.toml").stdout


def test_check_of_a_file_that_is_not_there_is_a_problem(run: Run) -> None:
    """A named file must exist."""
    result = run("config", "check", "none.toml")
    assert result.exit_code == 2
    assert "none.toml: cannot be read" in result.stderr


@pytest.mark.parametrize("command", [["rank", "execute-task"], ["stats"], ["doctor"], ["demo"], ["config", "show"]])
def test_a_broken_configuration_stops_every_command(run: Run, store: str, command: list[str]) -> None:
    """No command runs with an invalid configuration."""
    Path("modelperf.toml").write_text("mode = \n")
    result = run(*command, "--store", store)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert "line 1, column 8" in result.stderr


def test_show_tells_where_each_value_comes_from(run: Run, run_json: RunJson, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value has a line with its source: flag, environment variable, file or default."""
    file = Path("modelperf.toml").absolute()
    file.write_text('[ranking]\nmin_samples = 7\n[task_types."plan slice".ranking]\nmin_samples = 9\n')
    monkeypatch.setenv("MODELPERF_MODE", "observe")
    result = run("config", "show", "--store", "flag.db")
    rows = {cells[0]: cells[1:] for cells in (line.split("  ") for line in result.stdout.splitlines())}
    said = {name: [cell.strip() for cell in cells if cell.strip()] for name, cells in rows.items()}
    assert said["ranking.min_samples"] == ["7", str(file)]
    assert said["mode"] == ['"observe"', "environment variable MODELPERF_MODE"]
    assert said["store.path"] == ['"flag.db"', "flag"]
    assert said["exploration.strategy"][1] == "default"
    assert said['task_types."plan slice".ranking.min_samples'] == ["9", str(file)]
    answer = run_json("config", "show", "--store", "flag.db")
    assert answer["origins"] == dict(load(flags={"store": {"path": "flag.db"}}).origins)
    assert answer["config"]["ranking"]["min_samples"] == 7
    assert set(rows) - {"key"} == set(answer["origins"])


def test_schema_is_a_json_schema(run: Run) -> None:
    """The schema is JSON on standard output, fit for an editor."""
    schema = json.loads(run("config", "schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"mode", "store", "ranking", "demotion", "exploration"} <= set(schema["properties"])


def test_a_difference_lists_settings_and_behaviour(
    run: Run, run_json: RunJson, live: tuple[str, str], tmp_path: Path
) -> None:
    """Shows the keys that differ, then the choices that differ and the effect."""
    other = tmp_path / "other.toml"
    other.write_text(RANDOM_POLICY.replace("min_samples = 1000", "min_samples = 3"))
    result = run("config", "diff", live[0], str(other), "--store", live[1])
    assert result.exit_code == 0, result.output
    assert "ranking.min_samples  1000    3" in result.stdout
    assert "effect on success" in result.stdout
    answer = run_json("config", "diff", live[0], str(other), "--store", live[1])
    assert [each["path"] for each in answer["settings"]] == ["ranking.min_samples"]
    assert answer["behaviour"]["differ"] > 0.2


def test_task_type_tries_a_rule_out(run: Run, run_json: RunJson) -> None:
    """The task type of the labels is printed; without a rule that holds, a note says so with exit code 1."""
    Path("modelperf.toml").write_text(
        '[task_type_rules]\n"code-review" = { tag = "review" }\n"sql" = { job = "nightly-*", level = 3 }\n'
    )
    assert run("config", "task-type", "--tag", "a", "--tag", "review").stdout == "code-review\n"
    assert run("config", "task-type", "--metadata", "job=nightly-1", "--metadata", "level=3").stdout == "sql\n"
    assert run_json("config", "task-type", "--metadata", "tags=review")["task_type"] == "code-review"
    result = run("config", "task-type", "--metadata", "job=nightly-1")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "no rule holds\n")
    assert run_json("config", "task-type", exit_code=1)["task_type"] is None
    wrong = run("config", "task-type", "--metadata", "job")
    assert wrong.exit_code == 2
    assert "--metadata must be NAME=VALUE, but got 'job'" in wrong.stderr
