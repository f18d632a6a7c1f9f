"""``why``: a decision from the log."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from modelperf_plugin.values import Outcome
from tests.cli.conftest import Choose, Run, RunJson, log_copy
from tests.retrying import Retried


def test_why_shows_choice_candidates_and_outcome(run: Run, store: str, choose: Choose) -> None:
    """Shows the choice, its reason, time, mode and outcome, and every candidate with its propensity."""
    outcome = Outcome(
        success=False, timeout=True, tokens_used=1200, cost_usd=0.012, error_kind="other", duration_seconds=7.25
    )
    decision = choose(outcome, ago=timedelta(minutes=5))
    result = run("why", decision.decision_id, "--store", store)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"execute-task → {decision.model_id}"
    assert lines[1] == decision.reason
    assert lines[2].startswith(f"decision {decision.decision_id}, made 20")
    assert lines[2].endswith("UTC (5 min ago)")
    assert lines[3].startswith(f"mode apply, policy {decision.policy_id}, ")
    assert "failed, timed out, other, 7.2 s, 1.2k tokens, $0.0120" in result.stdout
    for row in decision.ranking:
        assert row.reason in result.stdout
    assert "because" in result.stdout
    assert set(decision.causes) <= {None, *re.findall("best|might be best|floor|test|probe", result.stdout)}
    assert "llama-70b  excluded by the host" in result.stdout


def test_why_in_json_is_the_decision_that_the_host_got(run_json: RunJson, store: str, choose: Choose) -> None:
    """The keys are those of Decision.as_dict, plus the outcome."""
    decision = choose(Outcome(success=True, cost_usd=0.5))
    said = run_json("why", decision.decision_id, "--store", store)["decision"]
    for key in (
        "decision_id",
        "model_id",
        "propensity",
        "propensities",
        "reason",
        "explored",
        "policy_id",
        "excluded",
        "causes",
    ):
        assert said[key] == decision.as_dict()[key]
    assert [row["model_id"] for row in said["ranking"]] == [row.model_id for row in decision.ranking]
    assert (said["outcome"]["success"], said["outcome"]["cost_usd"]) == (True, 0.5)


def test_the_start_of_an_id_is_enough(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """Six characters are enough if they are unambiguous; a complete id always matches exactly."""
    decision = choose()
    for decision_id in ("abcdef", "abcdef1", "abcdef2", "123"):
        log_copy(store, decision, decision_id)
    for given, found in (("abcdef", "abcdef"), ("abcdef2", "abcdef2"), ("123", "123"), (decision.decision_id[:6], "")):
        said = run_json("why", given, "--store", store)["decision"]["decision_id"]
        assert said == (found or decision.decision_id)
    result = run("why", "abcde", "--store", store)
    assert result.exit_code == 1
    assert "'abcde' is too short: give at least 6 characters of the id" in result.stderr
    log_copy(store, decision, "abcdef3-long")
    log_copy(store, decision, "abcdef3-longer")
    result = run("why", "abcdef3", "--store", store)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "several decisions start with 'abcdef3': abcdef3-long, abcdef3-longer; give more characters" in result.stderr


def test_an_unknown_decision_is_a_negative_finding(run: Run, run_json: RunJson, store: str) -> None:
    """The note tells what the decision log keeps, and for how long."""
    Path("modelperf.toml").write_text("log.share = 0.25\nlog.keep_days = 7\n")
    result = run("why", "0123456789", "--store", store)
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        "no decision '0123456789' in the log; the decision log keeps 25.0 % of the decisions (log.share) for 7 days"
        in result.stderr
    )
    answer = run_json("why", "0123456789", "--store", store, exit_code=1)
    assert answer["decision"] is None
    assert "no decision" in answer["note"]


def test_a_task_that_a_fallback_solved_reads_solved(run: Run, retried: tuple[str, Retried]) -> None:
    """Every try with its model, outcome, duration, tokens and cost; the reported duration, not the time of the log."""
    store, ids = retried
    lines = run("why", ids.solved, "--store", store).stdout.splitlines()
    (outcome,) = [line for line in lines if line.startswith("outcome ")]
    assert re.fullmatch(r"outcome +solved by the 2nd try with \w+, 25\.0 s, 2\.4k tokens, \$[\d.]+ in all", outcome)
    tries = [line.split() for line in lines if line.lstrip().startswith(("1st  ", "2nd  "))][:2]
    assert [(each[0], each[2].rstrip(",")) for each in tries] == [("1st", "failed"), ("2nd", "succeeded")]
    assert all("12.5 s" in line for line in lines if line.lstrip().startswith(("1st  ", "2nd  ")) and "1.2k" in line)


def test_a_plan_is_shown_with_what_became_of_it(run: Run, retried: tuple[str, Retried]) -> None:
    """For each planned try the chance that it is reached and solves the task, its cost, and its outcome."""
    store, ids = retried
    lines = run("why", ids.solved, "--store", store).stdout.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.split()[:1] == ["planned"]]
    assert [re.split(r"  +", line.strip()) for line in lines[start : start + 4]] == [
        ["planned try", "model", "reached", "solves", "expected", "outcome"],
        ["1st", "small", "100.0 %", "50.0 %", "$0.00200", "failed, timed out"],
        ["2nd", "medium", "50.0 %", "40.0 %", "$0.0200", "succeeded"],
        ["3rd", "large", "30.0 %", "20.0 %", "-", "-"],
    ]
    assert lines[start + 4] == "in all: the task is solved with a probability of 76.0 %"


def test_decisions_of_one_task_are_shown_together(run: Run, run_json: RunJson, retried: tuple[str, Retried]) -> None:
    """Whichever is asked for: the tries of both, and which decision each belongs to."""
    store, ids = retried
    for own, other in ((ids.first, ids.second), (ids.second, ids.first)):
        text = run("why", own, "--store", store).stdout
        assert "solved by the 3rd try" in text
        assert "this one" in text
        assert other in text
        said = run_json("why", own, "--store", store)["decision"]
        assert said["task"]["decision_ids"] == [ids.first, ids.second]
        assert (said["task"]["state"], said["task"]["solved_by"]) == ("solved", 3)
        assert [each["decision_id"] for each in said["task"]["tries"]] == [ids.first, ids.first, ids.second]
        assert said["task"]["duration_seconds"] == 37.5
    assert f"retry of {ids.first}" in run("why", ids.second, "--store", store).stdout


def test_without_an_id_the_newest_decision_is_shown(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """What a host has just decided needs no id to be copied; an empty log is a negative finding."""
    empty = run("why", "--store", store)
    assert empty.exit_code == 1
    assert empty.stderr.startswith("no decisions in the log; ")
    older, newest = choose(ago=timedelta(minutes=5)), choose()
    assert older.decision_id != newest.decision_id
    assert run_json("why", "--store", store)["decision"]["decision_id"] == newest.decision_id
