"""``demotions``: demoted models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run


def test_demotions_show_model_reason_start_and_end(run: Run, watched: str) -> None:
    """One line each, with names unchanged, what reinstates the model, and the share of probes."""
    text = run("demotions", "--store", watched).stdout
    line = next(line for line in text.splitlines() if "[red]bad" in line)
    assert line.startswith("plan")
    assert "success rate below" in text
    assert "reinstated once new outcomes show" in line
    assert "probed on 2.0 %" in line


def test_demotions_as_json(run: Run, watched: str) -> None:
    """``--json`` has every field; ``--task`` selects a task type."""
    answer = json.loads(run("demotions", "--json", "--task", "plan", "--store", watched).stdout)
    assert (answer["schema_version"], answer["command"]) == (1, "demotions")
    (demotion,) = answer["demotions"]
    assert demotion["model_id"] == "[red]bad"
    assert demotion["ended"] is None
    assert demotion["probe_share"] == pytest.approx(0.02)
    assert json.loads(run("demotions", "--json", "--task", "nothing", "--store", watched).stdout)["demotions"] == []


@pytest.mark.parametrize("command", ["changes", "demotions"])
def test_reading_creates_no_database(run: Run, tmp_path: Path, command: str) -> None:
    """A missing database is a negative finding, and is not created."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()


def test_an_ended_demotion_is_shown_with_who_ended_it(run: Run, watched: str) -> None:
    """Only ``--all`` shows it, with when and by whom it was ended, and no probes."""
    run("reset", "demotions", "--store", watched)
    assert run("demotions", "--store", watched).exit_code == 0
    text = run("demotions", "--all", "--store", watched).stdout
    assert ", by operator" in text
    assert "probed" not in text
    ended = json.loads(run("demotions", "--all", "--json", "--store", watched).stdout)["demotions"]
    assert {each["probe_share"] for each in ended} == {None}


def test_a_share_of_probes_is_divided_among_the_demoted(run: Run, tmp_path: Path) -> None:
    """Two demoted models of one task type get half of ``probe_share`` each."""
    path = tmp_path / "two.db"
    with mp.ModelPerf({}, store=path) as perf:
        for model_id in ("a", "b"):
            perf.record("plan", model_id, mp.Outcome(success=False))
            perf.store.demotions.add("plan", model_id, 0, 0.7, 20.0, "why")
    answer = json.loads(run("demotions", "--json", "--store", str(path)).stdout)
    assert [each["probe_share"] for each in answer["demotions"]] == [0.01, 0.01]
    assert run("demotions", "--store", str(path)).stdout.count("probed on 1.0 %") == 2


def test_demotions_that_the_policy_does_not_apply_are_marked(run: Run, watched: str, tmp_path: Path) -> None:
    """With another demotion strategy, stored demotions do not apply; the line names the strategy."""
    config = tmp_path / "never.toml"
    config.write_text('[demotion]\nstrategy = "never"\n')
    text = run("demotions", "--store", watched, "--config", str(config)).stdout
    assert "not applied: demotion.strategy is never" in text


def test_a_demotion_of_a_side_does_not_apply_while_the_test_runs(run: Run, tested: str, tmp_path: Path) -> None:
    """The list marks it as not applied; without the test it applies."""
    with mp.ModelPerf({}, store=tested) as perf:
        perf.store.demotions.add("t", "old", 1, 0.5, 30.0, "surely below 0.5")
    assert "not applied while its A/B test runs" in run("demotions", "--store", tested).stdout
    (tmp_path / "modelperf.toml").unlink()
    text = run("demotions", "--store", tested).stdout
    assert "probed on" in text
    assert "not applied" not in text
