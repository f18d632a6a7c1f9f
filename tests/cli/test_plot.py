"""``plot``: a chart as an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("chart", ["success", "models", "cost"])
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_chart_is_an_image(run: Run, store: str, tmp_path: Path, chart: str, kind: str) -> None:
    """The format follows the suffix of the file, or the option."""
    if kind == "png":
        pytest.importorskip("resvg_py", reason="needs the extra plot")
    assert run("plot", "execute-task", "--chart", chart, "--store", store, "-o", f"x.{kind}").exit_code == 0
    assert run("plot", "execute-task", "--chart", chart, "--store", store, "--format", kind).exit_code == 0
    start = {"svg": b"<svg ", "png": b"\x89PNG"}[kind]
    assert (tmp_path / f"x.{kind}").read_bytes().startswith(start)
    assert (tmp_path / f"{chart}.{kind}").read_bytes().startswith(start)


def test_a_chart_of_everything_or_of_one_model(run: Run, store: str, tmp_path: Path) -> None:
    """Without a task type all are drawn; a model on all task types or on one."""
    for arguments in ([], ["--model", "gpt-4o"], ["plan-slice", "--model", "gpt-4o"]):
        assert run("plot", *arguments, "--store", store, "-o", "x.svg").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--chart", "models"], 2, "name it"),
        (["execute-task", "--chart", "cost", "--model", "gpt-4o"], 2, "no --model"),
        (["nothing"], 1, "known are"),
        (["--model", "nobody"], 1, "no outcomes of model"),
    ],
)
def test_an_impossible_chart_is_refused(run: Run, store: str, arguments: list[str], code: int, said: str) -> None:
    """The message tells what to do instead."""
    result = run("plot", *arguments, "--store", store)
    assert result.exit_code == code
    assert said in result.stderr
