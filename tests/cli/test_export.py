"""``export``, ``merge`` and ``merged``: sharing what was learned."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, RunJson


def test_export_leaves_out_small_entries_on_request(run: Run, store: str) -> None:
    """Standard output is the export of all pairs; standard error lists what was left out."""
    result = run("export", "--store", store)
    entries = json.loads(result.stdout)["entries"]
    assert [(entry["model_id"], entry["confident"]) for entry in entries] == [
        ("claude-opus", True), ("gpt-4o", True), ("llama-70b", True), ("gpt-4o", False),
    ]  # fmt: skip
    assert result.stderr == ""
    result = run("export", "--min-samples", "10", "--store", store)
    assert json.loads(result.stdout)["entries"] == entries[:3]
    assert result.stderr == "1 pair left out: fewer than 10 outcomes\n"
    result = run("export", "--sum-rest", "--store", store)
    assert json.loads(result.stdout)["entries"] == [{**entries[3], "task_type": None}, *entries[:3]]
    assert result.stderr.endswith("these are in the sums of their models, without task type\n")


def test_a_merged_source_is_listed_and_removed(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """It ranks models that are unknown here until it is removed."""
    assert run("export", "--store", store, "--output", "them.json").exit_code == 0
    mine = ("--store", str(tmp_path / "mine.db"))
    assert "4 pairs (3 confident) with 38 outcomes merged as them" in run("merge", "them.json", *mine).stdout
    (source,) = run_json("merged", "list", *mine)["sources"]
    assert (source["name"], source["pairs"], source["outcomes"], source["strength"]) == ("them", 4, 38, 10.0)
    ranked = run("rank", "execute-task", *mine)
    assert ranked.exit_code == 1
    assert "only merged experience of 4 pairs" in " ".join(ranked.output.split())
    known = ("explain", "execute-task", "--candidates", "llama-70b,claude-opus", *mine)
    assert run(*known).stdout.startswith("execute-task → claude-opus")
    assert run("merged", "remove", "them", *mine).exit_code == 0
    assert run_json("merged", "list", *mine)["sources"] == []


def test_a_leaderboard_is_a_prior(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """The answer tells which models are known here and what others are likely to be; an alias settles it."""
    (tmp_path / "board.csv").write_text("model,score,org\nGPT-4o,61.5,o\nclaude-opus,70.1,a\nnew,80.5,n\n")
    board = (str(tmp_path / "board.csv"), "--store", store)
    shown = run("merge", *board, "--dry-run").stdout.splitlines()
    assert shown == [
        "scores of 3 models on no particular task type would be merged as board",
        "known here: claude-opus",
        'likely gpt-4o: GPT-4o (to take it for that: --alias "GPT-4o=gpt-4o")',
        "not known here: new",
        "without a prior: gpt-4o, llama-70b",
    ]
    assert run_json("merged", "list", "--store", store)["sources"] == []
    assert "known here: claude-opus, gpt-4o\n" in run("merge", *board, "--alias", "GPT-4o=gpt-4o").stdout
    assert "already merged, as board" in run("merge", *board, "--alias", "GPT-4o=gpt-4o").stdout
    assert "merged as board, replacing board" in run("merge", *board).stdout
    (source,) = run_json("merged", "list", "--store", store)["sources"]
    assert (source["pairs"], source["strength"]) == (3, 30.0)
    assert run("merge", *board, "--alias", "GPT-4o").exit_code == 2
    on_a_task = run("merge", *board, "--task", "plan-slice", "--strength", "3").stdout
    assert on_a_task.startswith("scores of 3 pairs merged as board, replacing board")


def test_options_of_leaderboards_are_refused_for_exports(run: Run, store: str) -> None:
    """An export has its columns, counts and task types itself."""
    assert run("export", "--store", store, "--output", "them.json").exit_code == 0
    result = run("merge", "them.json", "--scores", "percent", "--store", "mine.db")
    assert result.exit_code == 2
    assert "them.json is no leaderboard" in result.stderr
