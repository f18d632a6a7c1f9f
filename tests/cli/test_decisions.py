"""``decisions``: the newest decisions and their outcomes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from modelperf_plugin.engine.core import ModelPerf
from tests.cli.conftest import CANDIDATES, Choose, Run, RunJson, csv_records, log_copy
from tests.retrying import Retried


def test_outcomes_are_shown_in_words(run: Run, store: str, choose: Choose) -> None:
    """Fallbacks are named, and only candidates are fallbacks; waiting, overdue and observed ones differ."""
    decision = choose()
    log_copy(store, decision, "fallback", decision[1])
    log_copy(store, decision, "stranger", "stranger-model")
    log_copy(store, decision, "spelled", f"provider/{decision[1]}")
    late = choose(ago=timedelta(hours=2))
    with ModelPerf({"mode": "observe"}, store=store) as engine:
        engine.select("plan-slice", CANDIDATES)
    lines = run("decisions", "--store", store).stdout.splitlines()

    def line(start: str) -> str:
        return next(each for each in lines if start in each)

    assert f"succeeded with {decision[1]}, a fallback" in line("fallback ")
    assert "succeeded with stranger-model, which was not offered" in line("stranger ")
    other = f"provider/{decision[1]}, which was not offered: another name of {decision[1]}?"
    assert f"succeeded with {other}" in line("spelled ")
    assert "no outcome yet" in line(decision.decision_id)
    assert "no outcome for more than an hour" in line(late.decision_id)
    assert "observed only: the host was answered None" in line("plan-slice")


def test_decisions_shows_the_latest_first(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """--task and --limit select decisions; JSON has each in full."""
    made = [choose(ago=timedelta(minutes=5 - number)).decision_id for number in range(4)]
    other = choose(task_type="plan-slice").decision_id
    lines = run("decisions", "--store", store).stdout.splitlines()
    assert lines[0] == f"5 decisions in {store}, newest first"
    assert [line.split()[0] for line in lines[3:]] == [other, *reversed(made)]
    answer = run_json("decisions", "--store", store, "--task", "execute-task", "--limit", "2")
    assert [decision["decision_id"] for decision in answer["decisions"]] == made[:1:-1]
    assert answer["decisions"][0]["outcome"] is None
    assert json.dumps(answer["decisions"][0]["ranking"])


def test_each_task_reads_as_it_ended(run: Run, run_json: RunJson, retried: tuple[str, Retried]) -> None:
    """Solved by the second or third try, given up, or open; a retry names the decision that it follows."""
    store, ids = retried
    lines = run("decisions", "--store", store, "--limit", "5").stdout.splitlines()
    said = {line.split()[0]: line for line in lines[3:]}
    assert "solved by the 2nd try with " in said[ids.solved]
    assert "failed after 3 tries, 37.5 s, 3.6k tokens, $" in said[ids.failed]
    assert "solved by the 3rd try with " in said[ids.first]
    assert f"retry of {ids.first}" in said[ids.second]
    assert "open after 1 try" in said[ids.waiting]
    states = {
        each["decision_id"]: each["task"]["state"]
        for each in run_json("decisions", "--store", store, "--limit", "5")["decisions"]
    }
    assert states == {
        ids.solved: "solved", ids.failed: "failed", ids.first: "solved", ids.second: "solved", ids.waiting: "open",
    }  # fmt: skip
    records = csv_records(run("decisions", "--store", store, "--limit", "5", "--csv").stdout)
    (solved,) = [each for each in records if each["decision_id"] == ids.solved]
    assert (solved["task_state"], solved["task_tries"], solved["task_solved_by"]) == ("solved", "2", "2")
    assert solved["task_duration_seconds"] == "25.0"


@pytest.mark.parametrize("arguments", [[], ["--task", "nobody"]])
def test_no_decisions_are_a_negative_finding(run: Run, run_json: RunJson, store: str, arguments: list[str]) -> None:
    """An empty decision log is a negative finding; the note tells what the log keeps."""
    result = run("decisions", "--store", store, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the decision log keeps all of the decisions (log.share) for 30 days (log.keep_days)" in result.stderr
    assert run_json("decisions", "--store", store, *arguments, exit_code=1)["decisions"] == []


def test_control_characters_are_escaped(run: Run, store: str, choose: Choose) -> None:
    """No command prints a control character from an id."""
    decision = choose()
    log_copy(store, decision, "\x1b[31mred-\u202e")
    for arguments in (["decisions"], ["why", "\x1b[31mred"], ["why", "\x1b[31mblue"]):
        result = run(*arguments, "--store", store)
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output
