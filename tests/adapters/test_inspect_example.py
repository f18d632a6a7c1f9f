"""The example for inspect-ai runs as it is, as a real process, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_runs(tmp_path: Path) -> None:
    """It ends with exit code 0, and shows that the better model was found and a verdict changed."""
    pytest.importorskip("inspect_ai")
    script = ROOT / "examples" / "frameworks" / "inspect_ai_evaluation.py"
    result = subprocess.run(
        [sys.executable, "-B", "-X", "utf8", script], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 0, result.stderr
    assert "next time large" in result.stdout
    assert "a person overrules the last score: True" in result.stdout
    assert list(tmp_path.iterdir()) == []
