"""The examples run as they are, as real processes, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
EXPECTED = {
    "orchestrator.py": ("then ", "After 300 tasks:", "fix-bug: next time grand-large", "posterior mean"),
    "recorder.py": ("answers of which", "a grader in another process", "after 200 calls: large first"),
    "async_orchestrator.py": ("of 200 tasks done well", "attempts audited", "thinker"),
}


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example in ``folder``, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-B", "-X", "utf8", "-W", "error", EXAMPLES / script],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs(script: str, tmp_path: Path) -> None:
    """Every example ends with exit code 0, says nothing on the error channel and shows what it promises."""
    result = run(script, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for text in EXPECTED[script]:
        assert text in result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_leaves_nothing_behind(script: str, tmp_path: Path) -> None:
    """Neither the directory it is run in nor the folder of examples has another file afterwards."""
    run(script, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert {path.name for path in EXAMPLES.iterdir()} - {"__pycache__"} == {*SCRIPTS, "modelperf.toml", "frameworks"}


def test_an_example_says_the_same_every_time(tmp_path: Path) -> None:
    """The orchestrator is seeded: what a reader sees is what the text beside it describes."""
    assert run("orchestrator.py", tmp_path).stdout == run("orchestrator.py", tmp_path).stdout


def test_the_policy_file_is_valid_and_explains_every_key() -> None:
    """The file is accepted as it is, and a comment stands within three lines above each key or section."""
    path = EXAMPLES / "modelperf.toml"
    with ModelPerf(path, store=":memory:") as plugin:
        assert plugin.config.mode == "apply"
    assert "release-notes" in tomllib.loads(path.read_text(encoding="utf-8"))["task_types"]
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            assert any("#" in near for near in lines[max(0, number - 3) : number + 1]), line
