"""``changes``: models that have changed."""

from __future__ import annotations

import json

from tests.cli.conftest import Run


def test_changes_show_what_was_noticed(run: Run, watched: str) -> None:
    """Model, direction and likelihood ratio of each change; ``--model`` selects a model."""
    text = run("changes", "--store", watched).stdout
    assert "fallen" in text
    assert "does worse" in text
    assert "to 1" in text
    answer = json.loads(run("changes", "--json", "--model", "fallen", "--store", watched).stdout)
    assert {(each["model_id"], each["direction"]) for each in answer["changes"]} == {("fallen", "down")}
    assert "no model has changed" in run("changes", "--model", "good", "--store", watched).stdout
