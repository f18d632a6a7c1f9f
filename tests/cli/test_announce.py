"""``announce``: a change of a model that an operator announces."""

from __future__ import annotations

import json

import modelperf_plugin as mp
from tests.cli.conftest import Run


def test_an_announced_change_ends_what_rests_on_the_old_outcomes(run: Run, watched: str) -> None:
    """A demoted model that has changed is reinstated: the evidence against it no longer counts."""
    text = run("announce", "[red]bad", "--store", watched).stdout
    assert "it is reinstated on plan" in text
    rest = json.loads(run("demotions", "--json", "--store", watched).stdout)["demotions"]
    assert "[red]bad" not in [each["model_id"] for each in rest]


def test_a_change_can_be_announced(run: Run, watched: str) -> None:
    """``announce`` is a change of its own kind; a model without outcomes is a negative finding."""
    assert run("announce", "good", "--store", watched).exit_code == 0
    answer = json.loads(run("changes", "--json", "--model", "good", "--store", watched).stdout)
    assert [(each["direction"], each["evidence"]) for each in answer["changes"]] == [("announced", None)]
    assert run("announce", "nobody", "--store", watched).exit_code == 1
    with mp.ModelPerf({}, store=watched) as perf:
        newest = perf.store.events.last_id()
        assert perf.store.changes.all()[0][3:5] == (newest, newest)
        # what the outcomes show from the next one on is another change
        assert perf.store.changes.add("good", "down", (newest, newest + 9), (0, 0), 20_000.0, {})


def test_an_announced_change_leaves_the_prior_of_the_others(run: Run, watched: str) -> None:
    """After ``announce`` old outcomes do not count: the interval widens to what other models suggest."""
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
