"""``export``, ``merge`` and ``merged``: sharing what was learned."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, RunJson


def test_export_leaves_out_small_entries(run: Run, store: str) -> None:
    """Standard output is the export; standard error lists what was left out."""
    result = run("export", "--store", store)
    assert [entry["model_id"] for entry in json.loads(result.stdout)["entries"]] == [
        "claude-opus",
        "gpt-4o",
        "llama-70b",
    ]
    assert "1 entry left out: task type too small" in result.stderr


def test_a_merged_source_is_listed_and_removed(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """It ranks models that are unknown here until it is removed."""
    assert run("export", "--store", store, "--output", "them.json").exit_code == 0
    mine = ("--store", str(tmp_path / "mine.db"))
    assert "3 pairs with 36 outcomes merged as them" in run("merge", "them.json", *mine).stdout
    (source,) = run_json("merged", "list", *mine)["sources"]
    assert (source["name"], source["pairs"], source["outcomes"], source["strength"]) == ("them", 3, 36, 10.0)
    ranked = run("rank", "execute-task", *mine)
    assert ranked.exit_code == 1
    assert "only merged experience of 3 pairs" in " ".join(ranked.output.split())
    known = ("explain", "execute-task", "--candidates", "llama-70b,claude-opus", *mine)
    assert run(*known).stdout.startswith("execute-task → claude-opus")
    assert run("merged", "remove", "them", *mine).exit_code == 0
    assert run_json("merged", "list", *mine)["sources"] == []
