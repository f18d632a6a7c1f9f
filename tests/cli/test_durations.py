"""Commands and pages show durations where there are any, and only there; JSON and CSV always have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelperf_plugin import ModelPerf, Outcome
from modelperf_plugin.dashboard import make_report
from tests.cli.conftest import Run, RunJson


@pytest.fixture
def timed(tmp_path: Path) -> str:
    """Return a store in which a takes 10 seconds, and nobody knows how long b takes."""
    path = str(tmp_path / "timed.db")
    with ModelPerf({}, store=path, seed=0) as perf:
        for _ in range(10):
            perf.record("plan", "a", Outcome(success=True, duration_seconds=10.0))
            perf.record("plan", "b", Outcome(success=False))
    return path


@pytest.mark.parametrize("command", [("stats",), ("rank", "plan")])
def test_columns_where_there_are_durations(run: Run, timed: str, store: str, command: tuple[str, ...]) -> None:
    """The median and the 95 % quantile."""
    text = run(*command, "--store", timed).stdout
    assert "median time" in text
    assert "95 % within" in text
    assert " 11 s" in text
    plain = [word.replace("plan", "execute-task") for word in command]
    assert "median time" not in run(*plain, "--store", store).stdout


def test_programs_get_them_always(run_json: RunJson, run: Run, timed: str, store: str) -> None:
    """``median_seconds`` and ``p95_seconds`` are in every row; null where no durations are known."""
    for rows in (
        run_json("stats", "--store", timed)["tallies"], run_json("rank", "plan", "--store", timed)["ranking"],
    ):  # fmt: skip
        found = {each["model_id"]: (each["median_seconds"], each["p95_seconds"]) for each in rows}
        assert found["a"] == pytest.approx((10.0, 10.0), rel=0.1)
        assert found["b"] == (None, None)
    for command in (("stats",), ("rank", "execute-task")):
        assert "median_seconds,p95_seconds" in run(*command, "--csv", "--store", store).stdout


def test_pages_show_them(timed: str, store: str) -> None:
    """In the tables of models, if there are any."""
    with ModelPerf({}, store=timed) as perf:
        assert ">median time</th>" in make_report(perf)
    with ModelPerf({}, store=store) as perf:
        assert "median time" not in make_report(perf)


def test_imported_outcomes_bring_theirs(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Counted with the batch, and nothing is found wrong."""
    path, lines = str(tmp_path / "new.db"), tmp_path / "log.jsonl"
    outcome = {"task_type": "plan", "model_id": "a", "success": True, "timestamp": "2026-01-01T00:00:00Z"}
    lines.write_text("".join(f"{json.dumps({**outcome, 'duration_seconds': each})}\n" for each in (2.0, 2.1, 60.0)))
    assert run("import", "jsonl", str(lines), "--store", path).exit_code == 0
    (tally,) = run_json("stats", "--store", path)["tallies"]
    assert tally["median_seconds"] == pytest.approx(2.0, rel=0.1)
    assert tally["p95_seconds"] == pytest.approx(60.0, rel=0.1)
    assert run("doctor", "--store", path).exit_code == 0
