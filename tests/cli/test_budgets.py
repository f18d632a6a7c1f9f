"""``stats``, ``doctor`` and ``explain`` with a budget: how much is left, and what a host would be told."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run, RunJson


@pytest.fixture
def spending(tmp_path: Path) -> str:
    """Return a store in which $3 were spent today, so not much is left for the dearer of two models."""
    path = str(tmp_path / "spending.db")
    with mp.ModelPerf({}, store=path) as perf:
        for n in range(30):
            perf.record("code", "dear", mp.Outcome(success=n < 27, cost_usd=0.099, duration_seconds=60.0))
            perf.record("code", "cheap", mp.Outcome(success=n < 24, cost_usd=0.001, duration_seconds=5.0))
    return path


def limit(usd: float, then: str = "cheapest") -> None:
    """Write a configuration with a budget of a month."""
    Path("modelperf.toml").write_text(f'[budget]\nusd = {usd}\nper = "month"\nthen = "{then}"\n')


def test_what_is_left_and_what_money_costs(run: Run, run_json: RunJson, spending: str) -> None:
    """``stats`` knows the price of money; ``doctor``, which chooses nothing, does not guess whether it is enough."""
    limit(5.0)
    (line,) = [each for each in run("stats", "--store", spending).stdout.splitlines() if each.startswith("budget: ")]
    assert line.startswith("budget: $2 left of $5 a month until ")
    assert line.endswith((": enough", ": not enough")) or ": one more success may cost $" in line  # by the day
    doctor = run("doctor", "--store", spending).stdout
    assert "$2 left of $5 a month until " in " ".join(doctor.split())
    assert "enough" not in doctor
    (state,) = run_json("stats", "--store", spending)["budgets"]
    assert (state["usd"], state["per"], round(state["left_usd"], 6), state["is_used_up"]) == (5.0, "month", 2.0, False)


def test_a_budget_that_is_used_up(run: Run, run_json: RunJson, spending: str) -> None:
    """It is a problem for ``doctor``, and ``explain`` names it; no host has asked, so nothing is logged."""
    limit(2.0)
    stats = run("stats", "--store", spending)
    assert "budget: $0 left of $2 a month until " in stats.stdout
    assert stats.stderr == ""
    doctor = run("doctor", "--store", spending)
    assert doctor.exit_code == 1
    assert "it is used up" in " ".join(doctor.stdout.split())
    explained = run("explain", "code", "--store", spending)
    assert explained.exit_code == 1
    assert explained.stderr.startswith(
        "no candidate is left: all are excluded or over the budget; $0 left of $2 a month"
    )


@pytest.mark.parametrize(
    ("options", "chosen"),
    [((), "dear"), (("--max-seconds", "30"), "cheap"), (("--current-model", "cheap"), "cheap")],
)
def test_explain_takes_the_context_of_time_and_conversation(
    run: Run, run_json: RunJson, spending: str, options: tuple[str, ...], chosen: str
) -> None:
    """As a host gives it: seconds that are left, and the model so far."""
    Path("modelperf.toml").write_text('[cost]\nobjective = "value"\nusd_per_success = 10.0\nswitch_usd = 5.0\n')
    decision = run_json("explain", "code", *options, "--store", spending)["decision"]
    assert decision["model_id"] == chosen
    assert run("explain", "code", "--max-seconds", "0", "--store", spending).exit_code == 2
