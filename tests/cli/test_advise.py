"""``advise``: what should be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson
from tests.cli.processes import Terminal


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Return a store with two findings: verdicts that are all the same, and a model without costs."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        perf.record_many([("plan", "a", {"success": True, "costUsd": 0.01})] * 100)
        perf.record_many([("plan", "[red]b", {"success": True})] * 40)
        perf.record_many([("other", "a", {"success": n % 2 == 0, "costUsd": 0.01}) for n in range(40)])
    return str(path)


def test_findings_have_evidence_change_effect_and_lines(run: Run, store: str) -> None:
    """The most important comes first; lines for the file are printed as they are to be written."""
    text = run("advise", "--store", store).stdout
    assert text.startswith("2 findings")
    first, second = (
        text.index("1. every verdict of plan is success"),
        text.index("2. 100.0 % of the outcomes of [red]b"),
    )
    assert first < second
    assert "cannot tell: nothing is known about the difference between the models" in text
    assert '  [models."[red]b"]\n  cost_usd = 0.0\n' in text


def test_findings_as_json(run_json: RunJson, store: str) -> None:
    """Every field is there; one task type's findings are those about it, and those about all."""
    answer = run_json("advise", "--store", store)
    assert [each["kind"] for each in answer["findings"]] == ["verdicts", "costs"]
    assert answer["findings"][0]["task_types"] == ["plan"]
    assert answer["findings"][1]["effect"]["success"] is None
    other = run_json("advise", "--task", "other", "--store", store)
    assert [each["kind"] for each in other["findings"]] == ["costs"]


def test_a_store_without_findings_says_so(run: Run, tmp_path: Path) -> None:
    """Nothing to change is no negative finding; an unknown task type is."""
    path = tmp_path / "good.db"
    with mp.ModelPerf({}, store=path) as perf:
        perf.record_many([("plan", "a", {"success": n % 3 > 0, "costUsd": 0.01}) for n in range(99)])
    result = run("advise", "--store", str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing to change was found")
    unknown = run("advise", "--task", "nothing", "--store", str(path))
    assert unknown.exit_code == 1
    assert "no outcomes of task type 'nothing'" in unknown.stderr


def test_lines_are_not_broken_on_a_narrow_terminal(store: str) -> None:
    """What is to be copied stays in one line each."""
    code, shown = Terminal("advise", "--store", store, columns=16).finish()
    assert code == 0
    assert '[models."[red]b"]' in shown
