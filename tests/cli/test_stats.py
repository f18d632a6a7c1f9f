"""``stats``: what was recorded."""

from __future__ import annotations

from modelperf_plugin import ModelPerformanceTracker, Outcome
from tests.cli.conftest import Run, RunJson
from tests.cli.processes import Terminal
from tests.retrying import Retried


def test_each_pair_has_its_counts(run_json: RunJson, store: str) -> None:
    """Every (task type, model) is one tally, and the totals are their sums."""
    answer = run_json("stats", "--store", store)
    pairs = [(tally["task_type"], tally["model_id"]) for tally in answer["tallies"]]
    assert pairs == [
        ("execute-task", "claude-opus"),
        ("execute-task", "gpt-4o"),
        ("execute-task", "llama-70b"),
        ("plan-slice", "gpt-4o"),
    ]
    totals = answer["totals"]
    assert (totals["successes"], totals["failures"], totals["timeouts"], totals["outages"]) == (22, 16, 1, 1)
    assert totals["total_tokens"] == 36_000
    assert round(totals["total_cost_usd"], 9) == 0.36
    assert totals["last_used"] == max(tally["last_used"] for tally in answer["tallies"])


def test_one_task_type_can_be_asked_for(run: Run, run_json: RunJson, store: str) -> None:
    """--task leaves out the others, in the totals too."""
    answer = run_json("stats", "--store", store, "--task", "plan-slice")
    assert [tally["task_type"] for tally in answer["tallies"]] == ["plan-slice"]
    assert answer["totals"]["failures"] == 2
    assert "execute-task" not in run("stats", "--store", store, "--task", "plan-slice").stdout


def test_piped_lines_stand_for_themselves(run: Run, store: str) -> None:
    """Without a terminal each line names its task type and model."""
    lines = run("stats", "--store", store).stdout.splitlines()
    assert [line.split()[:2] for line in lines[3:]] == [
        ["execute-task", "claude-opus"],
        ["execute-task", "gpt-4o"],
        ["execute-task", "llama-70b"],
        ["plan-slice", "gpt-4o"],
    ]


def test_estimated_costs_are_marked(run: Run, store: str) -> None:
    """A model without any cost on one task type is taken at its own mean elsewhere, marked, with a note below."""
    with ModelPerformanceTracker(store) as tracker:
        for success in (True, False):
            tracker.record_outcome("review", "gpt-4o", Outcome(success=success))
    text = run("stats", "--store", store).stdout
    assert next(line for line in text.splitlines() if line.startswith("review")).count("≈$0.02") == 1
    assert text.splitlines()[-1] == "≈: outcomes without a reported cost are estimated at the model's mean"
    assert "≈" not in run("stats", "--store", store, "--task", "execute-task").stdout


def test_costs_by_list_prices_are_marked_and_dated(run: Run, run_json: RunJson, store: str) -> None:
    """Costs of a model that were estimated from tokens are marked, with the day of the prices below and in JSON."""
    with ModelPerformanceTracker(store) as tracker:
        tracker.store.spending.mark_estimated("gpt-4o", 20_758)
    lines = run("stats", "--store", store).stdout.splitlines()
    marks = {tuple(line.split()[:2]): line.count("≈") for line in lines[3:-2]}
    assert (marks["execute-task", "gpt-4o"], marks["execute-task", "claude-opus"]) == (2, 0)
    assert lines[-1] == "≈: costs estimated from tokens, by the prices of 2026-11-01"
    tallies = run_json("stats", "--store", store, "--task", "execute-task")["tallies"]
    days = {tally["model_id"]: tally["prices_of"] for tally in tallies}
    assert days == {"claude-opus": None, "gpt-4o": "2026-11-01", "llama-70b": None}


def test_a_terminal_shows_sums(store: str) -> None:
    """On a terminal models are grouped under their task type; task types and the whole have sums."""
    code, text = Terminal("stats", "--store", store, columns=120).finish()
    assert code == 0
    table = text[text.index("─\n") + 2 :].splitlines()
    named = [line.split()[:2] for line in table]
    assert named == [
        ["execute-task", "36"],
        ["claude-opus", "12"],
        ["gpt-4o", "12"],
        ["llama-70b", "12"],
        ["plan-slice", "2"],
        ["gpt-4o", "2"],
        ["all", "38"],
    ]


def test_what_is_not_known_is_a_dash(run: Run, store: str) -> None:
    """An unknown cost is not zero dollars."""
    line = run("stats", "--store", store).stdout.splitlines()[-1]
    assert line.split()[:8] == ["plan-slice", "gpt-4o", "2", "0.0", "%", "2", "-", "-"]


def test_first_and_later_tries_are_apart(run: Run, run_json: RunJson, store: str, retried: tuple[str, Retried]) -> None:
    """Once there are later tries: of each model, without outages, with a note; otherwise there are no such columns."""
    text = run("stats", "--store", retried[0]).stdout
    assert "first tries" in text.splitlines()[2]
    assert "later tries met tasks that other models had failed" in text
    for tally in run_json("stats", "--store", retried[0])["tallies"]:
        later = tally["later_successes"] + tally["later_failures"]
        first = tally["successes"] + tally["failures"] - later
        (line,) = [each for each in text.splitlines() if each.startswith("fix-bug") and tally["model_id"] in each]
        for successes, tries in (
            (tally["successes"] - tally["later_successes"], first),
            (tally["later_successes"], later),
        ):
            assert (f"{successes} of {tries}" if tries else " - ") in line
    assert "first tries" not in run("stats", "--store", store).stdout
