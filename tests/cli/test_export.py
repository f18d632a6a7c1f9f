"""``export``, ``merge`` and ``merged``: sharing what was learned."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, RunJson


def test_export_leaves_out_what_is_unsure(run: Run, store: str) -> None:
    """Standard output is the file, standard error says what stays."""
    result = run("export", "--store", store)
    assert [entry["model_id"] for entry in json.loads(result.stdout)["entries"]] == [
        "claude-opus",
        "gpt-4o",
        "llama-70b",
    ]
    assert "1 entry left out: task type too small" in result.stderr


def test_merged_experience_is_told_and_taken_out(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """It is listed with its source, ranks models that are unknown here, and is gone after its removal."""
    assert run("export", "--store", store, "--output", "them.json").exit_code == 0
    mine = ("--store", str(tmp_path / "mine.db"))
    assert "3 pairs with 36 outcomes merged as them" in run("merge", "them.json", *mine).stdout
    (source,) = run_json("merged", "list", *mine)["sources"]
    assert (source["name"], source["pairs"], source["outcomes"], source["strength"]) == ("them", 3, 36, 10.0)
    known = ("explain", "execute-task", "--candidates", "llama-70b,claude-opus", *mine)
    assert run(*known).stdout.startswith("execute-task → claude-opus")
    assert run("merged", "remove", "them", *mine).exit_code == 0
    assert run_json("merged", "list", *mine)["sources"] == []
