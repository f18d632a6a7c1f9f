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
    assert "surely below" in text
    assert "fresh outcomes show more than" in line
    assert "tried again on 2.0 %" in line


def test_demotions_as_json(run: Run, watched: str) -> None:
    """``--json`` gives every field; ``--task`` narrows it down."""
    answer = json.loads(run("demotions", "--json", "--task", "plan", "--store", watched).stdout)
    assert (answer["schema_version"], answer["command"]) == (1, "demotions")
    (demotion,) = answer["demotions"]
    assert demotion["model_id"] == "[red]bad"
    assert demotion["ended"] is None
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
    assert "nobody is demoted" in run("demotions", "--store", watched).stdout


def test_changes_show_what_was_noticed(run: Run, watched: str) -> None:
    """Model, direction and evidence of each change; ``--model`` narrows it down."""
    text = run("changes", "--store", watched).stdout
    assert "fallen" in text
    assert "does worse" in text
    assert "to 1" in text
    answer = json.loads(run("changes", "--json", "--model", "fallen", "--store", watched).stdout)
    assert {(each["model_id"], each["direction"]) for each in answer["changes"]} == {("fallen", "down")}
    assert "no model has changed" in run("changes", "--model", "good", "--store", watched).stdout


def test_a_change_can_be_announced(run: Run, watched: str) -> None:
    """``announce`` is a change of its own kind; a model without outcomes is a finding."""
    assert run("announce", "good", "--store", watched).exit_code == 0
    answer = json.loads(run("changes", "--json", "--model", "good", "--store", watched).stdout)
    assert [(each["direction"], each["evidence"]) for each in answer["changes"]] == [("announced", None)]
    assert run("announce", "nobody", "--store", watched).exit_code == 1


@pytest.mark.parametrize("command", ["changes", "demotions"])
def test_reading_creates_no_database(run: Run, tmp_path: Path, command: str) -> None:
    """A missing database is a finding, and stays missing."""
    missing = tmp_path / "missing.db"
    assert run(command, "--store", str(missing)).exit_code == 1
    assert not missing.exists()
