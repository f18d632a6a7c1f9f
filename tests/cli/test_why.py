"""``why``, ``decisions`` and what the doctor says of decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import DecisionOutcome, DecisionRecord, open_store
from modelperf_plugin.values import Decision, Outcome
from tests.cli.conftest import Run, RunJson

MODELS = ["gpt-4o", "claude-opus", "llama-70b"]
Choose = Callable[..., Decision]


@pytest.fixture
def choose(store: str) -> Choose:
    """Return a function that lets a host choose, some time ago, and say what came of it."""

    def _choose(
        outcome: Outcome | None = None, *, ago: timedelta = timedelta(0), task_type: str = "execute-task"
    ) -> Decision:
        moment = datetime.now(UTC) - ago
        with ModelPerf({}, store=store, clock=lambda: moment, seed=1) as engine:
            decision = engine.select(task_type, MODELS, {"exclude": ["llama-70b"]})
            assert decision is not None
            if outcome is not None:
                engine.record(task_type, decision.model_id, outcome, decision)
        return decision

    return _choose


def keep(store: str, decision: Decision, decision_id: str, model_id: str | None = None) -> None:
    """Keep a decision like another under an id of its own, with an outcome if there is a model."""
    record = DecisionRecord.of(decision)._replace(decision_id=decision_id)
    ended = [] if model_id is None else [DecisionOutcome(decision_id, model_id, Outcome(success=True), record.made_ms)]
    with closing(open_store(store)) as opened:
        opened.decisions.write([record], ended)


def test_why_tells_what_was_decided_from_what_and_what_came_of_it(run: Run, store: str, choose: Choose) -> None:
    """The choice, its reason, when and how, the outcome, and every candidate with its odds."""
    outcome = Outcome(success=False, timeout=True, tokens_used=1200, cost_usd=0.012, error_kind="other")
    decision = choose(outcome, ago=timedelta(minutes=5))
    result = run("why", decision.decision_id, "--store", store)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"execute-task → {decision.model_id}"
    assert lines[1] == decision.reason
    assert lines[2].startswith(f"decision {decision.decision_id}, made 20")
    assert lines[2].endswith("UTC (5 min ago)")
    assert lines[3].startswith(f"mode apply, policy {decision.policy_id}, ")
    assert "failed, timed out, other, after 0.0 s, 1.2k tokens, $0.0120" in result.stdout
    for row in decision.ranking:
        assert row.reason in result.stdout
    assert "llama-70b  excluded by the host" in result.stdout


def test_why_in_json_is_the_decision_that_the_host_was_given(run_json: RunJson, store: str, choose: Choose) -> None:
    """The keys are those of Decision.as_dict, and the outcome is beside them."""
    decision = choose(Outcome(success=True, cost_usd=0.5))
    said = run_json("why", decision.decision_id, "--store", store)["decision"]
    for key in ("decision_id", "model_id", "propensity", "propensities", "reason", "explored", "policy_id", "excluded"):
        assert said[key] == decision.as_dict()[key]
    assert [row["model_id"] for row in said["ranking"]] == [row.model_id for row in decision.ranking]
    assert (said["outcome"]["success"], said["outcome"]["cost_usd"]) == (True, 0.5)


def test_the_start_of_an_id_is_enough(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """Six characters find a decision, if they find one only; an id given whole is found whatever starts like it."""
    decision = choose()
    for decision_id in ("abcdef", "abcdef1", "abcdef2", "123"):
        keep(store, decision, decision_id)
    for given, found in (("abcdef", "abcdef"), ("abcdef2", "abcdef2"), ("123", "123"), (decision.decision_id[:6], "")):
        said = run_json("why", given, "--store", store)["decision"]["decision_id"]
        assert said == (found or decision.decision_id)
    result = run("why", "abcde", "--store", store)
    assert result.exit_code == 1
    assert "'abcde' is too short: give at least 6 characters of the id" in result.stderr
    keep(store, decision, "abcdef3-long")
    keep(store, decision, "abcdef3-longer")
    result = run("why", "abcdef3", "--store", store)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "several decisions start with 'abcdef3': abcdef3-long, abcdef3-longer; give more characters" in result.stderr


def test_an_unknown_decision_is_a_negative_finding(run: Run, run_json: RunJson, store: str) -> None:
    """It may never have been made, or not have been kept: how much is kept, and how long, is said."""
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


def test_what_came_of_it_is_told_in_words(run: Run, store: str, choose: Choose) -> None:
    """A fallback is named; nothing yet, nothing for an hour and nothing to come are told apart."""
    decision = choose()
    keep(store, decision, "fallback", "fallback-model")
    late = choose(ago=timedelta(hours=2))
    with ModelPerf({"mode": "observe"}, store=store) as engine:
        engine.select("plan-slice", MODELS)
    lines = run("decisions", "--store", store).stdout.splitlines()

    def line(start: str) -> str:
        return next(each for each in lines if start in each)

    assert "succeeded with fallback-model, a fallback, after 0.0 s" in line("fallback ")
    assert "no outcome yet" in line(decision.decision_id)
    assert "no outcome for more than an hour" in line(late.decision_id)
    assert "observed only: the host was answered None" in line("plan-slice")


def test_decisions_shows_the_latest_first(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """So many of them, of one task type if asked; JSON holds each as a whole."""
    made = [choose(ago=timedelta(minutes=5 - number)).decision_id for number in range(4)]
    other = choose(task_type="plan-slice").decision_id
    lines = run("decisions", "--store", store).stdout.splitlines()
    assert lines[0] == f"5 decisions in {store}, newest first"
    assert [line.split()[0] for line in lines[3:]] == [other, *reversed(made)]
    answer = run_json("decisions", "--store", store, "--task", "execute-task", "--limit", "2")
    assert [decision["decision_id"] for decision in answer["decisions"]] == made[:1:-1]
    assert answer["decisions"][0]["outcome"] is None
    assert json.dumps(answer["decisions"][0]["ranking"])


@pytest.mark.parametrize("arguments", [[], ["--task", "nobody"]])
def test_no_decisions_are_a_negative_finding(run: Run, run_json: RunJson, store: str, arguments: list[str]) -> None:
    """Without any decision there is nothing to show, and it is said how much is kept."""
    result = run("decisions", "--store", store, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the decision log keeps all of the decisions (log.share) for 30 days (log.keep_days)" in result.stderr
    assert run_json("decisions", "--store", store, *arguments, exit_code=1)["decisions"] == []


def test_what_steers_a_terminal_is_spelled_out(run: Run, store: str, choose: Choose) -> None:
    """Ids come from elsewhere: whatever is in them, no command prints a control character."""
    decision = choose()
    keep(store, decision, "\x1b[31mred-\u202e")
    for arguments in (["decisions"], ["why", "\x1b[31mred"], ["why", "\x1b[31mblue"]):
        result = run(*arguments, "--store", store)
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output


def test_the_doctor_counts_decisions(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """With outcome, waiting, overdue, and what was spent on learning; none of it is a fault."""
    choose(Outcome(success=True))
    choose()
    choose(ago=timedelta(hours=2))
    result = run("doctor", "--store", store)
    assert result.exit_code == 0
    assert "3 decisions of the last 30 days in the log: 1 with outcome, 1 waiting, 1 overdue" in result.stdout
    hint = "1 decision older than an hour never got an outcome: is on_task_complete called with decision=…?"
    assert hint in result.stdout
    assert " of the choices were expected to explore, " in result.stdout
    answer = run_json("doctor", "--store", store)
    counted = {key: answer["decisions"][key] for key in ("decisions", "with_outcome", "waiting", "overdue")}
    assert counted == {"decisions": 3, "with_outcome": 1, "waiting": 1, "overdue": 1}


@pytest.mark.parametrize(("share", "said"), [("1", "none in the log yet"), ("0", "none in the log: log.share is 0")])
def test_the_doctor_says_that_no_decisions_are_kept(run: Run, store: str, share: str, said: str) -> None:
    """An empty record is no fault; that it is switched off is said."""
    Path("modelperf.toml").write_text(f"log.share = {share}\n")
    result = run("doctor", "--store", store)
    assert result.exit_code == 0
    assert said in result.stdout
    assert "overdue" not in result.stdout


def test_decisions_that_were_only_observed_are_not_waited_for(run: Run, store: str) -> None:
    """In the mode observe no outcome can come, so none is overdue."""
    moment = datetime.now(UTC) - timedelta(hours=2)
    with ModelPerf({"mode": "observe"}, store=store, clock=lambda: moment) as engine:
        engine.select("execute-task", MODELS)
    result = run("doctor", "--store", store)
    assert (
        "1 decision of the last 30 days in the log: 0 with outcome, 0 waiting, 0 overdue, 1 only observed"
        in result.stdout
    )
    assert "never got an outcome" not in result.stdout
