"""Leaderboards as priors on how good models are in general, and whose names stand for whose models."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.sharing.leaderboard import (
    ORIGIN,
    ORIGIN_OF_SCORES,
    SCORE_TASKS,
    is_leaderboard,
    read_leaderboard,
)
from modelperf_plugin.exchange.sharing.matching import matches, renamed
from modelperf_plugin.exchange.sharing.merge import merge
from modelperf_plugin.exchange.sharing.share import GENERAL, Export
from modelperf_plugin.store import open_store
from modelperf_plugin.values import Outcome, Tally


def board(path: Path, text: str) -> Path:
    """Write a leaderboard."""
    file = path / "board.csv"
    file.write_text(text, encoding="utf-8", newline="")
    return file


@pytest.mark.parametrize(
    "text",
    [
        "model,successes,n\na,150,200\nb,10,200\n",
        "model,score,n\na,0.75,200\nb,0.05,200\n",
        "Model,Score (%),n\na,75,200\nb,5,200\n",
        "name,% resolved,tasks\na,75,200\nb,5,200\n",
        "name,Accuracy,tasks\na,75 %,200\nb,5%,200\n",
        "model,score,n\na,75,200\nb,5,200\nc,,200\n",
        "\ufeffmodel,score,n\r\na,75,200\r\nb,5,200\r\n",
    ],
)
def test_scores_are_fractions_percentages_or_successes(tmp_path: Path, text: str) -> None:
    """All of these say the same: 150 and 10 of 200 tasks, on no particular task type."""
    file = board(tmp_path, text)
    assert is_leaderboard(file)
    found = read_leaderboard(file)
    assert found.entries == [Tally(GENERAL, "a", 150, 50), Tally(GENERAL, "b", 10, 190)]
    assert found.origin == ORIGIN


def test_a_leaderboard_may_name_costs_and_task_types_and_leave_out_counts(tmp_path: Path) -> None:
    """Without a number of tasks a score is that of many, and the origin says so."""
    file = board(tmp_path, "who,what,acc,usd\na,plan,0.5,$0.25\na,,0.25,\n")
    columns = {"model": "who", "task_type": "what", "score": "acc", "cost_usd": "usd"}
    assert not is_leaderboard(file)
    assert is_leaderboard(file, columns)
    found = read_leaderboard(file, columns, task_type="other")
    half = SCORE_TASKS // 2
    assert found.entries == [
        Tally("plan", "a", half, half, total_cost_nano_usd=250_000_000, priced=1),
        Tally("other", "a", half // 2, half * 3 // 2),
    ]
    assert found.origin == ORIGIN_OF_SCORES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,score\na,0.7\nb,65\n", r"fractions or percentages: 0.7 in line 2, 65 in line 3 \(say which with"),
        ("model,score\na,1287\n", "line 2: score must be a success rate from 0 to 1, or from 0 to 100 in percent"),
        ("model,score\na,-0.1\n", "score must be a success rate"),
        ("model,score\na,nan\n", "score must be a success rate"),
        ("model,score\na,good\n", "line 2: score must be a number"),
        ("model,score\na,0.1\na,0.2\n", "line 3: repeats a"),
        ("model,successes,n\na,3,2\n", "successes must be at most n = 2, but got 3"),
        ("model,score\na,\n", "has no model with a score"),
        ("model,score\n,0.5\n", "line 2: model must be 1 to 512"),
    ],
)
def test_what_is_no_success_rate_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """One message names the file, the line and what is expected."""
    with pytest.raises(OutcomesFileError, match=message):
        read_leaderboard(board(tmp_path, text))


def test_the_unit_of_scores_can_be_given(tmp_path: Path) -> None:
    """A list of percentages below and above 1 is read when it is said to be one."""
    file = board(tmp_path, "model,score\na,0.7\nb,65\n")
    assert [tally.successes for tally in read_leaderboard(file, unit="percent").entries] == [7, 650]
    with pytest.raises(OutcomesFileError, match="line 3: score must be a success rate"):
        read_leaderboard(file, unit="fraction")


def test_an_export_is_no_leaderboard(tmp_path: Path) -> None:
    """An export has failures beside successes, and no number of tasks."""
    assert not is_leaderboard(board(tmp_path, "task_type,model_id,successes,failures\na,b,1,2\n"))
    assert not is_leaderboard(board(tmp_path, '{"format": "modelperf export"}'))


def test_a_leaderboard_orders_models_on_every_task_type(tmp_path: Path) -> None:
    """The difficulty of its tasks is not taken over: what counts is how much better one model is than another."""
    text = "model,successes,n\ngood,{},1000\nbad,{},1000\n"
    scores = []
    for number, (good, bad) in enumerate([(900, 690), (310, 100)]):  # the same ratio of odds
        with mp.ModelPerf({}, store=tmp_path / f"{number}.db", seed=1) as engine:
            merge(engine.store, read_leaderboard(board(tmp_path, text.format(good, bad))), "board", 1)
            assert engine.store.tallies.all() == []
            for _ in range(10):
                engine.record("plan", "other", Outcome(success=True))
                engine.record("plan", "other", Outcome(success=False))
            decision = engine.explain("plan", ["bad", "good"])
            assert decision is not None
            scores.append({row.model_id: row.score or 0.0 for row in decision.ranking.rows})
            assert [row.model_id for row in decision.ranking.rows] == ["good", "bad"]
            engine.store.merged.remove("board")
            assert engine.store.merged.priors() == []
    assert all(found["good"] - found["bad"] > 0.1 for found in scores)


def test_each_leaderboard_has_a_difficulty_of_its_own() -> None:
    """Two sources without task type are two rows, which no host can name."""
    store = open_store(":memory:")
    for name in ("a", "b"):
        merge(store, Export([Tally(GENERAL, "x", 1, 1)], name, name), name, 1)
    assert [(prior.tally.task_type, prior.source) for prior in store.merged.priors()] == [
        ("\x1fa", "a"),
        ("\x1fb", "b"),
    ]
    with mp.ModelPerf({}, store=":memory:") as engine, pytest.raises(mp.errors.InvalidValueError):
        engine.record("\x1fa", "x", Outcome(success=True))
    store.close()


def test_aliases_name_our_models() -> None:
    """Two of their names for one of our models are added up."""
    entries = [Tally("t", "A", 1, 2), Tally("t", "B", 10, 20), Tally("t", "c", 5, 5)]
    assert renamed(entries, {"A": "a", "B": "a", "c": "d"}) == [Tally("t", "a", 11, 22), Tally("t", "d", 5, 5)]
    assert renamed(entries, {}) == entries


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("OpenAI/GPT-4o", "gpt-4o"),
        ("GPT-4o (2024-08-06)", "gpt-4o"),
        ("gpt-4o-20240806", "gpt-4o"),
        ("claude 3.5 sonnet", "claude-3-5-sonnet-latest"),
        ("Claude Opus 4", "claude-4-opus"),
        ("gpt-4o", None),  # see the candidates below
        ("claude-3-7-sonnet", None),
        ("llama-3-70b", None),
        ("something else", None),
    ],
)
def test_likely_matches_have_the_same_version(theirs: str, ours: str | None) -> None:
    """Provider, date, case and punctuation may differ, digits may not."""
    known = [ours] if ours else ["gpt-4o-mini", "claude-3-5-sonnet", "llama-3-8b"]
    assert matches([theirs], known).unknown == {theirs: ours}


def test_matches_are_told_apart() -> None:
    """Known, unknown and missing models are listed, sorted."""
    assert matches(["b", "a", "z"], ["y", "a", "b"]) == (["a", "b"], {"z": None}, ["y"])


def test_costs_of_a_leaderboard_count_until_others_are_known(tmp_path: Path) -> None:
    """They are taken to the scale of the own tasks by the models whose costs are known here, and removed with it."""
    file = board(tmp_path, "model,score,cost_usd\ndear,0.7,2.0\ncheap,0.7,0.5\nfree,0.5,\n")
    with mp.ModelPerf({}, store=":memory:", seed=1) as engine:
        merge(engine.store, read_leaderboard(file), "board", 1)

        def costs() -> dict[str, float]:
            engine._learner.reset()
            for _ in range(4):
                assert engine.explain("plan", ["dear", "cheap"]) is not None
            return {model_id: cost.usd for model_id, cost in engine._learner.model_costs.items()}

        assert costs() == pytest.approx({"dear": 2.0, "cheap": 0.5})
        for _ in range(5):
            engine.record("plan", "cheap", Outcome(success=True, cost_usd=0.01))
        assert costs() == pytest.approx({"dear": 0.04, "cheap": 0.01})
        engine.record("plan", "dear", Outcome(success=True, cost_usd=0.03))
        assert costs() == pytest.approx({"dear": 0.03, "cheap": 0.01})
        engine.store.merged.remove("board")
        assert costs() == pytest.approx({"dear": 0.03, "cheap": 0.01})


def test_costs_of_tasks_of_another_size_do_not_count(tmp_path: Path) -> None:
    """Without a model in common nothing tells how long tasks are there."""
    file = board(tmp_path, "model,score,cost_usd\ndear,0.7,2.0\n")
    with mp.ModelPerf({}, store=":memory:", seed=1) as engine:
        merge(engine.store, read_leaderboard(file), "board", 1)
        engine.record("plan", "cheap", Outcome(success=True, cost_usd=0.01))
        for _ in range(4):
            assert engine.select("plan", ["dear", "cheap"], {"max_cost_usd": 1.0}) is not None
        assert engine._learner.model_costs.keys() == {"cheap"}
