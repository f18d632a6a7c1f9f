"""``compare``: two models side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, RunJson
from tests.retrying import Retried


def test_a_comparison_has_figures_and_a_verdict(run: Run, tested: str) -> None:
    """Both sides with their counts, then the verdict and state of the test; in either order."""
    for names in (("old", "[red]new"), ("[red]new", "old")):
        lines = run("compare", "t", *names, "--store", tested).stdout.splitlines()
        assert lines[0] == f"t: {names[0]} and {names[1]}"
        assert lines[2].split() == [
            "model", "outcomes", "succeeded", "success", "interval", "$/success", "tokens/task", "timeouts", "outages",
        ]  # fmt: skip
        assert {lines[3].split()[0], lines[4].split()[0]} == set(names)
        assert lines[6].startswith("[red]new is better: 0.")
        assert lines[6].endswith(", 40 needed)")
        assert lines[7] == "A/B test of [red]new against old: [red]new has won, the split continues"
        assert lines[8].startswith("share 25.0 %, began ")


def test_a_comparison_as_json(run_json: RunJson, tested: str) -> None:
    """JSON has every figure and the complete test."""
    answer = run_json("compare", "t", "old", "newer", "--store", tested)
    assert [side["model_id"] for side in answer["models"]] == ["old", "newer"]
    assert all(low < side["success_rate"] < high for side in answer["models"] for low, high in [side["interval"]])
    (test,) = answer["tests"]
    assert (test["incumbent"], test["challenger"], test["share"]) == ("old", "newer", 0.25)
    assert (test["verdict"], test["winner"], test["promoted"], test["decided"]) == (None, None, False, None)
    assert test["configured"] is True
    assert test["text"].startswith("inconclusive, ")
    assert [side["outcomes"] for side in test["sides"]] == [
        side["successes"] + side["failures"] for side in answer["models"]
    ]
    assert answer["note"] is None
    (won,) = run_json("compare", "t", "old", "[red]new", "--store", tested)["tests"]
    assert (won["verdict"], won["winner"], won["promoted"], won["more"]) == ("challenger", "[red]new", False, None)
    assert won["decided"] >= won["started"]


def test_without_a_test_numbers_are_observational(run: Run, run_json: RunJson, tested: str) -> None:
    """Two challengers were never tested against each other: there are figures but no verdict."""
    text = run("compare", "t", "[red]new", "other", "--store", tested).stdout
    assert "no A/B test of these two: the numbers are observational" in text
    answer = run_json("compare", "t", "[red]new", "newer", "--store", tested)
    assert answer["tests"] == []
    assert "observational" in answer["note"]


def test_the_tests_of_a_task_type_are_listed(run: Run, run_json: RunJson, tested: str, store: str) -> None:
    """One row per challenger with its state; no test is a valid answer."""
    lines = run("compare", "t", "--store", tested).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["[red]new against old", "newer against old"]
    assert "running" in lines[2]
    assert [test["challenger"] for test in run_json("compare", "t", "--store", tested)["tests"]] == [
        "[red]new",
        "newer",
    ]
    assert run("compare", "execute-task", "--store", store).stdout == "no A/B test on execute-task\n"


def test_a_test_that_is_not_configured_here_says_so(run: Run, tested: str, tmp_path: Path) -> None:
    """The state says that the test is not configured here: another host may run it."""
    (tmp_path / "modelperf.toml").unlink()
    assert "not in the configuration here" in run("compare", "t", "--store", tested).stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["t", "old"], 2, "name two models to compare"),
        (["t", "old", "newer", "other"], 2, "name two models to compare"),
        (["t", "old", "old"], 2, "name two different models, not 'old' twice"),
        (["t", "nobody", "no one"], 1, "neither 'nobody' nor 'no one' has outcomes of task type 't'; known are: "),
        (["u", "old", "newer"], 1, "no outcomes of task type 'u'; known are: t"),
    ],
)
def test_what_cannot_be_compared(run: Run, tested: str, arguments: list[str], exit_code: int, says: str) -> None:
    """Each refusal is one clear message with the usual exit code."""
    result = run("compare", *arguments, "--store", tested)
    assert result.exit_code == exit_code
    assert says in result.stderr


def test_a_model_without_outcomes_can_be_compared(run: Run, tested: str) -> None:
    """Its figures are unknown."""
    row = run("compare", "t", "old", "unknown", "--store", tested).stdout.splitlines()[4]
    assert row.split() == ["unknown", "0", "0", "-", "-", "-", "-", "0", "0"]


def test_a_comparison_as_csv(run: Run, tested: str) -> None:
    """Two models, or the tests of the task type: a header and one record each."""
    sides = run("compare", "t", "old", "newer", "--store", tested, "--csv").stdout.splitlines()
    assert sides[0].startswith("model_id,successes,failures,success_rate,low,high,")
    assert [line.split(",")[0] for line in sides[1:]] == ["old", "newer"]
    listed = run("compare", "t", "--store", tested, "--csv").stdout.splitlines()
    assert listed[0].startswith("test_id,incumbent,challenger,share,")
    assert [line.split(",")[2] for line in listed[1:]] == ["[red]new", "newer"]


def test_first_tries_are_compared_where_there_are_later_ones(
    run: Run, run_json: RunJson, tested: str, retried: tuple[str, Retried]
) -> None:
    """A second table has the first tries with their interval, which are comparable; the first one counts everything."""
    text = run("compare", "fix-bug", "small", "large", "--store", retried[0]).stdout
    assert "later tries met tasks that other models had failed, so compare the first;" in text
    for side in run_json("compare", "fix-bug", "small", "large", "--store", retried[0])["models"]:
        first = side["first_tries"]
        later = side["later_successes"] + side["later_failures"]
        assert first["samples"] == side["successes"] + side["failures"] - later
        assert f"{first['successes']} of {first['samples']}" in text or not first["samples"]
    assert "later tries" not in run("compare", "t", "old", "newer", "--store", tested).stdout
