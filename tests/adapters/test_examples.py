"""The examples for frameworks run as they are, as real processes, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import modelperf_plugin as mp

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "frameworks"
EXPECTED = {
    "with_inspect_ai.py": ("inspect_ai", ("modelperf/auto: ", "overrules the last score: True", "next time large")),
    "with_litellm.py": ("litellm", ("5 answers: 42", "60 answers: 42 (60 times)", "next time: ranked first")),
    "with_bub.py": ("bub", ("200 turns went to openai:large", "next time openai:large")),
    "with_llm.py": ("llm", ("200 prompts went to large", "next time large")),
    "with_openai_agents.py": ("agents", ("200 runs: ", "was wrong: True", "next time: large")),
    "with_pydantic_ai.py": ("pydantic_ai", ("200 runs: ", "was wrong: True", "next time: large")),
    "with_langchain.py": ("langchain_core", ("200 calls: ", "was wrong: True", "next time: large")),
}
"""The framework that each needs, and what it shows."""


@pytest.mark.parametrize("script", sorted(EXPECTED))
def test_an_example_runs(script: str, tmp_path: Path) -> None:
    """Every example ends with exit code 0, says nothing on the error channel and shows what it promises."""
    framework, texts = EXPECTED[script]
    pytest.importorskip(framework)
    folder = tmp_path / "folder"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-B", "-X", "utf8", EXAMPLES / script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(mp.__file__).parents[1])},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    for text in texts:
        assert text in result.stdout
    assert list(folder.iterdir()) == []  # what a framework keeps at home is its own


def test_every_example_is_run() -> None:
    """No example is left out."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)
