"""``explain``: the decision that a host would get, and why."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, RunJson


def test_explain_is_a_real_decision(run_json: RunJson, store: str) -> None:
    """Its JSON is the whole decision, and the propensities of the candidates sum to 1."""
    answer = run_json("explain", "execute-task", "--store", store)
    decision: dict[str, Any] = answer["decision"]
    assert decision["model_id"] == decision["order"][0]
    assert sum(decision["propensities"].values()) == pytest.approx(1.0)
    assert set(decision["propensities"]) == {"claude-opus", "gpt-4o", "llama-70b"}


def test_explain_shows_why(run: Run, store: str) -> None:
    """Shows the choice, its reason, mode and policy, and the propensity and reason of each candidate."""
    result = run("explain", "execute-task", "--store", store, "--pin", "gpt-4o", "--exclude", "llama-70b")
    assert result.exit_code == 0
    first, second, third, *_ = result.stdout.splitlines()
    assert first == "execute-task → gpt-4o"
    assert second.startswith("pinned by the host; ")
    assert third.startswith("mode apply, policy ")
    assert "100.0 %" in result.stdout
    assert "llama-70b  excluded by the host" in result.stdout


def test_candidates_may_be_separated_or_repeated(run_json: RunJson, store: str) -> None:
    """Commas and repeated options are equivalent; candidates without outcomes are allowed."""
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
    """Candidates are enough for a decision; a note tells that there is no evidence."""
    result = run("explain", "new-task", "--store", store, "--candidates", "gpt-4o,claude-opus")
    assert result.exit_code == 0
    assert "no outcomes of task type 'new-task'" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--pin", "nobody"], ["--max-cost-usd", "-1"], ["--candidates", "a" * 600], ["--unit-id", ""]]
)
def test_a_bad_argument_is_wrong_usage(run: Run, store: str, arguments: list[str]) -> None:
    """An invalid argument is exit code 2, with the engine's message."""
    result = run("explain", "execute-task", "--store", store, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert " must be " in result.stderr


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_policy_that_is_not_applied_is_marked(run: Run, run_json: RunJson, store: str, mode: str) -> None:
    """In modes observe and off a warning tells that hosts are answered None."""
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
