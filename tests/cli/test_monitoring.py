"""``changes``, ``demotions``, ``announce`` and ``reset``."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.cli.conftest import Run


@pytest.fixture
def watched(tmp_path: Path) -> str:
    """Return a store in which one model was demoted, and another has changed."""
    path = tmp_path / "watched.db"
    numbers = random.Random(1)
    with mp.ModelPerf({}, store=path) as perf:
        for rate in [0.9] * 300 + [0.2] * 60:
            perf.record("plan", "good", mp.Outcome(success=numbers.random() < 0.9))
            perf.record("plan", "[red]bad", mp.Outcome(success=numbers.random() < 0.1))
            perf.record("build", "fallen", mp.Outcome(success=numbers.random() < rate))
    return str(path)


def test_demotions_say_who_why_since_when_and_until_what(run: Run, watched: str) -> None:
    """One line for each, hostile names as they are, with the way back and the share of probes."""
    text = run("demotions", "--store", watched).stdout
    line = next(line for line in text.splitlines() if "[red]bad" in line)
    assert line.startswith("plan")
    assert "success rate below" in text
    assert "reinstated once new outcomes show" in line
    assert "probed on 2.0 %" in line


def test_demotions_as_json(run: Run, watched: str) -> None:
    """``--json`` gives every field; ``--task`` narrows it down."""
    answer = json.loads(run("demotions", "--json", "--task", "plan", "--store", watched).stdout)
    assert (answer["schema_version"], answer["command"]) == (1, "demotions")
    (demotion,) = answer["demotions"]
    assert demotion["model_id"] == "[red]bad"
    assert demotion["ended"] is None
    assert demotion["probe_share"] == pytest.approx(0.02)
    assert json.loads(run("demotions", "--json", "--task", "nothing", "--store", watched).stdout)["demotions"] == []


def test_a_demotion_can_be_taken_back(run: Run, watched: str) -> None:
    """``reset demotion`` puts one model back, once; ``--all`` still shows it, and who ended it."""
    assert run("reset", "demotion", "plan", "[red]bad", "--store", watched).exit_code == 0
    assert run("reset", "demotion", "plan", "[red]bad", "--store", watched).exit_code == 1
    rest = json.loads(run("demotions", "--json", "--store", watched).stdout)["demotions"]
    assert "[red]bad" not in [each["model_id"] for each in rest]
    ended = json.loads(run("demotions", "--all", "--json", "--store", watched).stdout)["demotions"]
    assert [each["ended_by"] for each in ended if each["model_id"] == "[red]bad"] == ["operator"]


def test_all_demotions_can_be_taken_back(run: Run, watched: str) -> None:
    """``reset demotions`` puts everybody back, and says so if there is nobody."""
    assert run("reset", "demotions", "--store", watched).exit_code == 0
    assert run("reset", "demotions", "--store", watched).exit_code == 1
    assert "no model is demoted" in run("demotions", "--store", watched).stdout


def test_changes_show_what_was_noticed(run: Run, watched: str) -> None:
    """Model, direction and evidence of each change; ``--model`` narrows it down."""
    text = run("changes", "--store", watched).stdout
    assert "fallen" in text
    assert "does worse" in text
    assert "to 1" in text
    answer = json.loads(run("changes", "--json", "--model", "fallen", "--store", watched).stdout)
    assert {(each["model_id"], each["direction"]) for each in answer["changes"]} == {("fallen", "down")}
    assert "no model has changed" in run("changes", "--model", "good", "--store", watched).stdout


def test_an_announced_change_ends_what_rests_on_the_old_outcomes(run: Run, watched: str) -> None:
    """A demoted model that has changed is back: what it was demoted for is evidence no more."""
    text = run("announce", "[red]bad", "--store", watched).stdout
    assert "it is reinstated on plan" in text
    rest = json.loads(run("demotions", "--json", "--store", watched).stdout)["demotions"]
    assert "[red]bad" not in [each["model_id"] for each in rest]


def test_a_change_can_be_announced(run: Run, watched: str) -> None:
    """``announce`` is a change of its own kind; a model without outcomes is a finding."""
    assert run("announce", "good", "--store", watched).exit_code == 0
    answer = json.loads(run("changes", "--json", "--model", "good", "--store", watched).stdout)
    assert [(each["direction"], each["evidence"]) for each in answer["changes"]] == [("announced", None)]
    assert run("announce", "nobody", "--store", watched).exit_code == 1
    with mp.ModelPerf({}, store=watched) as perf:
        newest = perf.store.events.last_id()
        assert perf.store.changes.all()[0][3:5] == (newest, newest)
        # what the outcomes show from the next one on is another change
        assert perf.store.changes.add("good", "down", (newest, newest + 9), (0, 0), 20_000.0, {})


@pytest.mark.parametrize("command", ["changes", "demotions"])
def test_reading_creates_no_database(run: Run, tmp_path: Path, command: str) -> None:
    """A missing database is a finding, and stays missing."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()


@pytest.mark.parametrize("command", [["announce", "a"], ["reset", "demotion", "t", "a"], ["reset", "demotions"]])
def test_taking_back_creates_no_database(run: Run, tmp_path: Path, command: list[str]) -> None:
    """Where there is nothing to take back there is nothing to create either."""
    missing = tmp_path / "missing.db"
    assert run(*command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()


def test_an_ended_demotion_is_shown_with_who_ended_it(run: Run, watched: str) -> None:
    """Without ``--all`` it is gone; with it the line says when and by whom, and promises no more probes."""
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


def test_demotions_that_the_policy_does_not_heed_are_said_to_be_so(run: Run, watched: str, tmp_path: Path) -> None:
    """With another strategy of demotion, what is kept demotes nobody; the line says which strategy it is."""
    config = tmp_path / "never.toml"
    config.write_text('[demotion]\nstrategy = "never"\n')
    text = run("demotions", "--store", watched, "--config", str(config)).stdout
    assert "not applied: demotion.strategy is never" in text


def test_an_announced_change_leaves_the_prior_of_the_others(run: Run, watched: str) -> None:
    """Old evidence counts no more after ``announce``: the score falls back towards what the others show."""
    with mp.ModelPerf({}, store=watched) as perf:
        before = perf.explain("build", ["fallen"])
    assert run("announce", "fallen", "--store", watched).exit_code == 0
    with mp.ModelPerf({}, store=watched) as perf:
        after = perf.explain("build", ["fallen"])
        assert perf.store.tallies.of("build")["fallen"].samples == 360
    assert before is not None
    assert after is not None
    narrow, wide = before.ranking[0].interval, after.ranking[0].interval
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])
    assert after.ranking[0].status != "ranked" or wide != narrow
