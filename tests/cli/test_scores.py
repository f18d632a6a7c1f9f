"""Commands and pages show mean scores where there are scores, and only there; JSON always has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelperf_plugin import ModelPerf, Outcome
from modelperf_plugin.dashboard import make_report
from tests.cli.conftest import Run, RunJson

COMMANDS = (("stats",), ("rank", "plan"), ("compare", "plan", "a", "b"), ("trend",))


@pytest.fixture
def scored(tmp_path: Path) -> str:
    """Return a store in which a has a mean score of .8 and b one of .35."""
    path = str(tmp_path / "scored.db")
    with ModelPerf({}, store=path, seed=0) as perf:
        for _ in range(10):
            perf.record("plan", "a", Outcome(score=0.8))
            perf.record("plan", "b", Outcome(success=False, score=0.35, timeout=True))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_mean_scores_are_shown_where_there_are_scores(
    run: Run, scored: str, store: str, command: tuple[str, ...]
) -> None:
    """A column of its own beside that of success; none in a store without scores."""
    text = run(*command, "--store", scored).stdout
    assert "mean score" in text
    assert "0.800" in text or command == ("trend",)
    plain = [word.replace("plan", "execute-task").replace("b", "llama-70b") for word in command]
    plain = ["gpt-4o" if word == "a" else word for word in plain]
    assert "mean score" not in run(*plain, "--store", store).stdout


def test_programs_get_them_always(run_json: RunJson, scored: str, store: str) -> None:
    """``graded`` and ``mean_score`` are in every tally; without scores the mean is that of successes and failures."""
    tallies = {each["model_id"]: each for each in run_json("stats", "--store", scored)["tallies"]}
    assert (tallies["a"]["graded"], tallies["a"]["mean_score"]) == (10, 0.8)
    assert (tallies["b"]["mean_score"], tallies["b"]["success_rate"]) == (0.35, 0.0)
    assert {each["graded"] for each in run_json("stats", "--store", store)["tallies"]} == {0}


def test_pages_show_them(run: Run, scored: str, store: str) -> None:
    """The report has a figure and a column with mean scores if there are any, and ``why`` the score of each try."""
    with ModelPerf({}, store=scored) as perf:
        decision = perf.select("plan", ["a", "b"])
        assert decision is not None
        perf.record("plan", decision.model_id, Outcome(score=0.75), decision)
        text = make_report(perf)
    assert "Mean score" in text
    assert ">mean score</th>" in text
    assert "succeeded, score 0.75" in run("why", decision.decision_id, "--store", scored).stdout
    with ModelPerf({}, store=store) as perf:
        assert "mean score" not in make_report(perf).lower()
