"""``federate``: other programs' databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Run, RunJson


def test_federation_from_the_configuration(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """A path is relative to the file; every reading command sees the outcomes; detach names the configuration."""
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE llm_task_outcomes (task_type, model_id, success)")
    other.execute("INSERT INTO llm_task_outcomes VALUES ('execute-task', 'newcomer', 1)")
    other.commit()
    other.close()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/modelperf.toml").write_text('[[federation]]\npath = "../other.db"\n')
    config = ("--config", "sub/modelperf.toml", "--store", store)
    (attached,) = run_json("federate", "list", *config)["attached"]
    assert (attached["path"], attached["outcomes"], attached["problem"]) == (str(tmp_path / "other.db"), 1, None)
    assert "newcomer" in run("rank", "execute-task", *config).stdout
    assert "newcomer" in run("stats", *config).stdout
    assert "remove its [[federation]] from the file" in run("federate", "detach", "other.db", *config).stderr
    assert "newcomer" not in run("export", "--min-samples", "1", *config).stdout
    (tmp_path / "other.db").unlink()
    assert run("federate", "list", *config).exit_code == 1
    assert "attached database" in run("doctor", *config).stdout
