"""``rank``: the ranking as the engine sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf
from tests.cli.conftest import Run, RunJson
from tests.retrying import Retried


def test_rank_shows_the_models_best_first(run: Run, store: str) -> None:
    """One line per model, in the order of the ranking, with numbers, status and reason."""
    lines = run("rank", "execute-task", "--store", store).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("model "))
    assert [line.split()[0] for line in lines[start + 1 :]] == ["claude-opus", "gpt-4o", "llama-70b"]
    for text in ("85.3 %", "91.7 %", "$0.0109", "ranked", "posterior mean 0.853 (11 of 12 succeeded; "):
        assert text in lines[start + 1]


def test_rank_shows_the_ranking_of_the_engine(run_json: RunJson, store: str) -> None:
    """The ranking in JSON is the ranking of ModelPerf.explain."""
    answer = run_json("rank", "execute-task", "--store", store)
    with ModelPerf(store=store) as engine:
        decision = engine.explain("execute-task")
    assert decision is not None
    unknown = {"median_seconds": None, "p95_seconds": None}
    assert answer["ranking"] == [{**row.as_dict(), **unknown} for row in decision.ranking]
    assert (answer["policy_id"], answer["mode"]) == (decision.policy_id, "apply")
    assert answer["ranking_strategy"] == "posterior"


def test_min_samples_decides_who_is_proven(run_json: RunJson, store: str) -> None:
    """--min-samples overrides the configuration, even that of the task type."""
    Path("modelperf.toml").write_text('[task_types."execute-task".ranking]\nstrategy = "success_rate"\n')
    for least, status in ((12, "ranked"), (13, "unproven")):
        answer = run_json("rank", "execute-task", "--store", store, "--min-samples", str(least))
        assert {row["status"] for row in answer["ranking"]} == {status}
        assert answer["ranking_strategy"] == "success_rate"


@pytest.mark.parametrize("command", [["rank"], ["explain"], ["stats", "--task"]])
def test_an_unknown_task_type_lists_the_known_ones(run: Run, run_json: RunJson, store: str, command: list[str]) -> None:
    """A task type without outcomes is a negative finding; known ones are listed, most similar first."""
    result = run(*command, "plan-slices", "--store", store)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'plan-slices'; known are: plan-slice, execute-task" in result.stderr
    answer = run_json(*command, "exec", "--store", store, exit_code=1)
    assert answer["known_task_types"] == ["execute-task", "plan-slice"]
    assert "known are: execute-task, plan-slice" in answer["note"]


def test_first_and_later_tries_are_apart(run: Run, store: str, retried: tuple[str, Retried]) -> None:
    """Once there are later tries, with a note; otherwise there are no such columns."""
    text = run("rank", "fix-bug", "--store", retried[0]).stdout
    assert "first tries  later tries" in text
    assert re.search(r"\d+ of \d+", text)
    assert "later tries met tasks that other models had failed" in text
    assert "first tries" not in run("rank", "execute-task", "--store", store).stdout
