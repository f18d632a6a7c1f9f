"""``rank`` and ``explain``: the policy's own words, and no others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.engine.core import ModelPerf
from tests.cli.conftest import Run, RunJson


def test_rank_shows_the_models_best_first(run: Run, store: str) -> None:
    """One line for each model, in the order of the ranking, with numbers, status and reason."""
    lines = run("rank", "execute-task", "--store", store).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("model "))
    assert [line.split()[0] for line in lines[start + 1 :]] == ["claude-opus", "gpt-4o", "llama-70b"]
    for text in ("79.8 %", "91.7 %", "$0.0109", "ranked", "posterior mean 0.798 (11 of 12 succeeded)"):
        assert text in lines[start + 1]


def test_rank_says_what_the_engine_says(run_json: RunJson, store: str) -> None:
    """The ranking in JSON is the ranking of ModelPerf.explain."""
    answer = run_json("rank", "execute-task", "--store", store)
    with ModelPerf(store=store) as engine:
        decision = engine.explain("execute-task")
    assert decision is not None
    assert answer["ranking"] == [row.as_dict() for row in decision.ranking]
    assert (answer["policy_id"], answer["mode"]) == (decision.policy_id, "apply")
    assert answer["ranking_strategy"] == "posterior"


def test_min_samples_decides_who_is_proven(run_json: RunJson, store: str) -> None:
    """--min-samples comes before every configuration, also one of the task type."""
    Path("modelperf.toml").write_text('[task_types."execute-task".ranking]\nstrategy = "success_rate"\n')
    for least, status in ((12, "ranked"), (13, "unproven")):
        answer = run_json("rank", "execute-task", "--store", store, "--min-samples", str(least))
        assert {row["status"] for row in answer["ranking"]} == {status}
        assert answer["ranking_strategy"] == "success_rate"


@pytest.mark.parametrize("command", [["rank"], ["explain"], ["stats", "--task"]])
def test_an_unknown_task_type_is_answered_with_the_known_ones(
    run: Run, run_json: RunJson, store: str, command: list[str]
) -> None:
    """A task type without outcomes is a negative finding, and the most similar known one is named first."""
    result = run(*command, "plan-slices", "--store", store)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'plan-slices'; known are: plan-slice, execute-task" in result.stderr
    answer = run_json(*command, "exec", "--store", store, exit_code=1)
    assert answer["known_task_types"] == ["execute-task", "plan-slice"]
    assert "known are: execute-task, plan-slice" in answer["note"]


def test_explain_is_a_real_decision(run_json: RunJson, store: str) -> None:
    """Its JSON is the whole decision, and the propensities of the candidates sum to 1."""
    answer = run_json("explain", "execute-task", "--store", store)
    decision: dict[str, Any] = answer["decision"]
    assert decision["model_id"] == decision["order"][0]
    assert sum(decision["propensities"].values()) == pytest.approx(1.0)
    assert set(decision["propensities"]) == {"claude-opus", "gpt-4o", "llama-70b"}


def test_explain_shows_why(run: Run, store: str) -> None:
    """The text names the choice, the reason, mode and policy, and for each candidate the odds and a reason."""
    result = run("explain", "execute-task", "--store", store, "--pin", "gpt-4o", "--exclude", "llama-70b")
    assert result.exit_code == 0
    first, second, third, *_ = result.stdout.splitlines()
    assert first == "execute-task → gpt-4o"
    assert second.startswith("pinned by the host; ")
    assert third.startswith("mode apply, policy ")
    assert "100.0 %" in result.stdout
    assert "llama-70b  excluded by the host" in result.stdout


def test_candidates_may_be_separated_or_repeated(run_json: RunJson, store: str) -> None:
    """a,b and two options are the same; what has no outcomes yet may be offered too."""
    once = run_json("explain", "execute-task", "--store", store, "--candidates", "gpt-4o, new,llama-70b")
    twice = run_json(
        "explain", "execute-task", "--store", store, "--candidates", "gpt-4o", "--candidates", "new,llama-70b"
    )
    assert once["decision"]["propensities"] == twice["decision"]["propensities"]
    assert set(once["decision"]["propensities"]) == {"gpt-4o", "new", "llama-70b"}


def test_explain_knows_the_budget(run_json: RunJson, store: str) -> None:
    """A model that costs more on average is excluded; if all do, there is no decision."""
    answer = run_json("explain", "execute-task", "--store", store, "--max-cost-usd", "0.009", exit_code=1)
    assert answer["decision"] is None
    assert "excluded or over the budget" in answer["note"]


def test_a_new_task_type_can_be_explained_with_candidates(run: Run, store: str) -> None:
    """Candidates alone are enough for a decision; that there is no evidence is said."""
    result = run("explain", "new-task", "--store", store, "--candidates", "gpt-4o,claude-opus")
    assert result.exit_code == 0
    assert "no outcomes of task type 'new-task'" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--pin", "nobody"], ["--max-cost-usd", "-1"], ["--candidates", "a" * 600], ["--unit-id", ""]]
)
def test_a_bad_argument_is_wrong_usage(run: Run, store: str, arguments: list[str]) -> None:
    """What the engine does not accept is told in its words, with exit code 2."""
    result = run("explain", "execute-task", "--store", store, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert " must be " in result.stderr


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_policy_that_is_not_applied_is_marked(run: Run, run_json: RunJson, store: str, mode: str) -> None:
    """In the modes observe and off it is said that hosts get no answer."""
    Path("modelperf.toml").write_text(f'mode = "{mode}"\n')
    result = run("explain", "execute-task", "--store", store)
    assert result.exit_code == 0
    assert f"mode is {mode}: hosts are answered None" in result.stdout
    assert run_json("explain", "execute-task", "--store", store)["decision"]["mode"] == mode


def test_explain_writes_nothing(run: Run, store: str) -> None:
    """The outcomes are the same before and after."""

    def content() -> list[Any]:
        with closing(sqlite3.connect(store)) as connection:
            return connection.execute("SELECT * FROM model_stats").fetchall()

    before = content()
    assert run("explain", "execute-task", "--store", store).exit_code == 0
    assert content() == before
